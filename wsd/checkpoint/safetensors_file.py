"""List the tensors of a safetensors file; an error names the file and what it is instead."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError

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


def list_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name; only its header is read.

    The file stays open for as long as one of them is kept.

    Args:
        path: the file.

    Returns:
        name → tensor, in the dtype that is stored.

    Raises:
        CheckpointError: if the file is not a whole safetensors file.
    """
    check_regular(path)
    try:
        reader: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error})", _explain(path)
        ) from error
    found = {}
    for key in list(reader.keys()):
        entry = reader.get_slice(key)
        read = partial(reader.get_tensor, key)
        found[key] = StoredTensor(key, path, entry.get_dtype(), tuple(entry.get_shape()), read)
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a safetensors file.

    Raises:
        CheckpointError: if the file is not a whole safetensors file.
    """
    check_regular(path)
    try:
        with safe_open(path, framework="pt") as reader:
            return dict(reader.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error})", _explain(path)
        ) from error


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
