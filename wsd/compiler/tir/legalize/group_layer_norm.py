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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class NormKernels:
    """The kernels of a norm of tensors of one shape.

    Attributes:
        sums: shape of the sums, one a group or row.
        inner: extents that one sum runs over.
        place: where in a tensor a sum's number lies.
        owner: which sum an index of a tensor belongs to.
        channel: which channel it belongs to.
        name: of the kernels, before what they do.
    """

    sums: tuple[int, ...]
    inner: tuple[int, ...]
    place: _Place
    owner: Callable[[Sequence[Any]], tuple[Any, ...]]
    channel: Callable[[Sequence[Any]], Any]
    name: str

    @property
    def numbers(self) -> int:
        """Return how many numbers one sum adds."""
        return math.prod(self.inner)

    def emit_total(self, builder: Any, x: Any) -> Any:
        """Emit the sums of a tensor's values."""

        def total_of(x: te.Tensor) -> te.Tensor:
            over = self._axes()
            return te.compute(
                self.sums,
                lambda *at: te.sum(x(*self.place(at, over)), axis=over),
                name=ROW_REDUCTION,
            )

        return emit_row_reduction(builder, norm_sums_name(self.name, SUMS), total_of, x)

    def emit_spread(self, builder: Any, x: Any, total: Any) -> Any:
        """Emit the sums of squared differences from ``total`` divided by :attr:`numbers`."""
        inverse = 1.0 / self.numbers

        def spread_of(x: te.Tensor, total: te.Tensor) -> te.Tensor:
            over = self._axes()

            def squared(*at: Any) -> Any:
                difference = x(*self.place(at, over)) - total(*at) * inverse
                return te.sum(difference * difference, axis=over)

            return te.compute(self.sums, squared, name=ROW_REDUCTION)

        name = norm_sums_name(self.name, SQUARED_DEVIATIONS)
        return emit_row_reduction(builder, name, spread_of, x, total)

    def call_normalize(
        self, builder: Any, x: Any, sums: tuple[Any, Any], scale: Any, shift: Any, *,
        epsilon: float, numbers: int,
    ) -> Any:  # fmt: skip
        """Return the call of the elementwise kernel.

        Args:
            builder: Relax block builder.
            x: what is normalised.
            sums: of the values, and of their squared differences from the mean.
            scale: factor by channel.
            shift: summand by channel.
            epsilon: added to the variance.
            numbers: how many numbers each of the sums has added.
        """
        inverse = 1.0 / numbers

        def normalized(
            x: te.Tensor, total: te.Tensor, spread: te.Tensor, scale: te.Tensor, shift: te.Tensor
        ) -> te.Tensor:
            def element(*index: Any) -> Any:
                at, c = self.owner(index), self.channel(index)
                deviation = tir.sqrt(spread(*at) * inverse + tir.const(epsilon, "float32"))
                return (x(*index) - total(*at) * inverse) / deviation * scale(c) + shift(c)

            return te.compute(x.shape, element, name="normalize")

        return builder.call_te(normalized, x, *sums, scale, shift, primfunc_name_hint="normalize")

    def _axes(self) -> list[Any]:
        return [te.reduce_axis((0, extent), name=f"r{i}") for i, extent in enumerate(self.inner)]


def group_norm_kernels(shape: Sequence[int], groups: int) -> NormKernels:
    """Return the kernels of a group norm of tensors (n, ..., channels)."""
    batch, *rest, channels = shape
    width = channels // groups
    return NormKernels(
        sums=(batch, groups),
        inner=(*rest, width),
        place=lambda at, r: [at[0], *r[:-1], at[1] * width + r[-1]],
        owner=lambda index: (index[0], tir.indexdiv(index[-1], width)),
        channel=lambda index: index[-1],
        name=GROUP_NORM,
    )


def legalize_group_norm(builder: Any, call: Any) -> Any:
    """Lower ``group_norm`` (Wu and He 2018).

    Shapes: x (n, ..., channels), scale and shift (channels,), all float32.
    """
    x, scale, shift = call.args
    attrs = call.attrs
    extents = shape_of(x)
    last = int(attrs.channel_axis) % len(extents) == len(extents) - 1
    if not last or not (attrs.center and attrs.scale):
        return _default_group_norm(builder, call)
    kernels = group_norm_kernels(extents, int(attrs.num_groups))
    return _emit(builder, kernels, x, scale, shift, float(attrs.epsilon))


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
    kernels = NormKernels(
        sums=tuple(extents[:-1]),
        inner=(extents[-1],),
        place=lambda at, r: [*at, r[0]],
        owner=lambda index: tuple(index[:-1]),
        channel=lambda index: index[-1],
        name=LAYER_NORM,
    )
    return _emit(builder, kernels, x, scale, shift, float(attrs.epsilon))


def _emit(
    builder: Any, kernels: NormKernels, x: Any, scale: Any, shift: Any, epsilon: float
) -> Any:
    """Emit the three kernels of a norm of a whole tensor."""
    total = kernels.emit_total(builder, x)
    sums = (total, kernels.emit_spread(builder, x, total))
    return kernels.call_normalize(
        builder, x, sums, scale, shift, epsilon=epsilon, numbers=kernels.numbers
    )
