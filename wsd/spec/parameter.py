"""How parameters are stored: as they are, as halves, or as scaled bytes.

WebGPU buffers hold 32-bit words, and many GPUs compute in nothing else. So small
numbers are packed into words, low bits first, and each kernel unpacks what it
reads (:mod:`wsd.compiler.tir.dequantize`); sums are always float32, so that no weights can
make them overflow.

======== ================================ =========================================
storage  what for                         in the buffer
======== ================================ =========================================
float32  biases, norms, small tables      float32
float16  weights and embeddings           two halves a word, row-major
int8     weights of ``w8a16``             four bytes a word, row-major, and one
                                          float32 scale an output channel
======== ================================ =========================================

A convolution's weight is stored with its input channels last, (out, height, width, in),
as its kernel reads it; any other tensor in its own shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wsd.spec.roles import VAE_DECODER

Storage = Literal["float32", "float16", "int8"]
# What a parameter is to the graph: the weight of a linear layer or a convolution,
# a table of embeddings, or anything else.
Use = Literal["product", "lookup", "other"]

SCALE = ".scale"
# Axes of a convolution's weight (out, in, height, width) in the order in which they are stored.
CHANNELS_LAST = (0, 2, 3, 1)

_PACKED_PER_WORD = {"float16": 2, "int8": 4}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a component.

    Attributes:
        name: in the state dict.
        shape: as PyTorch has it.
        storage: how the compiled functions take it.
        channels_last: whether it is a convolution's weight, stored so.
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
        """Return how many 32-bit words a packed parameter fills, without its scales."""
        return -(-math.prod(self.shape) // _PACKED_PER_WORD[self.storage])

    def buffers(self) -> list[tuple[str, tuple[int, ...], Storage, int]]:
        """Return (name, shape, storage, bytes) of each buffer that stands for it."""
        if self.storage == "float32":
            return [(self.name, self.stored_shape, "float32", 4 * math.prod(self.shape))]
        packed = (self.name, self.stored_shape, self.storage, 4 * self.words)
        if self.storage == "float16":
            return [packed]
        return [packed, (self.name + SCALE, self.shape[:1], "float32", 4 * self.shape[0])]

    @property
    def bytes(self) -> int:
        """Return how many bytes it fills."""
        return sum(size for *_, size in self.buffers())


def choose_storage(dtype: str, role: str, use: Use) -> Storage:
    """Return how a parameter is stored in a bundle of a precision.

    The decoder stays in halves under ``w8a16``: it is small, and what it rounds is seen.

    Args:
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        role: of the component.
        use: what the parameter is to the graph.
    """
    if dtype == "f32" or use == "other":
        return "float32"
    if dtype == "w8a16" and use == "product" and role != VAE_DECODER:
        return "int8"
    return "float16"


def shapes(parameters: Iterable[Parameter]) -> dict[str, tuple[int, ...]]:
    """Return name → shape, in order."""
    return {parameter.name: parameter.shape for parameter in parameters}
