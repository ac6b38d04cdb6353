"""Legalize ``matmul`` by a transposed weight, which is PyTorch's ``Linear``.

``Linear`` stores its weight as (out, in) and multiplies by the transpose. Lowered one by one, the
two operators would write the transposed weight to memory on every call; one kernel reads the
weight in place.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import tvm
from tvm import relax, te

from wsd.compiler.tir.dequantize import Operand, packed_operand, scaled
from wsd.compiler.tvm_compat import permuted

_default_legalize = tvm.ir.Op.get("relax.matmul").get_attr("FLegalize")


def legalize_matmul(builder: Any, call: Any) -> Any:
    """Lower ``matmul(x, permute_dims(w))`` to one kernel that reads w as (out, in).

    Shapes: x (..., m, k), w (n, k), result (..., m, n); float32 sums. TVM lowers
    any other ``matmul``.
    """
    left, right = call.args
    binding = builder.lookup_binding(right) if isinstance(right, relax.Var) else None
    found = permuted(binding)
    if found is None or found[1] != [1, 0]:
        return _default_legalize(builder, call)
    operand = packed_operand(builder, found[0])
    return builder.call_te(
        partial(_matmul_transposed, operand), left, *operand.arguments,
        primfunc_name_hint="linear", primfunc_attrs=operand.attributes,
    )  # fmt: skip


def _matmul_transposed(operand: Operand, x: te.Tensor, *stored: te.Tensor) -> te.Tensor:
    weight = operand.values(*stored)
    k = te.reduce_axis((0, x.shape[-1]), name="k")
    product = te.compute(
        (*x.shape[:-1], weight.shape[0]),
        lambda *index: te.sum(x(*index[:-1], k) * weight(index[-1], k), axis=k),
        name="linear",
    )
    return scaled(operand, product, stored, channel=-1)
