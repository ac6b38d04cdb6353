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
# Values of a header, each of which takes microseconds to read. A checkpoint has about ten for each
# of its thousands of tensors.
_MAX_READS = 200_000


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
    check_regular(path)
    try:
        reader = _open(path)
        return {entry.name: _describe(path, reader, entry) for entry in reader.tensors}
    except (ValueError, IndexError, KeyError, OSError, OverflowError, UnicodeError) as error:
        raise CheckpointError(
            f"{path}: not a readable GGUF file ({error})",
            "the file is truncated, damaged or of another version: fetch it again",
        ) from error


def _open(path: Path) -> Any:
    """Return gguf's reader of a file; a header that says more than the file holds is refused.

    gguf's own would go on for as many items as the header names, with nothing behind the file's
    end.

    Raises:
        ValueError, IndexError, KeyError: if it is not a whole GGUF file.
    """
    from gguf import GGUFReader

    class BoundedReader(GGUFReader):
        reads = 0

        def _get(
            self, offset: int, dtype: Any, count: Any = 1, *arguments: Any, **more: Any
        ) -> Any:
            self.reads += 1
            if self.reads > _MAX_READS:
                raise ValueError(f"its header has more than {_MAX_READS} values")
            found = super()._get(offset, dtype, count, *arguments, **more)
            if len(found) != int(count):
                raise ValueError("the file ends before what its header names")
            return found

    return BoundedReader(path)


def _describe(path: Path, reader: Any, entry: Any) -> StoredTensor:
    from gguf.quants import _type_traits

    kind = entry.tensor_type.name
    field = reader.get_field(_SHAPE + entry.name)
    shape = tuple(reversed(entry.shape.tolist()))
    if field is not None:
        kept = field.contents()
        # Whoever wrote the file may have put anything there.
        if not isinstance(kept, list) or not all(type(n) is int and n > 0 for n in kept):
            raise ValueError(f"{field.name} is {str(kept)[:80]}, which is no shape")
        shape = tuple(kept)
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
