"""Legalize ``take``: look up rows of an embedding table that may be packed."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import te, topi

from wsd.compiler.tir.dequantize import packed_operand

_default_take = tvm.ir.Op.get("relax.take").get_attr("FLegalize")


def legalize_take(builder: Any, call: Any) -> Any:
    """Lower a lookup of rows in a packed table; TVM lowers any other ``take``.

    Shapes: table (rows, width), indices (...) int32, result (..., width) float32.
    """
    table, indices = call.args
    operand = packed_operand(builder, table)
    if operand.arguments == [table]:
        return _default_take(builder, call)

    def packed_take(found: te.Tensor, words: te.Tensor) -> te.Tensor:
        return topi.take(operand.values(words), found, axis=0, mode="clip")

    return builder.call_te(packed_take, indices, *operand.arguments, primfunc_name_hint="take")
