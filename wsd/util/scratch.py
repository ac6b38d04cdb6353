"""Temporary folders whose lock tells whether their owner lives, and the removal of dead ones.

A process that is killed leaves its temporary folders behind, and a build's are as large as its
model. Each such folder is called ``.<name>.wsd-<8 characters>`` and holds a file ``lock``, which
its owner has locked as long as it lives, and a folder ``content``. Whoever makes another temporary
folder beside them removes those that nobody has locked and that have not changed for a day.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LOG = logging.getLogger(__name__)
_MARK = ".wsd-"
_NAME = re.compile(r"\..+\.wsd-[a-z0-9_]{8}")
# Characters of a path's name that are kept in the name of its temporary one.
_KEPT = 40
HOUR = 3600.0
SCRATCH_SECONDS = 24 * HOUR
_CONTENT = "content"
LOCK = "lock"


def scratch_prefix(path: Path) -> str:
    """Return what the name of a temporary file or folder for a path begins with."""
    return f".{path.name[:_KEPT]}{_MARK}"


def make_scratch(path: Path) -> Path:
    """Make an empty folder beside a path, with a name of its own.

    Raises:
        OSError: names ``path`` and not the temporary name.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=scratch_prefix(path), dir=path.parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder on the file system of a path; at the end it is removed, if it is there.

    Args:
        path: what the folder's content will become; its parent must exist.
    """
    sweep(path.parent, time.time())
    root = make_scratch(path)
    try:
        with FileLock(root / LOCK):
            content = root / _CONTENT
            content.mkdir()
            yield content
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sweep(folder: Path, now: float) -> list[Path]:
    """Remove the temporary files and folders that ended processes left in a folder.

    Args:
        folder: where they lie; what is in its subfolders stays.
        now: seconds since 1970.

    Returns:
        what was removed.
    """
    found = [folder / name for name in os.listdir(folder) if _NAME.fullmatch(name)]  # noqa: PTH208
    return [path for path in sorted(found) if remove_stale(path, SCRATCH_SECONDS, now)]


def remove_stale(path: Path, seconds: float, now: float) -> bool:
    """Remove a temporary file or folder if it is old and nobody has its lock.

    Args:
        path: a file, or a folder with a file :data:`LOCK`.
        seconds: how long nothing in it must have changed.
        now: seconds since 1970.

    Returns:
        whether it was removed.
    """
    # Another process may remove it at the same time, and another user's stays.
    with suppress(OSError, NotImplementedError, Timeout):
        if now - _last_change(path) < seconds:
            return False
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            with FileLock(path / LOCK, timeout=0):
                shutil.rmtree(path)
        _LOG.info("removed %s, which an ended process left", path)
        return True
    return False


def _last_change(path: Path) -> float:
    """Return when something in a folder was changed last, in seconds since 1970."""
    times = [path.lstat().st_mtime]
    if path.is_symlink():
        return times[0]
    for root, folders, files in os.walk(path):
        times += [Path(root, name).lstat().st_mtime for name in (*folders, *files)]
    return max(times)
