"""Weights in packed words, unpacked inside the kernel that reads them.

:mod:`wsd.compiler.passes.pack_parameters` gives a function packed parameters and unpacks
each at its first use; the legalizers recognise such a weight and read the words
themselves, so that no unpacked copy is ever stored. Bit tricks and not
``unpack2x16float``: they run on every target, and a test compares all 65536 halves.

Plug points: ``LegalizeOps`` for ``relax.take``; :func:`packed_operand` for products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import relax, te

from wsd.compiler.tvm_compat import gemm_attributes, operator_name, shape_of, tir

# Stages of this name stay blocks of their own when a product is scheduled.
UNPACKED = "unpacked"
UNPACK = "unpack_"


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
        return gemm_attributes() if len(self.arguments) > 1 else None


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
    return operator_name(binding) == "relax.call_tir" and binding.args[0].name_hint.startswith(
        UNPACK
    )


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
