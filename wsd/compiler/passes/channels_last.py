"""Convert the layout of images inside the denoiser and the VAE from NCHW to NHWC.

In: Relax as PyTorch exports it: images are (batch, channels, height, width), and attention
transposes where it begins and ends.
Out: the same functions, which compute with (batch, height, width, channels). A pixel is a row of a
matrix then, which convolutions, linear layers and attention all read. Only a function's image
inputs and outputs are still transposed.

The pass rewrites one operator after the other. An operator that it knows computes its result with
channels last and transposes it back. If the next operator is known too, it takes the tensor from
before that transpose, and dead code elimination removes the transpose at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax

from wsd.compiler.tvm_compat import (
    IRModule,
    cropped,
    operator_name,
    permuted,
    shape_of,
    zero_padded,
)

_ELEMENTWISE = (
    "relax.nn.relu",
    "relax.nn.silu",
    "relax.nn.gelu",
    "relax.sigmoid",
    "relax.exp",
    "relax.tanh",
)
_BINARY = {
    "relax.add": relax.op.add,
    "relax.subtract": relax.op.subtract,
    "relax.multiply": relax.op.multiply,
    "relax.divide": relax.op.divide,
}
# Ranks of images: (n, c, h, w), or (n, c, h * w) with all pixels in one row.
_RANKS = (3, 4)


def channels_last(module: IRModule) -> IRModule:
    """Return the module with images' channels last wherever that saves a transpose."""
    mutator = _ChannelsLast(module)
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function):
            mutator.builder_.update_func(variable, mutator.visit_expr(function))
    return relax.transform.DeadCodeElimination()(mutator.builder_.get())


def _first(rank: int) -> list[int]:
    """Return the axes of a transpose from channels last to channels first."""
    return [0, rank - 1, *range(1, rank - 1)]


def _last(rank: int) -> list[int]:
    """Return the axes of a transpose from channels first to channels last."""
    return [0, *range(2, rank), 1]


@relax.expr_functor.mutator
class _ChannelsLast(relax.PyExprMutator):
    """Rewrites calls as the module's docstring says."""

    def visit_call_(self, call: Any) -> Any:
        call = self.visit_expr_post_order(call)
        name = operator_name(call)
        if name == "relax.permute_dims":
            return self._compose(call)
        if name == "relax.expand_dims":
            return self._flatten(call.args[0], shape_of(call))
        found = None
        if name == "relax.nn.conv2d":
            found = self._conv2d(call)
        elif name == "relax.nn.group_norm":
            found = self._group_norm(call)
        elif name in _ELEMENTWISE:
            found = self._elementwise(call)
        elif name in _BINARY:
            found = self._binary(call, _BINARY[name])
        elif name == "relax.concat":
            found = self._concat(call)
        elif name == "relax.image.resize2d":
            found = self._resize(call)
        elif name == "relax.strided_slice":
            found = self._crop(call)
        elif name == "relax.reshape":
            found = self._reshape(call)
        if found is not None:
            return self._back(found)
        return self._flatten(call.args[0], shape_of(call)) if name == "relax.reshape" else call

    def _emit(self, expression: Any) -> Any:
        return self.builder_.emit(expression)

    def _binding(self, expression: Any) -> Any:
        if not isinstance(expression, relax.Var):
            return expression
        return self.lookup_binding(expression)

    def _back(self, result: Any) -> Any:
        """Emit a result and transpose it to channels first, for operators that are not known."""
        variable = self._emit(result)
        return relax.op.permute_dims(variable, _first(len(shape_of(variable))))

    def _twin(self, expression: Any) -> Any:
        """Return the tensor with channels last that an expression transposes, else None."""
        found = permuted(self._binding(expression))
        if found is None:
            return None
        inner, axes = found
        return inner if len(axes) in _RANKS and axes == _first(len(axes)) else None

    def _turn(self, expression: Any) -> Any:
        """Return a tensor with channels last; transpose it if that has not been computed."""
        twin = self._twin(expression)
        if twin is not None:
            return twin
        shape = shape_of(expression)
        axes = _last(len(shape))
        if all(extent == 1 for extent in shape[2:]):
            return self._emit(relax.op.reshape(expression, [shape[axis] for axis in axes]))
        return self._emit(relax.op.permute_dims(expression, axes))

    def _compose(self, call: Any) -> Any:
        """Compose a transpose with the one before it; return the source if they cancel out."""
        inner, axes = permuted(call)  # type: ignore[misc]
        before = permuted(self._binding(inner))
        if before is None:
            return call
        source, first = before
        joined = [first[axis] for axis in axes]
        if joined == sorted(joined):
            return source
        return relax.op.permute_dims(source, joined)

    def _flatten(self, expression: Any, shape: list[int]) -> Any:
        """Reshape; skip a reshape before it, because one alone is a view and costs nothing."""
        before = self._binding(expression)
        if operator_name(before) == "relax.reshape":
            expression = before.args[0]
        return relax.op.reshape(expression, shape)

    def _conv2d(self, call: Any) -> Any:
        image, weight = call.args
        attrs = call.attrs
        if str(attrs.data_layout) != "NCHW":
            return None
        padding = _integers(attrs.padding)
        if (padded := zero_padded(self._binding(image))) is not None:
            # The VAE's encoder pads below and to the right alone, which PyTorch's own padding of a
            # convolution cannot do.
            image, sides = padded
            padding = [own + more for own, more in zip(padding, sides, strict=True)]
        return relax.op.nn.conv2d(
            self._turn(image),
            weight,
            strides=_integers(attrs.strides),
            padding=padding,
            dilation=_integers(attrs.dilation),
            groups=int(attrs.groups),
            data_layout="NHWC",
            kernel_layout="OIHW",
            out_layout="NHWC",
        )

    def _group_norm(self, call: Any) -> Any:
        image, scale, shift = call.args
        attrs = call.attrs
        twin = self._twin(image)
        if twin is None or int(attrs.channel_axis) != 1:
            return None
        rank = len(shape_of(twin))
        return relax.op.nn.group_norm(
            twin,
            scale,
            shift,
            num_groups=int(attrs.num_groups),
            channel_axis=rank - 1,
            axes=list(range(1, rank - 1)),
            epsilon=float(attrs.epsilon),
            center=bool(attrs.center),
            scale=bool(attrs.scale),
        )

    def _elementwise(self, call: Any) -> Any:
        twin = self._twin(call.args[0])
        return None if twin is None else relax.Call(call.op, [twin], call.attrs)

    def _binary(self, call: Any, operator: Any) -> Any:
        twins = [self._twin(argument) for argument in call.args]
        if all(twin is None for twin in twins):
            return None
        rank = max(len(shape_of(twin)) for twin in twins if twin is not None)
        turned = []
        for argument, twin in zip(call.args, twins, strict=True):
            extents = shape_of(argument)
            if twin is not None and len(extents) == rank:
                turned.append(twin)
            elif not extents:
                turned.append(argument)
            elif len(extents) == rank:
                turned.append(self._turn(argument))
            else:
                return None
        return operator(*turned)

    def _concat(self, call: Any) -> Any:
        parts = self._binding(call.args[0])
        if int(call.attrs.axis) != 1 or not isinstance(parts, relax.Tuple):
            return None
        if any(self._twin(part) is None for part in parts.fields):
            return None
        turned = [self._twin(part) for part in parts.fields]
        return relax.op.concat(turned, axis=len(shape_of(turned[0])) - 1)

    def _resize(self, call: Any) -> Any:
        image, size = call.args
        twin = self._twin(image)
        attrs = call.attrs
        if twin is None or str(attrs.layout) != "NCHW":
            return None
        return relax.op.image.resize2d(
            twin,
            size,
            roi=[float(value) for value in attrs.roi],
            layout="NHWC",
            method=str(attrs.method),
            coordinate_transformation_mode=str(attrs.coordinate_transformation_mode),
            rounding_method=str(attrs.rounding_method),
            cubic_alpha=float(attrs.cubic_alpha),
            cubic_exclude=int(attrs.cubic_exclude),
            extrapolation_value=float(attrs.extrapolation_value),
        )

    def _crop(self, call: Any) -> Any:
        """Cut rows or columns off the end of an image; else return None."""
        image = cropped(call)
        twin = None if image is None else self._twin(image)
        if twin is None:
            return None
        before, after = shape_of(image), shape_of(call)
        if len(after) != 4 or before[:2] != after[:2]:
            return None
        return relax.op.strided_slice(twin, [1, 2], [0, 0], after[2:], [1, 1])

    def _reshape(self, call: Any) -> Any:
        """Reshape (h, w) to (h * w) or back with channels last; else return None."""
        twin = self._twin(call.args[0])
        before, after = shape_of(call.args[0]), shape_of(call)
        if twin is None or len(after) not in _RANKS or before[:2] != after[:2]:
            return None
        return relax.op.reshape(twin, [after[axis] for axis in _last(len(after))])


def _integers(values: Sequence[Any]) -> list[int]:
    return [int(value) for value in values]
