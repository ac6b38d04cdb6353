"""Files and folders: where WSD keeps them, and how they appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from wsd.errors import FileError, UsageError
from wsd.util.scratch import (
    HOUR,
    LOCK,
    make_scratch,
    remove_stale,
    scratch_folder,
    scratch_prefix,
    sweep,
)

# The installed package, and the repository that it was installed from, if it was.
PACKAGE = Path(__file__).resolve().parent.parent
REPOSITORY = PACKAGE.parent

# How long the shards of a failed build are kept for the next one.
UNFINISHED_SECONDS = 7 * 24 * HOUR


def cache_folder() -> Path:
    """Return the folder for compiled libraries, runtime objects and random checkpoints.

    ``WSD_CACHE`` names it; otherwise it is the user's cache folder on this platform, which is
    ``$XDG_CACHE_HOME/wsd`` or ``~/.cache/wsd`` on Linux.

    Raises:
        FileError: if the user has no home folder, as in containers with any user id.
    """
    if named := os.environ.get("WSD_CACHE"):
        return Path(named)
    homeless = FileError(
        "there is no folder for the cache: HOME is not set, and this user has no home folder",
        "set WSD_CACHE to a folder that can be written",
    )
    try:
        folder = platformdirs.user_cache_path("wsd", appauthor=False)
    except RuntimeError as error:
        raise homeless from error
    # Versions of platformdirs before 4.10 return ``~/.cache/wsd`` as it is.
    if not folder.is_absolute():
        raise homeless
    return folder


def check_absent(out: Path) -> None:
    """Refuse an output path that already exists.

    Raises:
        UsageError: nothing is ever overwritten without being asked.
    """
    if os.path.lexists(out):
        raise UsageError(f"output {out} already exists", "choose another --out, or remove it first")


def check_folder_target(out: Path) -> None:
    """Refuse an output folder that exists or cannot be made, before anything long begins.

    Raises:
        UsageError: if it exists.
        OSError: if it cannot be made.
    """
    # Says so if the name is too long.
    with suppress(FileNotFoundError):
        out.lstat()
    check_absent(out)
    _check_writable(out)


def check_file_target(out: Path) -> None:
    """Refuse an output file that cannot be written, before anything long begins.

    Raises:
        OSError: if it is a folder, or cannot be made.
    """
    out = _follow_links(out)
    with suppress(FileNotFoundError):
        kind = out.lstat().st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
        if not stat.S_ISREG(kind):
            return  # a device or a pipe is written as it is
    _check_writable(out)


def _follow_links(path: Path) -> Path:
    """Return what links lead to; links that lead in a circle stay, so that opening them fails."""
    return Path(os.path.realpath(path))


def _check_writable(out: Path) -> None:
    """Make a folder where an output will be, and remove it."""
    out = out.absolute()
    parent = next(folder for folder in out.parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(parent))
    make_scratch(parent / out.relative_to(parent).parts[0]).rmdir()


@contextmanager
def write_folder_atomically(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` when the block succeeds.

    On any error the temporary folder is removed and ``out`` does not appear.
    The rename stays inside one file system, so it is atomic.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as scratch:
        yield scratch
        scratch.chmod(0o755)
        check_absent(out)
        scratch.rename(out)


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
    """Write a file so that a reader sees either nothing or all of it.

    Symbolic links are followed. A device or a pipe that is there is written as it is.
    """
    path = _follow_links(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A full disk names no file, and the name of the temporary one would tell a reader nothing.
    with _name_in_errors(path):
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        handle, name = tempfile.mkstemp(prefix=scratch_prefix(path), dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).chmod(0o644)
            Path(name).rename(path)
        finally:
            Path(name).unlink(missing_ok=True)


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Put a file's name into the errors of a block."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def resumable_folder(key: str) -> Iterator[Path]:
    """Yield a folder that outlives a failed build, so that the next one continues in it.

    The folder is removed when the block succeeds and kept when it fails. While another process
    works in it, this process gets a temporary folder instead. Folders of builds that failed a week
    ago are removed.

    Args:
        key: digest of everything that decides the result.
    """
    root = cache_folder() / "unfinished"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / key[:24]
    # Whoever makes, locks or removes one of these folders has this lock meanwhile. So nobody takes
    # the lock of a folder that is being removed.
    brief = FileLock(root / ".lock")
    lock = FileLock(folder / LOCK)
    with brief:
        sweep_unfinished(root, time.time())
        folder.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            taken = True
        else:
            taken = False
    if taken:
        with scratch_folder(folder) as temporary:
            yield temporary
        return
    try:
        shards = folder / "shards"
        shards.mkdir(exist_ok=True)
        yield shards
        with brief:
            shutil.rmtree(folder)
    finally:
        lock.release()


def sweep_unfinished(root: Path, now: float) -> list[Path]:
    """Remove the folders of builds that failed long ago and that nobody works in.

    Args:
        root: the folder ``unfinished`` of a cache.
        now: seconds since 1970.

    Returns:
        what was removed.
    """
    kept = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    old = [path for path in kept if remove_stale(path, UNFINISHED_SECONDS, now)]
    return old + sweep(root, now)
