"""List the tensors of a safetensors file; an error names the file and what it is instead."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError

# Whole checkpoints have a few thousand tensors, and headers of less than a megabyte but for what
# trainers note in them. The library takes 100 MB, and Python needs ten times that.
_MAX_HEADER = 6 << 20
_MAX_TENSORS = 50_000
# What a file begins with that is something else, and what to say of it.
_IMPOSTORS = (
    (b"version https://git-lfs", "it is a pointer of git-lfs: run git lfs pull in its folder"),
    (b"<", "it is a web page: fetch the file itself, on the hub by its link `download`"),
    (b"PK", "it is a zip or a pickle: convert it to .safetensors"),
    (
        b"GGUF",
        "it is a GGUF file: if it holds a whole checkpoint, rename it to end in .gguf and pass "
        "that file with --weights",
    ),
)


def check_regular(path: Path) -> None:
    """Refuse a path that is no regular file, or a link to one.

    Opening a pipe would wait forever.

    Args:
        path: what is to be opened.

    Raises:
        CheckpointError: if it is not there, or is a folder, a pipe or a device.
    """
    if path.is_file():
        return
    if path.is_symlink() and not path.exists():
        raise CheckpointError(
            f"{path} is a link to a file that is not there",
            "the download is not complete: fetch the checkpoint again",
        )
    raise CheckpointError(
        f"{path} is not a regular file" if path.exists() else f"{path} does not exist",
        "pass a regular file, or a folder of such files",
    )


def _open(path: Path) -> Any:
    """Return safetensors' reader of a regular file with a header of an ordinary size.

    Raises:
        CheckpointError: if the file is not a whole safetensors file, or has too large a header.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        # Of what is no safetensors file, the first bytes are any number.
        if _MAX_HEADER < length <= path.stat().st_size:
            raise CheckpointError(
                f"{path}: its header has {length} bytes, expected at most {_MAX_HEADER}",
                "save the tensors again, without metadata of that size",
            )
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error})", _explain(path)
        ) from error


def list_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name; only its header is read.

    The file stays open for as long as one of them is kept.

    Args:
        path: the file.

    Returns:
        name → tensor, in the dtype that is stored.

    Raises:
        CheckpointError: if the file is not a whole safetensors file, or has more tensors than any
            checkpoint.
    """
    reader = _open(path)
    keys = list(reader.keys())
    if len(keys) > _MAX_TENSORS:
        raise CheckpointError(
            f"{path}: {len(keys)} tensors, expected at most {_MAX_TENSORS}",
            "pass the weights of a model that WSD compiles",
        )
    found = {}
    for key in keys:
        entry = reader.get_slice(key)
        read = partial(reader.get_tensor, key)
        found[key] = StoredTensor(key, path, entry.get_dtype(), tuple(entry.get_shape()), read)
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a safetensors file.

    Raises:
        CheckpointError: if the file is not a whole safetensors file.
    """
    with _open(path) as reader:
        return dict(reader.metadata() or {})


def _explain(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
    except OSError:
        return "check that the file can be read"
    for beginning, what in _IMPOSTORS:
        if start.startswith(beginning):
            return what
    return "the file is truncated or damaged: fetch it again"
