"""List the tensors of a GGUF file, and dequantise them when they are read.

stable-diffusion.cpp converts whole checkpoints and keeps the original layout's names.
ComfyUI-GGUF converts the UNet alone; it flattens weights whose rows do not fill blocks and keeps
their shapes as metadata ``comfy.gguf.orig_shape.<name>``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.safetensors_file import check_regular
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError

_SHAPE = "comfy.gguf.orig_shape."
_PLAIN = ("F64", "F32", "F16")


def list_gguf(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a GGUF file by name; only its header is read.

    Args:
        path: the file.

    Returns:
        name → tensor, whose shape is PyTorch's (the last dimension is contiguous) and which is
        read as float32 where it is quantised, else in its own dtype.

    Raises:
        CheckpointError: if the file is not a whole GGUF file.
    """
    from gguf import GGUFReader

    check_regular(path)
    try:
        reader = GGUFReader(path)
        return {entry.name: _describe(path, reader, entry) for entry in reader.tensors}
    except (ValueError, IndexError, KeyError, OSError, OverflowError, UnicodeError) as error:
        raise CheckpointError(
            f"{path}: not a readable GGUF file ({error})",
            "the file is truncated, damaged or of another version: fetch it again",
        ) from error


def _describe(path: Path, reader: Any, entry: Any) -> StoredTensor:
    from gguf.quants import _type_traits

    kind = entry.tensor_type.name
    field = reader.get_field(_SHAPE + entry.name)
    shape = tuple(reversed(entry.shape.tolist())) if field is None else tuple(field.contents())
    if torch.Size(shape).numel() != int(entry.n_elements):
        raise ValueError(f"{entry.name} has {entry.n_elements} values and shape {list(shape)}")
    if kind in _PLAIN:
        return StoredTensor(entry.name, path, kind, shape, partial(_read, entry, shape))
    # What gguf cannot dequantise keeps its own type, which is refused if somebody needs it.
    dtype = "F32" if entry.tensor_type in _type_traits else kind
    return StoredTensor(entry.name, path, dtype, shape, partial(_read, entry, shape))


def _read(entry: Any, shape: tuple[int, ...]) -> torch.Tensor:
    from gguf.quants import dequantize

    plain = entry.tensor_type.name in _PLAIN
    values = entry.data.copy() if plain else dequantize(entry.data, entry.tensor_type)
    return torch.from_numpy(values).reshape(shape)
