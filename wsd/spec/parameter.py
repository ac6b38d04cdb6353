"""How a component's parameters are stored: float32, float16, or int8 or int4 with scales.

WebGPU's storage buffers hold 32-bit words, and many GPUs compute in float32 alone. So float16,
int8 and int4 values are packed into words, low bits first, and each kernel unpacks what it reads
(:mod:`wsd.compiler.tir.dequantize`). Sums are float32 in every precision, so that they cannot
overflow.

======== =============================== ===========================================
storage  used for                        in the buffer
======== =============================== ===========================================
float32  biases, norms, small tables     float32, row-major
float16  weights and embeddings          two values a word, row-major
int8     weights of ``w8a16``            four values a word, row-major, and a second
                                         buffer: one float32 scale for each output
                                         channel
int4     weights of ``w4a16``            eight values a word, row-major, and a second
                                         buffer: one float16 scale for each group of
                                         :data:`GROUP` values of a row, two a word
======== =============================== ===========================================

A row is what belongs to one output channel. The weight of a convolution is stored with its input
channels last, (out, height, width, in), as its kernel reads it. Every other tensor is stored in
PyTorch's shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from wsd.spec.roles import SAFETY_CHECKER, VAE_DECODER

Storage = Literal["float32", "float16", "int8", "int4"]
# What the graph does with a parameter: it is the weight of a linear layer or a convolution, a table
# of embeddings, or anything else.
Use = Literal["gemm", "embedding", "other"]

# Suffix of the name of the buffer with an int8 or int4 parameter's scales.
SCALE = ".scale"
# Axes of a convolution's weight (out, in, height, width) in the order in which they are stored.
CHANNELS_LAST = (0, 2, 3, 1)
# Values of an int4 row that share a scale. Rows whose length is no multiple of it stay int8.
GROUP = 32
# Bytes of each file of parameters but a component's last.
SHARD_BYTES = 32 << 20

# Values of each storage in a word.
PACKED_PER_WORD = {"float16": 2, "int8": 4, "int4": 8}


class BufferSpec(NamedTuple):
    """One buffer that a parameter becomes: its values, or the scales of packed integers.

    Attributes:
        name: of the record in the manifest.
        shape: in which the values are stored.
        storage: how the values are encoded.
        bytes: size of the buffer, a multiple of 4.
    """

    name: str
    shape: tuple[int, ...]
    storage: Storage
    bytes: int


@dataclass(frozen=True)
class Parameter:
    """One parameter of a component.

    Attributes:
        name: name in the state dict.
        shape: PyTorch's shape.
        storage: how the compiled functions read it.
        channels_last: whether it is the weight of a convolution, which is stored (out, height,
            width, in).
    """

    name: str
    shape: tuple[int, ...]
    storage: Storage = "float32"
    channels_last: bool = False

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Return the shape in which its values are stored."""
        if not self.channels_last:
            return self.shape
        return tuple(self.shape[axis] for axis in CHANNELS_LAST)

    @property
    def words(self) -> int:
        """Return the number of 32-bit words of a packed parameter, without its scales."""
        return -(-math.prod(self.shape) // PACKED_PER_WORD[self.storage])

    def buffers(self) -> list[BufferSpec]:
        """Return the buffers that stand for it, in the order of the params tuple."""
        if self.storage == "float32":
            return [BufferSpec(self.name, self.stored_shape, "float32", 4 * math.prod(self.shape))]
        packed = BufferSpec(self.name, self.stored_shape, self.storage, 4 * self.words)
        if self.storage == "float16":
            return [packed]
        return [packed, self._scales()]

    def _scales(self) -> BufferSpec:
        """Return the buffer of the scales of int8 or int4 values."""
        name = self.name + SCALE
        if self.storage == "int8":
            return BufferSpec(name, self.shape[:1], "float32", 4 * self.shape[0])
        shape = (self.shape[0], math.prod(self.shape[1:]) // GROUP)
        return BufferSpec(name, shape, "float16", stored_bytes(shape, "float16"))

    @property
    def bytes(self) -> int:
        """Return the size of its buffers in bytes."""
        return sum(buffer.bytes for buffer in self.buffers())


def stored_bytes(shape: Iterable[int], storage: Storage) -> int:
    """Return the size of a buffer of some values, padded to whole words, in bytes."""
    return 4 * -(-math.prod(shape) // PACKED_PER_WORD.get(storage, 1))


def choose_storage(
    dtype: str, role: str, use: Use, shape: Sequence[int] = (), *, is_sensitive: bool = False
) -> Storage:
    """Return how a parameter is stored in a bundle of a precision.

    Under ``w8a16`` and ``w4a16`` the VAE stays in float16: it is small, and its rounding errors are
    visible. So does the safety checker, whose decisions must not change. Under ``w4a16`` weights
    stay int8 if they are sensitive, or if no groups of :data:`GROUP` values divide their rows.

    Args:
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        role: role of the component.
        use: what the graph does with the parameter.
        shape: PyTorch's shape of it; only ``w4a16`` asks.
        is_sensitive: whether rounding it to int4 costs too much
            (:mod:`wsd.models.sensitive_layers`).
    """
    if dtype == "f32" or use == "other":
        return "float32"
    is_integer = dtype in ("w8a16", "w4a16") and role not in (VAE_DECODER, SAFETY_CHECKER)
    if not is_integer or use != "gemm":
        return "float16"
    has_groups = len(shape) > 1 and math.prod(shape[1:]) % GROUP == 0
    return "int4" if dtype == "w4a16" and has_groups and not is_sensitive else "int8"


def shapes(parameters: Iterable[Parameter]) -> dict[str, tuple[int, ...]]:
    """Return name → shape, in order."""
    return {parameter.name: parameter.shape for parameter in parameters}
