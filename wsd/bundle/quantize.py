"""Convert tensors to the bytes that the shards hold: float32, float16, or int8 with scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wsd.errors import CheckpointError
from wsd.spec.parameter import CHANNELS_LAST, Parameter, Storage

_MOST_INT8 = 127


_MOST_HALF = 65504.0


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
