"""Number formats of checkpoints: which are read, and how scaled fp8 becomes float32.

Plain floats of any width are read as they are. fp8 files of ComfyUI may keep one scale beside each
weight, which the weight is multiplied by: ``<layer>.scale_weight`` with a marker ``scaled_fp8``,
or ``<layer>.weight_scale`` with a marker ``<layer>.comfy_quant``, which is JSON (ComfyUI's
QUANTIZATION.md). Integer weights are somebody's quantisation and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch

from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError
from wsd.util.json_reader import parse_json

FP8 = ("F8_E4M3", "F8_E5M2")
_FLOATS = ("F64", "F32", "F16", "BF16", *FP8)

_WEIGHT_SCALES = (".scale_weight", ".weight_scale")
# How activations were scaled on GPUs that multiply in fp8; WSD computes in float32.
_INPUT_SCALES = (".scale_input", ".input_scale")
_MARKER = "scaled_fp8"
_LAYER_MARKER = ".comfy_quant"
_FORMATS = ("float8_e4m3fn", "float8_e5m2")

_UNQUANTIZED = "take the checkpoint in float16 or float32"
_BITSANDBYTES = f"{_UNQUANTIZED}, or save it so after dequantize() of its diffusers model"


def dequantize(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return the tensors of a file with every fp8 tensor as float32, scaled where it has a scale.

    Scales and markers of fp8 weights are used up; those of other weights stay in the result.

    Args:
        stored: name → tensor of a file, or of all shards of a component.

    Raises:
        CheckpointError: for a scale that is neither one number nor one for each output channel,
            and for two scales of one weight.
    """
    found = {
        key: replace(tensor, read=partial(_read_float32, tensor)) if tensor.dtype in FP8 else tensor
        for key, tensor in stored.items()
    }
    for key, tensor in stored.items():
        if key == _MARKER or key.endswith("." + _MARKER):
            del found[key]
            continue
        layer, _, last = key.rpartition(".")
        weight = stored.get(f"{layer}.weight")
        if weight is None or weight.dtype not in FP8:
            continue
        if f".{last}" in _WEIGHT_SCALES:
            _check_scale(tensor, weight)
            _check_single(tensor, stored)
            found[weight.key] = replace(weight, read=partial(_read_scaled, weight, tensor))
            del found[key]
        elif f".{last}" in _INPUT_SCALES or (
            f".{last}" == _LAYER_MARKER and _read_format(tensor) in _FORMATS
        ):
            del found[key]
    return found


def check_float(tensor: StoredTensor, names: Mapping[str, StoredTensor]) -> None:
    """Refuse a tensor whose numbers are not floats that can be read.

    Args:
        tensor: the tensor to check.
        names: all tensors of its file, to tell whose quantisation it is.

    Raises:
        CheckpointError: for integers and for floats below 8 bits.
    """
    if tensor.dtype in _FLOATS:
        return
    layer = tensor.key.rpartition(".")[0]
    what, hint = "which are no weights WSD can read", _UNQUANTIZED
    if f"{layer}.SCB" in names:
        what, hint = "which bitsandbytes quantised to 8 bits", _BITSANDBYTES
    elif any(name.startswith((f"{tensor.key}.absmax", f"{tensor.key}.quant_")) for name in names):
        what, hint = "which bitsandbytes quantised to 4 bits", _BITSANDBYTES
    raise CheckpointError(
        f"{tensor.path}: tensor {tensor.key} holds {tensor.dtype} numbers, {what}", hint
    )


def check_finite(name: str, values: torch.Tensor) -> None:
    """Refuse values of which one is NaN or infinite.

    One pass finds the extremes, which are NaN if any value is, ten times faster than ``isfinite``.

    Args:
        name: of the tensor, for the error.
        values: as they are stored or computed with.

    Raises:
        CheckpointError: naming the tensor.
    """
    if values.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(values))).all()):
        raise CheckpointError(
            f"tensor {name} holds NaN, infinite values, or values beyond float32",
            "the checkpoint is damaged: fetch it again",
        )


def _read_float32(tensor: StoredTensor) -> torch.Tensor:
    return tensor.read().to(torch.float32)


def _read_scaled(weight: StoredTensor, scale: StoredTensor) -> torch.Tensor:
    factors = scale.read().to(torch.float32)
    if factors.numel() > 1:
        factors = factors.view(-1, *[1] * (weight.ndim - 1))
    return weight.read().to(torch.float32) * factors


def _check_scale(scale: StoredTensor, weight: StoredTensor) -> None:
    count = torch.Size(scale.shape).numel()
    per_channel = count == weight.shape[0] and scale.shape[:1] == weight.shape[:1]
    if scale.dtype not in _FLOATS or (count != 1 and not per_channel):
        raise CheckpointError(
            f"{scale.path}: tensor {scale.key} holds {scale.dtype} scales of shape "
            f"{list(scale.shape)} for a weight of shape {list(weight.shape)}",
            f"WSD reads one scale, or one for each output channel: {_UNQUANTIZED}",
        )


def _check_single(scale: StoredTensor, stored: Mapping[str, StoredTensor]) -> None:
    """Refuse a weight's second scale: it cannot be told which one holds."""
    layer = scale.key.rpartition(".")[0]
    found = [layer + suffix for suffix in _WEIGHT_SCALES if layer + suffix in stored]
    if len(found) > 1:
        raise CheckpointError(
            f"{scale.path}: tensors {' and '.join(found)} are two scales of one weight",
            f"WSD reads one of them: {_UNQUANTIZED}",
        )


def _read_format(marker: StoredTensor) -> str | None:
    """Return the format that a layer's marker names, which is JSON in bytes."""
    try:
        value = parse_json(bytes(marker.read().flatten().tolist()).decode())
    except (ValueError, TypeError):
        return None
    found = value.get("format") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None
