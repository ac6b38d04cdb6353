"""Encode tensors as bytes of shards: float32, float16, or weights rounded to int8 with scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wsd.checkpoint.number_formats import check_finite
from wsd.errors import CheckpointError
from wsd.spec.parameter import CHANNELS_LAST, Parameter, Storage

# Symmetric quantisation uses -127 to 127; -128 has no positive counterpart.
_INT8_MAX = 127
_FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class Buffer:
    """One buffer of the params tuple: a parameter, or the scales of an int8 parameter.

    Attributes:
        name: of the record in the manifest.
        shape: in which its values are stored.
        storage: how its values are encoded.
        data: the encoded values, little-endian, padded to 4 bytes.
    """

    name: str
    shape: tuple[int, ...]
    storage: Storage
    data: bytes


def encode(parameter: Parameter, tensor: torch.Tensor) -> list[Buffer]:
    """Return the buffers that stand for a tensor.

    Args:
        parameter: which one it is, and how it is stored.
        tensor: its values in PyTorch's layout, of any float dtype.

    Raises:
        CheckpointError: if a value that would be stored is not finite.
    """
    values = tensor.to(torch.float32)
    if parameter.channels_last:
        values = values.permute(CHANNELS_LAST)
    values = values.contiguous()
    if parameter.storage == "int8":
        scales, quantized = quantize(values)
        check_finite(parameter.name, scales)
        arrays = [quantized.numpy(), scales.numpy().astype("<f4")]
    else:
        check_finite(parameter.name, values)
        if parameter.storage == "float32":
            arrays = [values.numpy().astype("<f4", copy=False)]
        else:
            _check_float16(parameter.name, values)
            arrays = [values.half().numpy().astype("<f2", copy=False)]
    return [
        Buffer(name, shape, storage, _pad(array))
        for (name, shape, storage, _), array in zip(parameter.buffers(), arrays, strict=True)
    ]


def _check_float16(name: str, values: torch.Tensor) -> None:
    """Refuse values that become infinite as float16; rounding keeps the order of values."""
    if values.numel() and torch.isinf(torch.stack(torch.aminmax(values)).half()).any():
        raise CheckpointError(
            f"tensor {name} holds values beyond float16's {_FLOAT16_MAX:g}",
            "build with --dtype f32",
        )


def round_values(tensor: torch.Tensor, storage: Storage) -> torch.Tensor:
    """Return the values that the compiled functions read of a stored tensor.

    Args:
        tensor: in PyTorch's layout, of any float dtype; of int8, axis 0 is the output channel.
        storage: how it is stored.

    Returns:
        float32 of the tensor's shape, on its device.
    """
    values = tensor.to(torch.float32)
    if storage == "float16":
        return values.half().float()
    if storage == "int8":
        scales, quantized = quantize(values)
        return quantized.float() * scales.view(-1, *[1] * (values.ndim - 1))
    return values


def quantize(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quantise a weight to int8, symmetrically, with one scale for each output channel.

    Args:
        values: (out, ...) float32.

    Returns:
        scales (out,) float32, and quantised values (out, ...) int8 from -127 to 127.
    """
    scales = values.flatten(1).abs().amax(1) / _INT8_MAX
    # All zeros, or so small that the scale underflows: every step is then zero.
    scales = torch.where(scales == 0, torch.ones_like(scales), scales)
    steps = values / scales.view(-1, *[1] * (values.ndim - 1))
    return scales, steps.round().clamp(-_INT8_MAX, _INT8_MAX).to(torch.int8)


def _pad(array: np.ndarray) -> bytes:
    data = array.tobytes()
    return data + b"\0" * (-len(data) % 4)
