"""Legalize `mean` over the last axis, which RMS norms take of squares: a kernel of row sums.

TVM's lowering lets FuseOps join the mean with the operators after it, and one workgroup of 64
threads then normalises a row of 64 numbers. Here a thread sums a row where rows are many, and what
follows is elementwise and joins others (:mod:`wsd.compiler.tir.schedule.row_reduction`).
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import te

from wsd.compiler.tir.schedule.row_reduction import emit_row_reduction
from wsd.compiler.tir.stages import ROW_REDUCTION, ROW_TOTAL
from wsd.compiler.tvm_compat import shape_of

_default_mean = tvm.ir.Op.get("relax.mean").get_attr("FLegalize")


def legalize_mean(builder: Any, call: Any) -> Any:
    """Lower ``mean`` over the last axis, which stays with an extent of 1.

    Shapes: x (..., width) to (..., 1), float32.
    """
    [x] = call.args
    extents = shape_of(x)
    axes = [int(axis) % len(extents) for axis in call.attrs.axis or ()]
    if axes != [len(extents) - 1] or not call.attrs.keepdims:
        return _default_mean(builder, call)
    *rows, width = extents

    def total_of(x: te.Tensor) -> te.Tensor:
        over = te.reduce_axis((0, width), name="r0")
        return te.compute(rows, lambda *at: te.sum(x(*at, over), axis=over), name=ROW_REDUCTION)

    def mean_of(total: te.Tensor) -> te.Tensor:
        return te.compute((*rows, 1), lambda *at: total(*at[:-1]) * (1.0 / width), name="mean")

    total = emit_row_reduction(builder, ROW_TOTAL, total_of, x)
    return builder.call_te(mean_of, total, primfunc_name_hint="mean")
