"""Compute the large images of a VAE decoder in strips of rows, to take less memory.

In: Relax functions with channels last (:mod:`wsd.compiler.passes.channels_last`), in which every
tensor is computed whole.
Out: functions that compute the same, in which no image beyond a size is ever whole. An image is a
list of strips of its rows. A strip of a convolution's result needs a row more of its input on both
sides, which it takes from the strips beside it. Group norms need sums over the whole image: they
are added up while its strips are computed, and what is normalised is computed when they are known.

Which images are stored as strips, and which are computed again wherever they are read, follows from
a budget (:class:`Limits`): the input of a group norm that is too large to be stored is computed
once for its sums, and once more for its values. All of it is what the whole decoder computes, but
for the order in which numbers are added: every row sees its true neighbours, and every group norm
the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tvm import relax, te, topi

from wsd.compiler.tir.legalize.group_layer_norm import group_norm_kernels
from wsd.compiler.tvm_compat import (
    IRModule,
    injective_attributes,
    opaque_attributes,
    operator_name,
    shape_of,
    tir,
    variables_of,
)

_FLOAT = 4
# Strips of a whole image that one kernel joins: with its result they are buffers that every
# WebGPU adapter binds.
_JOINED = 7
# Strips that the kernel joins that normalises them, which reads four tensors more.
_FUSED = 3
_CONVOLUTION, _NORM, _DOUBLING = "relax.nn.conv2d", "relax.nn.group_norm", "relax.image.resize2d"
_ELEMENTWISE = ("relax.nn.silu", "relax.add", "relax.subtract", "relax.multiply", "relax.divide")


@dataclass(frozen=True)
class Limits:
    """What is computed in strips, and what of it is stored.

    Attributes:
        whole: a function is left as it is if none of its images has more bytes.
        strip: an image with more bytes is computed in strips of so many, about.
        stored: bytes of the images that are stored as strips at a time, about; what is beyond is
            computed again where it is read.
    """

    whole: int
    strip: int
    stored: int


def choose_limits(whole: int, largest: int) -> Limits:
    """Return the limits of a function.

    Args:
        whole: the most bytes of an image that is computed whole.
        largest: bytes of the function's largest image.
    """
    # What comes up to a VAE's last level has twice as many channels as the level, all of whose
    # output has to be stored. Beside it are strips of what a norm reads, and a few that pass.
    return Limits(whole, strip=largest // 32, stored=largest * 11 // 16)


def in_strips(module: IRModule, whole: Mapping[str, int | Limits]) -> IRModule:
    """Return the module with some functions' large images computed in strips.

    Args:
        module: holds the functions.
        whole: name of a function → the most bytes of an image that it computes whole, from which
            the other limits follow; or all of its limits.
    """
    for name, limit in whole.items():
        module = _rewrite(module, name, limit)
    return module


def _rewrite(module: IRModule, name: str, limit: int | Limits) -> IRModule:
    function = module[name]
    bindings = [binding for block in function.body.blocks for binding in block.bindings]
    images = [b.var for b in bindings if _is_image(b)]
    largest = max((_bytes(image) for image in images), default=0)
    limits = limit if isinstance(limit, Limits) else choose_limits(limit, largest)
    if largest <= limits.whole:
        return module
    graph = _Graph.of(bindings, limits)
    if not graph.is_suitable(bindings, function.body.body):
        return module
    mutator = _InStrips(module, graph, limits)
    mutator.builder_.update_func(
        mutator.builder_.get().get_global_var(name), mutator.visit_expr(function)
    )
    return mutator.builder_.get()


def _is_image(binding: Any) -> bool:
    """Tell whether a binding is of an operator that can be computed for some rows of an image."""
    call = binding.value
    name = operator_name(call)
    if name not in (_CONVOLUTION, _NORM, _DOUBLING, *_ELEMENTWISE):
        return False
    shape = shape_of(binding.var)
    if len(shape) != 4 or shape[0] != 1:
        return False
    attrs = call.attrs
    if name == _CONVOLUTION:
        return _is_even_convolution(call)
    if name == _NORM:
        return int(attrs.channel_axis) == 3 and bool(attrs.center) and bool(attrs.scale)
    if name == _DOUBLING:
        small = shape_of(call.args[0])
        # Each row comes from one row alone.
        is_copied = str(attrs.layout) == "NHWC" and str(attrs.method) == "nearest_neighbor"
        return is_copied and _is_of_half_the_row(attrs) and shape[1] == 2 * small[1]
    return not any(_has_own_rows(argument) for argument in call.args)


def _is_of_half_the_row(attrs: Any) -> bool:
    """Tell whether row y of an image with twice as many rows is row y // 2 of the smaller one."""
    way = str(attrs.coordinate_transformation_mode), str(attrs.rounding_method)
    # y / 2, rounded down; or (y + 0.5) / 2 - 0.5, which is y / 2 - 0.25, to the nearest.
    return way in (("asymmetric", "floor"), ("half_pixel", "round"))


def _has_own_rows(operand: Any) -> bool:
    """Tell whether an operand has values for each row, and is no image of a variable."""
    shape = shape_of(operand)
    if len(shape) == 4 and isinstance(operand, relax.Var):
        return False
    return len(shape) >= 3 and shape[-3] != 1


def _is_even_convolution(call: Any) -> bool:
    """Tell whether a convolution gives as many rows as it takes, of an odd number for each."""
    attrs = call.attrs
    top, _, bottom, _ = (int(side) for side in attrs.padding)
    rows = shape_of(call.args[1])[2]
    return (
        str(attrs.data_layout) == "NHWC"
        and int(attrs.strides[0]) == int(attrs.dilation[0]) == int(attrs.groups) == 1
        and top == bottom == rows // 2
        and rows % 2 == 1
    )


def _bytes(image: Any) -> int:
    return _FLOAT * math.prod(shape_of(image))


@dataclass
class _Graph:
    """The images that are computed in strips, in the order in which the function computes them.

    Attributes:
        calls: image → the operator that gives it.
        stored: images that are needed whole by what reads them → images of :attr:`stored` and
            whole images from which each is computed.
        shares: image of :attr:`stored` → number of its rows that are kept.
        passing: images of which the rows that are kept are dropped as soon as the image after it
            has been computed; what else reads them computes them again.
    """

    calls: dict[Any, Any] = field(default_factory=dict)
    stored: dict[Any, list[Any]] = field(default_factory=dict)
    shares: dict[Any, int] = field(default_factory=dict)
    passing: set[Any] = field(default_factory=set)

    @classmethod
    def of(cls, bindings: list[Any], limits: Limits) -> _Graph:
        """Find the images from the first that is too large on, and choose what is stored."""
        graph = cls()
        is_read_whole = False
        for binding in bindings:
            if not _is_image(binding):
                is_read_whole |= any(read in graph.calls for read in variables_of(binding.value))
                continue
            if is_read_whole:
                # What an operator of another kind reads, such as an attention, is computed whole.
                graph.calls.clear()
                is_read_whole = False
            reads_strips = any(argument in graph.calls for argument in binding.value.args)
            if reads_strips or _bytes(binding.var) > limits.strip:
                graph.calls[binding.var] = binding.value
        read_whole = {
            call.args[0]
            for call in graph.calls.values()
            if operator_name(call) in (_NORM, _DOUBLING) and call.args[0] in graph.calls
        }
        inside = {argument for call in graph.calls.values() for argument in call.args}
        for image in graph.calls:
            if image in read_whole or image not in inside:
                graph.stored[image] = graph._sources(image)
        graph._choose(limits)
        return graph

    def is_suitable(self, bindings: list[Any], result: Any) -> bool:
        """Tell whether the images are those of a decoder as this pass knows it.

        That has group norms, of one number of groups for an image, and only its last image is read
        by what is computed whole. Without group norms, as in a tiny autoencoder, nothing would be
        stored in strips.

        Args:
            bindings: the function's.
            result: what the function returns.
        """
        groups: dict[Any, set[int]] = {}
        for call in self.calls.values():
            if operator_name(call) == _NORM:
                groups.setdefault(call.args[0], set()).add(int(call.attrs.num_groups))
        outside = [b.value for b in bindings if b.var not in self.calls]
        read = {v for value in (*outside, result) for v in variables_of(value) if v in self.calls}
        is_uniform = all(len(numbers) == 1 for numbers in groups.values())
        return bool(groups) and is_uniform and read == {list(self.calls)[-1]}

    def _sources(self, image: Any) -> list[Any]:
        """Return the stored images from which an image is computed, itself left out."""
        found: dict[Any, None] = {}
        waiting = list(self.calls[image].args)
        while waiting:
            argument = waiting.pop()
            if argument in self.stored:
                found[argument] = None
            elif argument in self.calls:
                waiting.extend(self.calls[argument].args)
        return list(found)

    def _choose(self, limits: Limits) -> None:
        """Store of each image as many rows as the budget has room for, beside what is stored."""
        order = list(self.stored)
        for position, image in enumerate(order):
            rows = shape_of(image)[1]
            self.shares[image] = rows
            if position == len(order) - 1:
                break
            beside = self._bytes_beside(image, order[position + 1 :])
            if beside + _bytes(image) <= limits.stored:
                continue
            # What it is computed from stays, because some of it is computed again.
            self.shares[image] = 0
            beside = self._bytes_beside(image, order[position + 1 :])
            row = _bytes(image) // rows
            self.shares[image] = max(0, min(rows, (limits.stored - beside) // row))
            if _bytes(image) > limits.stored:
                self.passing.add(image)

    def _bytes_beside(self, image: Any, later: list[Any]) -> int:
        """Return the bytes of the stored rows of other images that later ones are computed from."""
        needed: set[Any] = set()
        waiting = [source for one in later for source in self.stored[one]]
        while waiting:
            source = waiting.pop()
            if source in needed or source not in self.shares:
                continue
            if source not in self.passing:
                needed.add(source)
            if self.shares[source] < shape_of(source)[1]:
                waiting += self.stored[source]
        return sum(
            self.shares[one] * (_bytes(one) // shape_of(one)[1]) for one in needed if one != image
        )


@dataclass(frozen=True)
class _Rows:
    """Some rows of an image.

    Attributes:
        value: the rows, (1, rows, width, channels).
        top: which row of the image is the first.
        valid: the first row that is as in the whole image, and the one after the last.
    """

    value: Any
    top: int
    valid: tuple[int, int]


@relax.expr_functor.mutator
class _InStrips(relax.PyExprMutator):
    """Computes a graph's images where something reads one of them that is computed whole."""

    def __init__(self, module: IRModule, graph: _Graph, limits: Limits) -> None:
        super().__init__(module)
        self._graph = graph
        self._limits = limits
        # Stored image → its strips, (first row, row after the last, values).
        self._strips: dict[Any, list[tuple[int, int, Any]]] = {}
        # Input of a group norm → its sums, and those of squared differences from the mean.
        self._sums: dict[Any, tuple[Any, Any]] = {}
        self._whole: dict[Any, Any] = {}

    def visit_var_binding_(self, binding: Any) -> None:
        if binding.var in self._graph.calls:
            # Emitted when it is read.
            return
        super().visit_var_binding_(binding)

    def visit_var_(self, variable: Any) -> Any:
        return self._join(variable) if variable in self._graph.calls else self._head(variable)

    def visit_dataflow_var_(self, variable: Any) -> Any:
        return self.visit_var_(variable)

    def _head(self, variable: Any) -> Any:
        return super().visit_var_(variable)

    def _emit(self, expression: Any) -> Any:
        return self.builder_.emit(expression)

    def _join(self, image: Any) -> Any:
        """Compute an image that something reads that is not computed in strips."""
        if image in self._whole:
            return self._whole[image]
        before: Any = None
        for stored in self._graph.stored:
            if stored in self._strips:
                continue
            self._compute(stored)
            if before in self._graph.passing:
                self._strips[before] = []
            before = stored
        self._whole[image] = self._joined([value for *_, value in self._strips[image]])
        return self._whole[image]

    def _joined(self, values: list[Any]) -> Any:
        """Return rows below each other, of at least one value."""

        def join(*parts: te.Tensor) -> te.Tensor:
            return topi.concatenate(parts, axis=1)

        joined, *waiting = values
        while waiting:
            parts = [joined, *waiting[: _JOINED - 1]]
            del waiting[: _JOINED - 1]
            # Nothing is fused with it, so that it has no more buffers than its parts.
            joined = self.builder_.emit_te(
                join, *parts, primfunc_name_hint="join", primfunc_attrs=opaque_attributes()
            )
        return joined

    def _compute(self, image: Any) -> None:
        """Compute an image's strips: store those that are kept, and add up what norms need."""
        kept: list[tuple[int, int, Any]] = []
        total: Any = None
        spread: Any = None
        first: Any = None
        for start, stop in self._partition(image):
            value = self._crop(self._rows_of_call(image, start, stop), start, stop)
            if groups := self._groups(image):
                kernels = group_norm_kernels(shape_of(value), groups)
                own = kernels.emit_total(self.builder_, value)
                # Differences from the mean of the first strip; it is near enough to the mean of all
                # that few digits are lost when the sums are moved there.
                first = first or (own, stop - start)
                shift = self._scale(first[0], (stop - start) / first[1])
                squares = kernels.emit_spread(self.builder_, value, shift)
                total = own if total is None else self._added(total, own)
                spread = squares if spread is None else self._added(spread, squares)
            if stop <= self._graph.shares[image]:
                kept.append((start, stop, value))
        self._strips[image] = kept
        if first is not None:
            self._sums[image] = (total, self._moved(image, total, spread, first))

    def _added(self, one: Any, other: Any) -> Any:
        """Return the sum of two strips' sums, computed right here.

        As an operator it would be fused with those of later strips, which would all have to be
        there first.
        """

        def added(one: te.Tensor, other: te.Tensor) -> te.Tensor:
            return te.compute(one.shape, lambda *at: one(*at) + other(*at), name="added")

        return self.builder_.emit_te(
            added, one, other, primfunc_name_hint="added", primfunc_attrs=opaque_attributes()
        )

    def _moved(self, image: Any, total: Any, spread: Any, first: tuple[Any, int]) -> Any:
        """Return sums of squared differences from the mean, given those from the first strip's."""
        _, rows, width, channels = shape_of(image)
        row = width * channels // self._groups(image)
        numbers, ratio = rows * row, rows / first[1]

        def moved(total: te.Tensor, spread: te.Tensor, first: te.Tensor) -> te.Tensor:
            def element(*at: Any) -> Any:
                away = total(*at) - first(*at) * tir.const(ratio, "float32")
                less = away * away * tir.const(1.0 / numbers, "float32")
                return tir.max(spread(*at) - less, tir.const(0, "float32"))

            return te.compute(total.shape, element, name="moved")

        return self.builder_.emit_te(
            moved, total, spread, first[0],
            primfunc_name_hint="moved", primfunc_attrs=opaque_attributes(),
        )  # fmt: skip

    def _scale(self, sums: Any, factor: float) -> Any:
        if factor == 1:
            return sums
        return self._emit(relax.op.multiply(sums, relax.const(factor, "float32")))

    def _groups(self, image: Any) -> int:
        """Return the groups of the norms that read an image; 0 if none does."""
        found = {
            int(call.attrs.num_groups)
            for call in self._graph.calls.values()
            if operator_name(call) == _NORM and call.args[0] == image
        }
        return found.pop() if found else 0

    def _partition(self, image: Any) -> Iterator[tuple[int, int]]:
        """Yield the first row of each strip of an image, and the row after the last."""
        rows = shape_of(image)[1]
        row = _bytes(image) // rows
        if _bytes(image) <= self._limits.strip:
            # A small image of a large one, as the picture itself is.
            sources = self._graph.stored[image]
            row = max((_bytes(source) for source in sources), default=_bytes(image)) // rows
        height = max(2, self._limits.strip // row // 2 * 2)
        share = self._graph.shares[image]
        start = 0
        while start < rows:
            # The broadest images are computed most often. Their strips that do not stay are larger:
            # there are margins of fewer of them.
            larger = image in self._graph.passing and start + height > share
            stop = min(start + (2 * height if larger else height), rows)
            yield start, stop
            start = stop

    def _rows(self, image: Any, start: int, stop: int) -> _Rows:
        """Return some rows of an image, or more: from what is stored, else computed."""
        if image not in self._graph.calls:
            return _Rows(self.visit_expr(image), 0, (0, shape_of(image)[1]))
        found, at = [], start
        for first, after, value in self._strips.get(image, ()):
            if first <= at < after and at < stop:
                upto = min(after, stop)
                found.append((value, at - first, upto - first))
                at = upto
        if at < stop:
            return self._rows_of_call(image, start, stop)
        pieces = [self._cut(*piece) for piece in found]
        if len(pieces) > _FUSED:
            pieces = [self._joined(pieces)]
        value = pieces[0] if len(pieces) == 1 else self._emit(relax.op.concat(pieces, axis=1))
        return _Rows(value, start, (start, stop))

    def _exact(self, image: Any, start: int, stop: int) -> Any:
        return self._crop(self._rows(image, start, stop), start, stop)

    def _crop(self, rows: _Rows, start: int, stop: int) -> Any:
        assert rows.valid[0] <= start < stop <= rows.valid[1]
        return self._cut(rows.value, start - rows.top, stop - rows.top)

    def _cut(self, value: Any, start: int, stop: int) -> Any:
        if (start, stop) == (0, shape_of(value)[1]):
            return value

        def cut(x: te.Tensor) -> te.Tensor:
            shape = (x.shape[0], stop - start, *x.shape[2:])
            return te.compute(shape, lambda n, y, z, c: x(n, y + start, z, c), name="cut")

        # The operator would be fused with a convolution before it, which no written kernel is for.
        return self.builder_.emit_te(
            cut, value, primfunc_name_hint="cut", primfunc_attrs=injective_attributes()
        )

    def _rows_of_call(self, image: Any, start: int, stop: int) -> _Rows:
        """Compute some rows of an image, or more."""
        call = self._graph.calls[image]
        name = operator_name(call)
        if name == _CONVOLUTION:
            return self._convolved(image, call, start, stop)
        if name == _DOUBLING:
            first, after = start // 2, -(-stop // 2)
            width = shape_of(image)[2]
            small = self._exact(call.args[0], first, after)
            size = (2 * (after - first), width)
            made = self._emit(relax.Call(call.op, [small, relax.ShapeExpr(size)], call.attrs))
            return _Rows(made, 2 * first, (2 * first, 2 * after))
        if name == _NORM:
            rows = self._rows(call.args[0], start, stop)
            return _Rows(self._normalized(call, rows.value), rows.top, rows.valid)
        return self._elementwise(image, call, start, stop)

    def _normalized(self, call: Any, value: Any) -> Any:
        image, scale, shift = call.args
        groups = int(call.attrs.num_groups)
        kernels = group_norm_kernels(shape_of(value), groups)
        return self._emit(
            kernels.call_normalize(
                self.builder_, value, self._sums[image],
                self.visit_expr(scale), self.visit_expr(shift),
                epsilon=float(call.attrs.epsilon),
                numbers=group_norm_kernels(shape_of(image), groups).numbers,
            )
        )  # fmt: skip

    def _elementwise(self, image: Any, call: Any, start: int, stop: int) -> _Rows:
        """Compute elementwise; what has one row for all, such as a bias, is taken as it is."""
        height = shape_of(image)[1]
        tall = [
            argument
            for argument in call.args
            if isinstance(argument, relax.Var)
            and len(shape_of(argument)) == 4
            and shape_of(argument)[1] == height
        ]
        if len(tall) == 1:
            rows = self._rows(tall[0], start, stop)
            top, valid, values = rows.top, rows.valid, [rows.value]
        else:
            top, valid = start, (start, stop)
            values = [self._exact(argument, start, stop) for argument in tall]
        given = dict(zip(tall, values, strict=True))
        arguments = [
            given[argument] if argument in tall else self.visit_expr(argument)
            for argument in call.args
        ]
        return _Rows(self._emit(relax.Call(call.op, arguments, call.attrs)), top, valid)

    def _convolved(self, image: Any, call: Any, start: int, stop: int) -> _Rows:
        """Convolve rows that have a margin, which is dropped where it is not the image's edge."""
        height = shape_of(image)[1]
        halo = shape_of(call.args[1])[2] // 2
        margin, step = halo, 1
        source = self._graph.calls.get(call.args[0])
        if halo and source is not None and operator_name(source) == _DOUBLING:
            # Whole pairs of rows, so that the kernel reads the rows before the doubling.
            margin, step = halo + 1, 2
        # Strips at the edges take as many rows as the others, so that one kernel is for all.
        count = min(height, -(-(stop - start) // step) * step + 2 * margin)
        top = min(max(0, start - margin) // step * step, height - count)
        value = self._exact(call.args[0], top, top + count)
        made = relax.Call(call.op, [value, self.visit_expr(call.args[1])], call.attrs)
        valid = (
            top + halo if top else 0,
            top + count - halo if top + count < height else height,
        )
        return _Rows(self._emit(made), top, valid)
