"""Legalize group and layer normalisation: two kernels of sums and an elementwise kernel.

With TVM's lowering, one workgroup of 64 threads group-normalises a whole image, and layer
norms wait at barriers. Here the sums are spread over the GPU, and the normalisation is elementwise,
so that FuseOps joins it with the operators after it.

The second sum is of squared differences from the mean, because E[x²] - E[x]² loses the digits of
activations far from zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import te

from wsd.compiler.tir.schedule.row_reduction import emit_row_reduction
from wsd.compiler.tir.stages import (
    GROUP_NORM,
    LAYER_NORM,
    ROW_REDUCTION,
    SQUARED_DEVIATIONS,
    SUMS,
    norm_sums_name,
)
from wsd.compiler.tvm_compat import shape_of, tir

_default_group_norm = tvm.ir.Op.get("relax.nn.group_norm").get_attr("FLegalize")
_default_layer_norm = tvm.ir.Op.get("relax.nn.layer_norm").get_attr("FLegalize")

# (index of a sum, reduction axes) → index into x
_Place = Callable[[Sequence[Any], Sequence[Any]], list[Any]]


def legalize_group_norm(builder: Any, call: Any) -> Any:
    """Lower ``group_norm`` (Wu and He 2018).

    Shapes: x (n, ..., channels), scale and shift (channels,), all float32.
    """
    x, scale, shift = call.args
    attrs = call.attrs
    batch, *rest, channels = shape_of(x)
    last = int(attrs.channel_axis) % len(shape_of(x)) == len(rest) + 1
    if not last or not (attrs.center and attrs.scale):
        return _default_group_norm(builder, call)
    groups = int(attrs.num_groups)
    width = channels // groups
    return _emit(
        builder, x, scale, shift, float(attrs.epsilon),
        sums=(batch, groups),
        inner=(*rest, width),
        place=lambda at, r: [at[0], *r[:-1], at[1] * width + r[-1]],
        owner=lambda index: (index[0], tir.indexdiv(index[-1], width)),
        channel=lambda index: index[-1],
        name=GROUP_NORM,
    )  # fmt: skip


def legalize_layer_norm(builder: Any, call: Any) -> Any:
    """Lower ``layer_norm`` (Ba et al. 2016) over the last axis.

    Shapes: x (..., width), scale and shift (width,), all float32.
    """
    x, scale, shift = call.args
    attrs = call.attrs
    extents = shape_of(x)
    axes = [int(axis) % len(extents) for axis in attrs.axes]
    if axes != [len(extents) - 1] or not (attrs.center and attrs.scale):
        return _default_layer_norm(builder, call)
    return _emit(
        builder, x, scale, shift, float(attrs.epsilon),
        sums=tuple(extents[:-1]),
        inner=(extents[-1],),
        place=lambda at, r: [*at, r[0]],
        owner=lambda index: tuple(index[:-1]),
        channel=lambda index: index[-1],
        name=LAYER_NORM,
    )  # fmt: skip


def _emit(
    builder: Any, x: Any, scale: Any, shift: Any, epsilon: float, *,
    sums: tuple[int, ...],
    inner: tuple[int, ...],
    place: _Place,
    owner: Callable[[Sequence[Any]], tuple[Any, ...]],
    channel: Callable[[Sequence[Any]], Any],
    name: str,
) -> Any:  # fmt: skip
    """Emit the three kernels.

    Args:
        builder: Relax block builder.
        x: what is normalised.
        scale: factor by channel.
        shift: summand by channel.
        epsilon: added to the variance.
        sums: shape of the sums, one a group or row.
        inner: extents that one sum runs over.
        place: where in ``x`` a sum's number lies.
        owner: which sum an index of ``x`` belongs to.
        channel: which channel it belongs to.
        name: of the kernels, before what they do.
    """
    inverse = 1.0 / math.prod(inner)

    def axes() -> list[Any]:
        return [te.reduce_axis((0, extent), name=f"r{i}") for i, extent in enumerate(inner)]

    def total_of(x: te.Tensor) -> te.Tensor:
        over = axes()
        return te.compute(
            sums, lambda *at: te.sum(x(*place(at, over)), axis=over), name=ROW_REDUCTION
        )

    def spread_of(x: te.Tensor, total: te.Tensor) -> te.Tensor:
        over = axes()

        def squared(*at: Any) -> Any:
            difference = x(*place(at, over)) - total(*at) * inverse
            return te.sum(difference * difference, axis=over)

        return te.compute(sums, squared, name=ROW_REDUCTION)

    def normalized(
        x: te.Tensor, total: te.Tensor, spread: te.Tensor, scale: te.Tensor, shift: te.Tensor
    ) -> te.Tensor:
        def element(*index: Any) -> Any:
            at, c = owner(index), channel(index)
            deviation = tir.sqrt(spread(*at) * inverse + tir.const(epsilon, "float32"))
            return (x(*index) - total(*at) * inverse) / deviation * scale(c) + shift(c)

        return te.compute(x.shape, element, name="normalize")

    total = emit_row_reduction(builder, norm_sums_name(name, SUMS), total_of, x)
    spread = emit_row_reduction(
        builder, norm_sums_name(name, SQUARED_DEVIATIONS), spread_of, x, total
    )
    return builder.call_te(
        normalized, x, total, spread, scale, shift, primfunc_name_hint="normalize"
    )
