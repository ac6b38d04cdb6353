"""A folder that outlives a failed build, so that the next one goes on from it."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsd.util.files import cache_folder

_LOCK = "lock"


@contextmanager
def resumable(key: str) -> Iterator[Path]:
    """Yield the folder of this piece of work, with what an earlier try left in it.

    It is removed when the block succeeds and kept when it fails. While another
    process works in it, a temporary one takes its place.

    Args:
        key: digest of everything that decides the work's result.
    """
    root = cache_folder() / "unfinished"
    folder = root / key[:24]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with tempfile.TemporaryDirectory(dir=root) as other:
                yield Path(other)
            return
        yield folder
        shutil.rmtree(folder)
