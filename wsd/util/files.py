"""Files and folders: where WSD keeps them, and how they appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from wsd.errors import ToolError, UsageError

# The installed package, and the repository that it was installed from, if it was.
PACKAGE = Path(__file__).resolve().parent.parent
REPOSITORY = PACKAGE.parent


def cache_folder() -> Path:
    """Return the folder for compiled libraries, runtime objects and random checkpoints.

    ``WSD_CACHE`` names it; otherwise it is the user's cache folder on this platform, which is
    ``$XDG_CACHE_HOME/wsd`` or ``~/.cache/wsd`` on Linux.
    """
    if named := os.environ.get("WSD_CACHE"):
        return Path(named)
    return platformdirs.user_cache_path("wsd", appauthor=False)


def check_absent(out: Path) -> None:
    """Refuse an output path that already exists.

    Raises:
        UsageError: nothing is ever overwritten without being asked.
    """
    if out.exists():
        raise UsageError(f"output {out} already exists", "choose another --out, or remove it first")


@contextmanager
def write_folder_atomically(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` when the block succeeds.

    On any error the temporary folder is removed and ``out`` does not appear.
    The rename stays inside one file system, so it is atomic.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        check_absent(out)
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_once(
    folder: Path,
    write: Callable[[Path], None],
    is_whole: Callable[[Path], bool] = Path.exists,
) -> None:
    """Make a folder that is kept under a digest, unless it is there and whole.

    If another process is making the same folder, this one waits for it and uses its result.

    Args:
        folder: what is made.
        write: fills a temporary folder, which becomes ``folder``.
        is_whole: tells whether a folder that is there can be used; else it is made anew.
    """
    if is_whole(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with write_folder_atomically(folder) as scratch:
                write(scratch)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees either nothing or all of it."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).rename(path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def resumable_folder(key: str) -> Iterator[Path]:
    """Yield a folder that outlives a failed build, so that the next one continues in it.

    The folder is removed when the block succeeds and kept when it fails. While another process
    works in it, this process gets a temporary folder instead.

    Args:
        key: digest of everything that decides the result.
    """
    root = cache_folder() / "unfinished"
    folder = root / key[:24]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with tempfile.TemporaryDirectory(dir=root) as temporary:
            yield Path(temporary)
        return
    try:
        # Another process may have finished the work, and removed the folder, just before.
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)
    finally:
        lock.release()


@contextmanager
def explain_file_errors(out: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do.

    Args:
        out: what is being written, for errors that name no file.

    Raises:
        ToolError: for any ``OSError`` of the block.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or out
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ToolError(
                f"no space is left for {where}",
                "make room and run the same command again: finished shards are kept",
            ) from error
        raise ToolError(
            f"cannot write {where}: {error.strerror or error}",
            "check the folder's permissions, or choose another --out",
        ) from error
