"""Encode tensors as bytes of shards: float32, float16, or weights rounded to int8 or int4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wsd.checkpoint.number_formats import check_finite
from wsd.errors import CheckpointError
from wsd.spec.parameter import CHANNELS_LAST, GROUP, Parameter, Storage

# Symmetric quantisation uses -127 to 127; -128 has no positive counterpart.
_INT8_MAX = 127
_FLOAT16_MAX = 65504.0
_INT4_MIN, _INT4_MAX = -8, 7
# What the value of largest magnitude in a group is mapped to by the scales that are tried. More of
# them lower the error by 0.1 % and take longer. web/src/gpu/patch/pack_int4.wgsl tries the same.
_INT4_STEPS = (-7.2, -7.6, -8.0, -8.4, -8.8)
# Rows that are quantised at a time hold about this many values, so that they stay in a CPU's cache.
_INT4_BLOCK = 1 << 18


@dataclass(frozen=True)
class Buffer:
    """One buffer of the params tuple: a parameter, or the scales of an int8 or int4 parameter.

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
    elif parameter.storage == "int4":
        check_finite(parameter.name, values)
        scales, quantized = quantize_groups(values)
        _check_float16(parameter.name, _INT4_MIN * scales.float())
        arrays = [pack_int4(quantized.numpy()), scales.numpy().astype("<f2")]
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
        tensor: in PyTorch's layout, of any float dtype; of int8 and int4, axis 0 is the output
            channel, and int4 of four axes is the weight of a convolution.
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
    if storage == "int4":
        order = CHANNELS_LAST if values.ndim == len(CHANNELS_LAST) else range(values.ndim)
        stored = values.permute(*order).contiguous()
        scales, quantized = quantize_groups(stored)
        groups = quantized.float().view(*scales.shape, GROUP)
        rounded = (groups * scales.float().unsqueeze(-1)).view(stored.shape)
        return rounded.permute(*np.argsort(order).tolist()).contiguous()
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


def quantize_groups(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quantise a weight to int4 with one scale for each group of :data:`GROUP` values of a row.

    The scale is searched as ggml's ``make_qx_quants`` does (``ggml-quants.c`` of
    https://github.com/ggml-org/ggml), with fewer candidates: for each first
    scale around the one that maps the value of largest magnitude to -8, values are quantised, and
    the scale that then has the least squared error is sum(w q) / sum(q q). It is rounded to
    float16 and the values are quantised with it. The candidate of the least squared error is
    taken, of equal ones the first. A scale may be negative.

    Args:
        values: (out, ...) float32 as they are stored; the axes but the first have a multiple of
            :data:`GROUP` values.

    Returns:
        scales (out, groups) float16, 0 for a group of zeros, and quantised values (out, ...) int8
        from -8 to 7.
    """
    groups = values.reshape(-1, GROUP)
    blocks = torch.split(groups, _INT4_BLOCK // GROUP)
    found = [_quantize_block(block) for block in blocks]
    scales = torch.cat([scale for scale, _ in found]).view(values.shape[0], -1)
    return scales, torch.cat([steps for _, steps in found]).view(values.shape)


def _quantize_block(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scales (n,) float16 and the values (n, GROUP) int8 of some groups."""
    extreme = groups.gather(1, groups.abs().argmax(1, keepdim=True))
    error = torch.full_like(extreme, torch.inf)
    scale, steps = torch.zeros_like(extreme), torch.zeros_like(groups)
    for step in _INT4_STEPS:
        first = _round_int4(groups, extreme / step)
        squares = (first * first).sum(1, keepdim=True)
        fitted = (groups * first).sum(1, keepdim=True) / squares.clamp(min=1)
        fitted = fitted.half().float()
        tried = _round_int4(groups, fitted)
        wrong = (tried * fitted - groups).square().sum(1, keepdim=True)
        is_better = wrong < error
        error = torch.where(is_better, wrong, error)
        scale = torch.where(is_better, fitted, scale)
        steps = torch.where(is_better, tried, steps)
    return scale.half(), steps.to(torch.int8)


def _round_int4(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return values (n, GROUP) as whole numbers of scales (n, 1); all 0 where a scale is 0."""
    steps = (groups / torch.where(scale == 0, torch.ones_like(scale), scale)).round()
    return torch.where(scale == 0, 0.0, steps.clamp(_INT4_MIN, _INT4_MAX))


def pack_int4(values: np.ndarray) -> np.ndarray:
    """Return int4 values in bytes, the first of two in the low bits.

    Args:
        values: int8 from -8 to 7, of any shape.

    Returns:
        (⌈n / 2⌉,) uint8.
    """
    fields = np.asarray(values, np.int8).reshape(-1).view(np.uint8) & 0xF
    fields = np.append(fields, np.zeros(fields.size % 2, np.uint8))
    return fields[::2] | fields[1::2] << 4


def _pad(array: np.ndarray) -> bytes:
    data = array.tobytes()
    return data + b"\0" * (-len(data) % 4)
