"""Files and folders: where WSD keeps them, and how they appear whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from wsd.errors import FileError, UsageError
from wsd.util.contents import find_damage, write_contents
from wsd.util.scratch import (
    HOUR,
    LOCK,
    MARK,
    make_scratch,
    remove_stale,
    remove_tree,
    scratch_folder,
    sweep,
)
from wsd.util.stops import defer_stops

_LOG = logging.getLogger(__name__)

# The installed package, and the repository that it was installed from, if it was.
PACKAGE = Path(__file__).resolve().parent.parent
REPOSITORY = PACKAGE.parent

# How long the shards of a failed build are kept for the next one.
UNFINISHED_SECONDS = 7 * 24 * HOUR
# How long another process may hold a lock before it is said that this one waits.
_QUIET_SECONDS = 10.0


def cache_folder() -> Path:
    """Return the folder for compiled libraries, runtime objects and random checkpoints.

    ``WSD_CACHE`` names it; otherwise it is the user's cache folder on this platform, which is
    ``$XDG_CACHE_HOME/wsd`` or ``~/.cache/wsd`` on Linux.

    Raises:
        FileError: if the user has no home folder, as in containers with any user id.
    """
    if named := os.environ.get("WSD_CACHE"):
        # Programs that are started in other folders get paths in it.
        return Path(named).absolute()
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

    Args:
        out: the value of ``--out``.

    Raises:
        UsageError: nothing is ever overwritten without being asked.
    """
    if os.path.lexists(out):
        raise UsageError(f"output {out} already exists", "choose another --out, or remove it first")


def check_folder_target(out: Path) -> None:
    """Refuse an output folder that exists or cannot be made, before anything long begins.

    Args:
        out: the folder; folders above it that are missing would be made too.

    Raises:
        UsageError: if it exists.
        OSError: if it cannot be made.
    """
    # Says so if the name is too long.
    with suppress(FileNotFoundError):
        out.lstat()
    check_absent(out)
    _check_writable(out)


def check_empty_target(out: Path) -> None:
    """Refuse an output folder that is not new or empty, before anything long begins.

    Raises:
        UsageError: if it holds files.
        OSError: if it is no folder, or cannot be made or written.
    """
    if not os.path.lexists(out):
        check_folder_target(out)
        return
    if any(out.iterdir()):
        raise UsageError(f"folder {out} is not empty", "name a new or empty folder")
    _check_writable(out / "file")


def check_file_target(out: Path) -> None:
    """Refuse an output file that cannot be written, before anything long begins.

    Args:
        out: the file; symbolic links are followed, and one that is there may be overwritten.

    Raises:
        IsADirectoryError: if it is a folder.
        OSError: if it cannot be made.
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


def link_file(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where file systems differ.

    Args:
        source: a file.
        target: its new name, which nothing has yet.
    """
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def write_folder_atomically(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` when the block succeeds.

    On any error the temporary folder is removed and ``out`` does not appear.
    The rename stays inside one file system, so it is atomic. Everybody may read the result,
    whatever the umask is: web servers run as other users.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as scratch:
        yield scratch
        _let_everybody_read(scratch)
        check_absent(out)
        scratch.rename(out)


def _let_everybody_read(folder: Path) -> None:
    """Give a folder and everything in it one set of permissions: 0755 for folders, 0644 for files.

    They would otherwise follow from the umask and from the files that were copied.
    """
    folder.chmod(0o755)
    for root, folders, files in os.walk(folder):
        for names, mode in ((folders, 0o755), (files, 0o644)):
            for name in names:
                path = Path(root, name)
                if not path.is_symlink():
                    path.chmod(mode)


def is_whole(folder: Path) -> bool:
    """Tell whether a folder of the cache is there and as :func:`write_once` wrote it.

    If it is there and damaged, that is said.
    """
    if not os.path.lexists(folder):
        return False
    damage = find_damage(folder, folder.name)
    if damage is not None:
        _LOG.warning("%s is damaged (%s), and is made anew", folder, damage)
    return damage is None


def write_once(folder: Path, write: Callable[[Path], None]) -> None:
    """Make a folder of the cache, unless it is there and whole.

    If another process is making the same folder, this one waits for it and uses its result. Digests
    of all its files are written with it (:mod:`wsd.util.contents`); what does not agree with them
    is replaced.

    Args:
        folder: what is made; its name is a digest of everything that it depends on.
        write: fills a temporary folder, which becomes ``folder``.
    """
    if is_whole(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.with_name(f".{folder.name}.lock"), f"another process makes {folder}"):
        # Said already, if it is damaged.
        if os.path.lexists(folder) and find_damage(folder, folder.name) is None:
            return
        with scratch_folder(folder) as scratch:
            write(scratch)
            write_contents(scratch, folder.name)
            _let_everybody_read(scratch)
            with defer_stops():
                if os.path.lexists(folder):
                    # What was damaged is removed with the temporary folder.
                    folder.rename(scratch.with_name("replaced"))
                scratch.rename(folder)


@contextmanager
def hold_lock(path: Path, why: str) -> Iterator[None]:
    """Hold a lock between processes in a block; the lock's file stays.

    Args:
        path: the lock's file.
        why: what is said, with "waiting for it", if another process holds it for long.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_QUIET_SECONDS)
    except Timeout:
        _LOG.warning("%s: waiting for it", why)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees either nothing or all of it.

    Symbolic links are followed. A device or a pipe that is there is written as it is. What killed
    processes left beside the file is removed.

    Args:
        path: of the file; folders above it that are missing are made.
        data: the whole content.

    Raises:
        OSError: if it cannot be written; it names the file.
    """
    path = _follow_links(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A full disk names no file, and the name of the temporary one would tell a reader nothing.
    with _name_in_errors(path):
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        with scratch_folder(path) as scratch:
            file = scratch / "file"
            file.write_bytes(data)
            file.chmod(0o644)
            file.rename(path)


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
        _make_folder(folder)
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
        _make_folder(shards)
        _remove_all_but_files(shards)
        yield shards
        with defer_stops(), brief:
            remove_tree(folder)
    finally:
        lock.release()


def _make_folder(folder: Path) -> None:
    """Make a folder unless it is there; what damage has put in its place is removed."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
    folder.mkdir(exist_ok=True)


def _remove_all_but_files(folder: Path) -> None:
    """Remove what a killed process or damage left in a folder of whole files."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        elif path.is_symlink() or MARK in path.name:
            path.unlink()


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
