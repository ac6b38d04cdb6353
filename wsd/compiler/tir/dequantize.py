"""Unpack float16, int8 and int4 weights from uint32 words, inside the kernel that reads them.

:mod:`wsd.compiler.passes.pack_parameters` gives a function packed parameters and unpacks each at
its first use. The legalizers call :func:`packed_operand`, which matches that unpacking, and read
the words themselves, so that no unpacked copy is written to memory. float16 is converted with
integer operations, because WGSL's ``unpack2x16float`` is not available on the CPU target, where a
test compares all 65536 values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import relax, te

from wsd.compiler.tvm_compat import gemm_attributes, operator_name, shape_of, tir
from wsd.spec.parameter import GROUP, Storage

# Name of the TE stage that unpacks: the schedule of a GEMM keeps it as a block of its own.
UNPACKED = "unpacked"
# Name of the TE stage that reads the scales of int4.
GROUP_SCALES = "group_scales"
# Prefix of the TIR functions that pack_parameters emits.
UNPACK = "unpack_"


@dataclass(frozen=True)
class Operand:
    """A weight as a kernel reads it.

    Attributes:
        arguments: Relax expressions to pass to the kernel: the weight, or its words and scales.
        values: takes their TE placeholders and returns the weight's values, those of int8 not yet
            scaled.
        storage: how the weight is stored.
    """

    arguments: list[Any]
    values: Callable[..., te.Tensor]
    storage: Storage = "float32"

    @property
    def attributes(self) -> dict[str, Any] | None:
        """Return the TIR function's attributes.

        They mark it as a GEMM, because TVM does not see that where a stage unpacks the weight.
        """
        return gemm_attributes() if len(self.arguments) > 1 else None


def packed_operand(builder: Any, weight: Any) -> Operand:
    """Return how a kernel reads a weight, a Relax tensor of the block that is being built."""
    binding: Any = builder.lookup_binding(weight) if isinstance(weight, relax.Var) else None
    if not _is_unpack(binding):
        return Operand([weight], lambda w: w)
    words = list(binding.args[1])
    shape = shape_of(weight)
    if len(words) == 1:
        return Operand(words, lambda packed: unpack_float16(packed, shape), "float16")
    if binding.args[0].name_hint.startswith(f"{UNPACK}int4"):
        return Operand(words, lambda packed, scales: unpack_int4(packed, scales, shape), "int4")
    return Operand(words, lambda packed, _scales: unpack_int8(packed, shape), "int8")


def _is_unpack(binding: Any) -> bool:
    return operator_name(binding) == "relax.call_tir" and binding.args[0].name_hint.startswith(
        UNPACK
    )


def scaled(
    operand: Operand, result: te.Tensor, stored: tuple[te.Tensor, ...], channel: int
) -> te.Tensor:
    """Multiply a GEMM's result by the scales of its weight, if it is int8.

    Args:
        operand: the weight.
        result: the sums, not yet scaled.
        stored: the TE placeholders of the weight: itself, or its words and scales.
        channel: the axis of ``result`` that holds output channels.

    Returns:
        float32 of the shape of ``result``.
    """
    if operand.storage != "int8":
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
    """Return the word that holds a field of some bits, and how far to shift it right."""
    per_word = 32 // bits
    word = words(tir.indexdiv(position, per_word))
    slot = tir.indexmod(position, per_word).astype("uint32")
    return word, slot * tir.const(bits, "uint32")


def unpack_float16(words: te.Tensor, shape: list[int]) -> te.Tensor:
    """Return float16 values as float32, exactly, subnormal ones included.

    Args:
        words: (⌈n / 2⌉,) uint32.
        shape: of the n values.
    """
    return te.compute(shape, lambda *index: _float16(words, _position(index, shape)), name=UNPACKED)


def _float16(words: te.Tensor, position: Any) -> Any:
    """Return the float16 at a position as float32."""
    word, shift = _field(words, position, 16)
    encoded = word >> shift
    magnitude = encoded & tir.const(0x7FFF, "uint32")
    sign = (encoded & tir.const(0x8000, "uint32")) << tir.const(16, "uint32")
    # The bias of exponents is 15 in a float16 and 127 in a float32.
    normal = (magnitude << tir.const(13, "uint32")) + tir.const(112 << 23, "uint32")
    step = tir.const(2.0**-24, "float32")
    tiny = tir.reinterpret("uint32", magnitude.astype("float32") * step)
    bits = tir.Select(magnitude < tir.const(0x0400, "uint32"), tiny, normal)
    return tir.reinterpret("float32", bits | sign)


def unpack_int8(words: te.Tensor, shape: list[int]) -> te.Tensor:
    """Return int8 values as float32.

    Args:
        words: (⌈n / 4⌉,) uint32.
        shape: of the n values.
    """

    def value(*index: Any) -> Any:
        word, shift = _field(words, _position(index, shape), 8)
        byte = (word >> shift) & tir.const(0xFF, "uint32")
        # Two's complement: bytes 128 … 255 are the values -128 … -1.
        signed = (byte ^ tir.const(0x80, "uint32")).astype("int32") - tir.const(0x80, "int32")
        return signed.astype("float32")

    return te.compute(shape, value, name=UNPACKED)


def unpack_int4(words: te.Tensor, scales: te.Tensor, shape: list[int]) -> te.Tensor:
    """Return int4 values times the scales of their groups as float32.

    Args:
        words: (⌈n / 8⌉,) uint32.
        scales: (⌈n / GROUP / 2⌉,) uint32, two float16 a word.
        shape: of the n values; the axes but the first have a multiple of
            :data:`wsd.spec.parameter.GROUP` values.
    """
    rows, groups = shape[0], math.prod(shape[1:]) // GROUP
    factors = te.compute(
        (rows, groups), lambda row, at: _float16(scales, row * groups + at), name=GROUP_SCALES
    )

    def value(row: Any, *index: Any) -> Any:
        word, shift = _field(words, _position((row, *index), shape), 4)
        # The field at the top of a signed word, from where a shift keeps its sign.
        top = tir.reinterpret("int32", word << (tir.const(28, "uint32") - shift))
        signed = top >> tir.const(28, "int32")
        group = tir.indexdiv(_position(index, shape[1:]), GROUP)
        return signed.astype("float32") * factors[row, group]

    return te.compute(shape, value, name=UNPACKED)
