"""Weights in packed words, unpacked inside the kernel that reads them.

:func:`store_packed` gives a function packed parameters and unpacks each at its
first use; the legalizers below recognise such a weight and read the words
themselves, so that no unpacked copy is ever stored. Bit tricks and not
``unpack2x16float``: they run on every target, and a test compares all 65536
halves.

Plug points: ``LegalizeOps`` for ``relax.nn.conv2d`` and ``relax.take``;
:func:`packed_operand` for other products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax, te, topi

from wsd.storage import SCALE, Parameter
from wsd.tvm_compat import IRModule, shape_of, tensor_variable, tir

# Stages of this name stay blocks of their own when a product is scheduled.
UNPACKED = "unpacked"
UNPACK = "unpack_"
_OUT_ELEMENTWISE = 4  # relay's kOutEWiseFusable: a product that elementwise work may join

_default_conv2d = tvm.ir.Op.get("relax.nn.conv2d").get_attr("FLegalize")
_default_take = tvm.ir.Op.get("relax.take").get_attr("FLegalize")


@dataclass(frozen=True)
class Operand:
    """A weight as a kernel takes it.

    Attributes:
        arguments: Relax expressions to pass: the weight itself, or its words and scales.
        values: their TE placeholders → the weight's values, not yet scaled.
    """

    arguments: list[Any]
    values: Callable[..., te.Tensor]

    @property
    def attributes(self) -> dict[str, Any] | None:
        """Return the PrimFunc's attributes: with stages of its own, its kind must be said."""
        return {"op_pattern": _OUT_ELEMENTWISE} if len(self.arguments) > 1 else None


def packed_operand(builder: Any, weight: Any) -> Operand:
    """Tell how a product reads a weight, a Relax tensor of the current block."""
    binding: Any = builder.lookup_binding(weight) if isinstance(weight, relax.Var) else None
    if not _is_unpack(binding):
        return Operand([weight], lambda w: w)
    words = list(binding.args[1])
    shape = shape_of(weight)
    if len(words) == 1:
        return Operand(words, lambda packed: unpack_halves(packed, shape))
    return Operand(words, lambda packed, _scales: unpack_bytes(packed, shape))


def _is_unpack(binding: Any) -> bool:
    return (
        isinstance(binding, relax.Call)
        and getattr(binding.op, "name", "") == "relax.call_tir"
        and binding.args[0].name_hint.startswith(UNPACK)
    )


def legalize_conv2d(builder: Any, call: Any) -> Any:
    """Lower ``conv2d`` with a packed weight; any other takes TVM's lowering.

    Shapes: x (n, c, h, w), weight (o, c, kh, kw), result (n, o, h', w'), float32.
    """
    image, weight = call.args
    operand = packed_operand(builder, weight)
    if operand.arguments == [weight]:
        return _default_conv2d(builder, call)
    attrs = call.attrs

    def packed_conv2d(x: te.Tensor, *stored: te.Tensor) -> te.Tensor:
        result = topi.nn.conv(
            x,
            operand.values(*stored),
            stride=_integers(attrs.strides),
            padding=_integers(attrs.padding),
            dilation=_integers(attrs.dilation),
            groups=int(attrs.groups),
            data_layout=str(attrs.data_layout),
            kernel_layout=str(attrs.kernel_layout),
        )
        return scaled(result, stored, channel=1)

    return builder.call_te(
        packed_conv2d, image, *operand.arguments, primfunc_name_hint="conv2d",
        primfunc_attrs=operand.attributes,
    )  # fmt: skip


def _integers(values: Any) -> list[int]:
    return [int(value) for value in values]


def legalize_take(builder: Any, call: Any) -> Any:
    """Lower a look-up of rows in a packed table; any other ``take`` takes TVM's lowering.

    Shapes: table (rows, width), indices (...) int32, result (..., width) float32.
    """
    table, indices = call.args
    operand = packed_operand(builder, table)
    if operand.arguments == [table]:
        return _default_take(builder, call)

    def packed_take(found: te.Tensor, words: te.Tensor) -> te.Tensor:
        return topi.take(operand.values(words), found, axis=0, mode="clip")

    return builder.call_te(packed_take, indices, *operand.arguments, primfunc_name_hint="take")


def scaled(result: te.Tensor, stored: tuple[te.Tensor, ...], channel: int) -> te.Tensor:
    """Multiply a product by its weight's scales, if it has any.

    Args:
        result: the product.
        stored: the TE placeholders of the weight: itself, or its words and scales.
        channel: the axis of ``result`` that holds output channels.
    """
    if len(stored) == 1:
        return result
    _, factors = stored
    return te.compute(
        result.shape, lambda *index: result(*index) * factors(index[channel]), name="scaled"
    )


def _position(index: tuple[Any, ...], shape: list[int]) -> Any:
    flat: Any = 0
    for at, extent in zip(index, shape, strict=True):
        flat = flat * extent + at
    return flat


def _field(words: te.Tensor, position: Any, bits: int) -> tuple[Any, Any]:
    """Return the word that holds a field, and how many bits lie below the field in it."""
    per_word = 32 // bits
    word = words(tir.indexdiv(position, per_word))
    slot = tir.indexmod(position, per_word).astype("uint32")
    return word, slot * tir.const(bits, "uint32")


def unpack_halves(words: te.Tensor, shape: list[int]) -> te.Tensor:
    """Return float16 values as float32, exactly, subnormal ones included.

    Args:
        words: (⌈n / 2⌉,) uint32.
        shape: of the n values.
    """

    def value(*index: Any) -> Any:
        word, shift = _field(words, _position(index, shape), 16)
        half = word >> shift
        magnitude = half & tir.const(0x7FFF, "uint32")
        sign = (half & tir.const(0x8000, "uint32")) << tir.const(16, "uint32")
        # Exponents count from 15 in a half and from 127 in a float.
        normal = (magnitude << tir.const(13, "uint32")) + tir.const(112 << 23, "uint32")
        step = tir.const(2.0**-24, "float32")
        tiny = tir.reinterpret("uint32", magnitude.astype("float32") * step)
        bits = tir.Select(magnitude < tir.const(0x0400, "uint32"), tiny, normal)
        return tir.reinterpret("float32", bits | sign)

    return te.compute(shape, value, name=UNPACKED)


def unpack_bytes(words: te.Tensor, shape: list[int]) -> te.Tensor:
    """Return int8 values as float32.

    Args:
        words: (⌈n / 4⌉,) uint32.
        shape: of the n values.
    """

    def value(*index: Any) -> Any:
        word, shift = _field(words, _position(index, shape), 8)
        byte = (word >> shift) & tir.const(0xFF, "uint32")
        # 0 … 127, 128 … 255 stand for 0 … 127, -128 … -1.
        signed = (byte ^ tir.const(0x80, "uint32")).astype("int32") - tir.const(0x80, "int32")
        return signed.astype("float32")

    return te.compute(shape, value, name=UNPACKED)


def store_packed(
    module: IRModule, name: str, inputs: int, parameters: Sequence[Parameter]
) -> IRModule:
    """Replace float32 parameters of a function by packed ones.

    Args:
        module: what holds the function.
        name: of the function.
        inputs: how many of its arguments come before its parameters.
        parameters: what the others are.
    """
    function = module[name]
    packed: dict[Any, list[Any]] = {}
    arguments: list[Any] = list(function.params[:inputs])
    for variable, parameter in zip(function.params[inputs:], parameters, strict=True):
        if parameter.storage == "float32":
            arguments.append(variable)
            continue
        words = [tensor_variable(parameter.name, (parameter.words,), "uint32")]
        if parameter.storage == "int8":
            scales = tensor_variable(parameter.name + SCALE, parameter.shape[:1], "float32")
            words.append(scales)
        packed[variable] = words
        arguments += words
    if not packed:
        return module
    mutator = _Unpacker(module, packed)
    mutator.rewrite(name, function, arguments)
    return mutator.builder_.get()


@relax.expr_functor.mutator
class _Unpacker(relax.PyExprMutator):
    """Puts an unpacking call before the first use of each packed parameter."""

    def __init__(self, module: IRModule, packed: dict[Any, list[Any]]) -> None:
        super().__init__(module)
        self._packed = packed
        self._unpacked: dict[Any, Any] = {}

    def rewrite(self, name: str, function: Any, arguments: list[Any]) -> None:
        body = self.visit_expr(function.body)
        rewritten = relax.Function(arguments, body, None, function.is_pure, function.attrs)
        self.builder_.update_func(self.builder_.get().get_global_var(name), rewritten)

    def visit_var_(self, variable: Any) -> Any:
        if variable not in self._packed:
            return variable
        if variable not in self._unpacked:
            self._unpacked[variable] = self.builder_.emit(self._unpack(variable))
        return self._unpacked[variable]

    def _unpack(self, variable: Any) -> Any:
        words = self._packed[variable]
        shape = shape_of(variable)

        def unpack_halves_(packed: te.Tensor) -> te.Tensor:
            return unpack_halves(packed, shape)

        def unpack_bytes_(packed: te.Tensor, scales: te.Tensor) -> te.Tensor:
            values = unpack_bytes(packed, shape)
            return te.compute(shape, lambda *at: values(*at) * scales(at[0]), name="scaled")

        kernel = unpack_halves_ if len(words) == 1 else unpack_bytes_
        return self.builder_.call_te(
            kernel, *words, primfunc_name_hint=UNPACK + kernel.__name__.split("_")[1]
        )
