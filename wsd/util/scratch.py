"""Temporary folders whose lock tells whether their owner lives, and the removal of dead ones.

A process that is killed leaves its temporary folders behind, and a build's are as large as its
model. Each such folder is called ``.<name>.wsd-<8 characters>`` and holds a file ``lock``, which
its owner has locked as long as it lives, a file ``machine``, and a folder ``content``. Whoever
makes another temporary folder beside them removes those that nobody has locked. Where the lock says
nothing, because another machine made the folder, its owner had not come so far or the file system
has no locks, they are removed once nothing in them has changed for a day.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from wsd.util.stops import defer_stops, on_forced_end

_LOG = logging.getLogger(__name__)
# What the name of every temporary file and folder holds.
MARK = ".wsd-"
_NAME = re.compile(r"\..+\.wsd-[a-z0-9_]{8}", re.DOTALL)
# Bytes of a path's name that are kept in the name of its temporary one, which may have 255.
_KEPT = 100
# Bytes of the path of a folder for temporary files. Chromium makes a socket in it, whose path adds
# 45 and may have 107 in all.
_MAX_TEMPORARY = 60
# Errors of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# Seconds in which a native call that writes a file comes to its end, or to a next step.
_SOON = 1.0
HOUR = 3600.0
SCRATCH_SECONDS = 24 * HOUR
_CONTENT = "content"
LOCK = "lock"
# Written once the lock is held: says on which machine the lock tells whether the owner lives.
_MACHINE = "machine"
# Linux names each start of a machine, and so tells containers that share a disk from machines.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def scratch_prefix(path: Path) -> str:
    """Return what the name of a temporary file or folder begins with.

    Args:
        path: what will be there; its name is cut to what a file system takes.
    """
    return f".{os.fsencode(path.name)[:_KEPT].decode(errors='ignore')}{MARK}"


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
    # A folder that can be written and not listed is no reason to fail.
    with suppress(PermissionError):
        sweep(path.parent, time.time())
    root: Path | None = None
    with ExitStack() as stack:
        try:
            # A signal that came between these lines would leave a folder that nobody removes.
            with defer_stops():
                root = make_scratch(path)
                stack.enter_context(on_forced_end(functools.partial(_remove_soon, root)))
                if _take_lock(stack, root / LOCK):
                    (root / _MACHINE).write_text(_name_machine(), encoding="utf-8")
                (root / _CONTENT).mkdir()
            yield root / _CONTENT
        finally:
            with defer_stops():
                if root is not None:
                    _remove(root)


def _take_lock(stack: ExitStack, path: Path) -> bool:
    """Hold a lock until a stack is left; tells whether the file system has locks."""
    try:
        stack.enter_context(FileLock(path))
    except NotImplementedError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


@contextmanager
def keep_temporary_files() -> Iterator[None]:
    """Let this process and the programs that it starts have one folder for temporary files.

    It is in the folder that they would have taken, is removed at the end of the block, and is swept
    by the next process that does the same if this one is killed. In a folder with a long path there
    is none.
    """
    named = os.environ.get("TMPDIR")
    with ExitStack() as stack:
        # Few commands need temporary files, and those that do will say that there is no place.
        with suppress(OSError):
            folder = stack.enter_context(scratch_folder(Path(tempfile.gettempdir()) / "t"))
            if len(os.fsencode(folder)) <= _MAX_TEMPORARY:
                stack.callback(_set_temporary_folder, named, tempfile.tempdir)
                _set_temporary_folder(str(folder), str(folder))
        yield


def _set_temporary_folder(variable: str | None, folder: str | None) -> None:
    """Say where temporary files go: to other programs by a variable, and to this one."""
    if variable is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = variable
    tempfile.tempdir = folder


def sweep(folder: Path, now: float) -> list[Path]:
    """Remove the temporary files and folders that ended processes left in a folder.

    Args:
        folder: where they lie; what is in its subfolders stays.
        now: seconds since 1970.

    Returns:
        what was removed.
    """
    found = [folder / name for name in os.listdir(folder) if _NAME.fullmatch(name)]  # noqa: PTH208
    return [path for path in sorted(found) if _remove_scratch(path, now)]


def _remove_scratch(path: Path, now: float) -> bool:
    """Remove a temporary file or folder if its owner has ended."""
    seconds = SCRATCH_SECONDS
    with suppress(OSError, UnicodeDecodeError):
        if (path / _MACHINE).read_text(encoding="utf-8") == _name_machine():
            seconds = 0.0
    return remove_stale(path, seconds, now)


def remove_stale(path: Path, seconds: float, now: float) -> bool:
    """Remove a temporary file or folder if it is old and nobody has its lock.

    Args:
        path: a file, or a folder with a file :data:`LOCK`.
        seconds: how long nothing in it must have changed; for 0 the lock alone decides.
        now: seconds since 1970.

    Returns:
        whether it was removed.
    """
    # Another process may remove it at the same time.
    with suppress(OSError, NotImplementedError, Timeout):
        # In a folder that all users share, others may have prepared what has this name.
        if path.lstat().st_uid != os.geteuid():
            return False
        if seconds and now - _last_change(path) < seconds:
            return False
        if stat.S_ISDIR(path.lstat().st_mode):
            with FileLock(path / LOCK, timeout=0):
                _remove(path)
        else:
            path.unlink()
        _LOG.info("removed %s, which an ended process left", path)
        return not os.path.lexists(path)
    return False


def _remove_soon(root: Path) -> None:
    """Remove a folder in which a native call may still be writing a file."""
    until = time.monotonic() + _SOON
    while os.path.lexists(root) and time.monotonic() < until:
        _remove(root)


def _remove(root: Path) -> None:
    """Remove a folder, as far as possible.

    Its lock goes last, so that the next process removes what cannot be removed now.
    """
    with suppress(OSError):
        with os.scandir(root) as entries:
            inside = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for folder in [*inside, root]:
            remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, however deep.

    Raises:
        OSError: if something in it cannot be removed.
    """
    # A call of rmtree for each level needs Python's stack, and an open file.
    with suppress(RecursionError, OSError):
        shutil.rmtree(folder)
    if os.path.lexists(folder):
        # What a link leads to stays as it is.
        if not folder.is_symlink():
            _flatten(folder)
        shutil.rmtree(folder)


def _flatten(folder: Path) -> None:
    """Move all folders that are in others up into one, as far as possible."""
    # Renamed folders have names that sort behind those that are still to be looked at.
    waiting = [entry.path for entry in _list_folders(folder)]
    count = 0
    while waiting:
        for below in _list_folders(waiting.pop()):
            with suppress(OSError):
                moved = folder / f"moved{MARK}{count}"
                count += 1
                Path(below.path).rename(moved)
                waiting.append(str(moved))


def _list_folders(folder: Path | str) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _last_change(path: Path) -> float:
    """Return when something in a folder was changed last, in seconds since 1970."""
    times = [path.lstat().st_mtime]
    if path.is_symlink():
        return times[0]
    waiting = [path] if path.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                times.append(entry.stat(follow_symlinks=False).st_mtime)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
    return max(times)


@functools.cache
def _name_machine() -> str:
    """Return what tells this machine from others, and on Linux this start of it from others."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="utf-8").strip()
    return platform.node()
