"""Open a safetensors file; an error names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from wsd.errors import CheckpointError


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Yield the safetensors reader of a file, which reads each tensor on request.

    Raises:
        CheckpointError: if the file is not a whole safetensors file.
    """
    try:
        reader = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error})",
            "the file is truncated or damaged: fetch it again",
        ) from error
    with reader as opened:
        yield opened
