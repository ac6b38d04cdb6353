"""How parameters are stored: as they are, as halves, or as scaled bytes.

WebGPU buffers hold 32-bit words, and many GPUs compute in nothing else. So small
numbers are packed into words, low bits first, and each kernel unpacks what it
reads (:mod:`wsd.kernels.packed`); sums are always float32, so that no weights can
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

import numpy as np
import torch

from wsd.errors import CheckpointError

Storage = Literal["float32", "float16", "int8"]
# What a parameter is to the graph: the weight of a linear layer or a convolution,
# a table of embeddings, or anything else.
Use = Literal["product", "lookup", "other"]

SCALE = ".scale"
# Axes of a convolution's weight (out, in, height, width) in the order in which they are stored.
CHANNELS_LAST = (0, 2, 3, 1)

_PACKED_PER_WORD = {"float16": 2, "int8": 4}
_MOST_INT8 = 127
_MOST_HALF = 65504.0


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


@dataclass(frozen=True)
class Buffer:
    """One buffer of the params tuple: a parameter, or an int8 parameter's scales.

    Attributes:
        name: of the record in the manifest.
        shape: of what it stands for.
        storage: how it is encoded.
        data: little-endian, ready to be written.
    """

    name: str
    shape: tuple[int, ...]
    storage: Storage
    data: bytes


def choose_storage(dtype: str, role: str, use: Use) -> Storage:
    """Return how a parameter is stored in a bundle of a precision.

    The decoder stays in halves under ``w8a16``: it is small, and what it rounds is seen.

    Args:
        dtype: one of :data:`wsd.precision.DTYPES`.
        role: of the component.
        use: what the parameter is to the graph.
    """
    if dtype == "f32" or use == "other":
        return "float32"
    if dtype == "w8a16" and use == "product" and role != "vae_decoder":
        return "int8"
    return "float16"


def shapes(parameters: Iterable[Parameter]) -> dict[str, tuple[int, ...]]:
    """Return name → shape, in order."""
    return {parameter.name: parameter.shape for parameter in parameters}


def encode(parameter: Parameter, tensor: torch.Tensor) -> list[Buffer]:
    """Convert a tensor to the buffers that stand for it.

    Args:
        parameter: which one it is.
        tensor: any float dtype.

    Raises:
        CheckpointError: if a value is too large for a half.
    """
    values = tensor.to(torch.float32)
    if parameter.channels_last:
        values = values.permute(CHANNELS_LAST)
    values = values.contiguous()
    if parameter.storage == "float32":
        arrays = [values.numpy().astype("<f4")]
    elif parameter.storage == "float16":
        if float(values.abs().max()) > _MOST_HALF:
            raise CheckpointError(
                f"tensor {parameter.name} holds values beyond float16's {_MOST_HALF:g}",
                "build with --dtype f32",
            )
        arrays = [values.half().numpy().astype("<f2")]
    else:
        scales, quantized = quantize(values)
        arrays = [quantized.numpy(), scales.numpy().astype("<f4")]
    return [
        Buffer(name, shape, storage, _padded(array))
        for (name, shape, storage, _), array in zip(parameter.buffers(), arrays, strict=True)
    ]


def rounded(parameter: Parameter, tensor: torch.Tensor) -> torch.Tensor:
    """Return what the compiled functions see of a tensor, float32: the reference's weights."""
    values = tensor.to(torch.float32)
    if parameter.storage == "float16":
        return values.half().float()
    if parameter.storage == "int8":
        scales, quantized = quantize(values)
        return quantized.float() * scales.view(-1, *[1] * (values.ndim - 1))
    return values


def quantize(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a weight to bytes, symmetrically, with one scale an output channel.

    Args:
        values: (out, ...) float32.

    Returns:
        scales (out,) float32 and bytes (out, ...) int8 from -127 to 127.
    """
    largest = values.flatten(1).abs().amax(1)
    scales = torch.where(largest > 0, largest / _MOST_INT8, torch.ones_like(largest))
    steps = values / scales.view(-1, *[1] * (values.ndim - 1))
    return scales, steps.round().clamp(-_MOST_INT8, _MOST_INT8).to(torch.int8)


def _padded(array: np.ndarray) -> bytes:
    data = array.tobytes()
    return data + b"\0" * (-len(data) % 4)
