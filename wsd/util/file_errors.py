"""Errors of the file system: which ones a person can act on, and what to do about each.

The command line turns every ``OSError`` that it gets into an ``error:`` and a ``hint:`` line with
:func:`explain`. So code that reads or writes a file lets these errors pass, unless it knows more
about the file than its name.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsd.errors import FileError

_PERMISSIONS = "check its owner and its permissions, or name another path"
_ROOM = "make room and run the same command again: a build goes on from its finished shards"
_MEMORY = (
    "close other programs, or give the container or virtual machine more; a smaller model, or "
    "--dtype f16, needs less"
)
_DISK = "the disk or its connection may be broken: see the system's log, or name another path"

# What is wrong, and what to do, for each number of an error. A number that is not here is an error
# of the file system only if the error names a file.
_KNOWN: dict[int, tuple[str, str]] = {
    errno.EACCES: ("permission denied", _PERMISSIONS),
    errno.EPERM: ("operation not permitted", _PERMISSIONS),
    errno.EROFS: ("the file system is read-only", "name a path that can be written"),
    errno.ENOSPC: ("no space is left", _ROOM),
    errno.EDQUOT: ("no space is left in the quota", _ROOM),
    errno.EFBIG: (
        "the file would be larger than allowed",
        "raise the limit (ulimit -f), or name a path on a file system that takes larger files",
    ),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.ENOTDIR: (
        "a file is where a folder is needed",
        "name a path whose parents are folders",
    ),
    errno.EISDIR: ("a folder is where a file is needed", "name a file"),
    errno.EEXIST: ("it exists already", "name another path, or remove it first"),
    errno.ENOTEMPTY: ("the folder is not empty", "name another path, or remove it first"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.ELOOP: ("symbolic links lead in a circle", "name a path without such links"),
    errno.EMLINK: ("the file has too many links", "name a path on another file system"),
    errno.EXDEV: ("the link leads to another file system", "name a path on one file system"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("too many files are open on this machine", "close other programs"),
    errno.ENOLCK: (
        "the file system has no locks",
        "set WSD_CACHE to a folder on a local disk",
    ),
    errno.EILSEQ: (
        "the name is not UTF-8",
        "name a path that is UTF-8: libraries that read and write files take no other",
    ),
    errno.ENOMEM: ("there is not enough memory", _MEMORY),
    errno.EIO: ("input or output failed", _DISK),
    errno.ESTALE: ("the file is gone from its server", _DISK),
    errno.ENODEV: ("there is no such device", "name a regular file"),
    errno.ENXIO: ("there is no such device", "name a regular file"),
    errno.EBUSY: ("it is in use", "wait for the program that uses it, or name another path"),
    errno.ETXTBSY: ("it is in use", "wait for the program that uses it, or name another path"),
}

# Of a copy that failed, these are errors of what was read.
_OF_SOURCES = (errno.ENOENT, errno.EIO, errno.EISDIR, errno.ENXIO)
# How the text of an OSError begins.
_NUMBER = re.compile(r"\[Errno (\d{1,4})\]")
# What PyTorch says of a file that it cannot map into memory.
_TORCH = re.compile(r"unable to [^<]*<(.+)>.* \((\d{1,4})\)$", re.DOTALL)
# What PyTorch, and libraries in C++ such as TVM, say where memory is missing.
_NO_MEMORY = re.compile(r"can't allocate memory: you tried to allocate|std::bad_alloc")
# How Rust's std::io::Error ends.
_RUST = re.compile(r"\(os error (\d{1,4})\)")


def find_os_error(error: BaseException) -> OSError | None:
    """Return an error of the operating system as ``OSError``; None if it is none.

    Libraries in Rust, such as safetensors, raise classes of their own, whose text ends with the
    number of the error, and take no path that is not UTF-8. PyTorch raises ``RuntimeError``. Where
    memory is missing, Python, C++ and the operating system each say it in their own way.
    """
    if isinstance(error, OSError):
        return error
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))
    ):
        return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if isinstance(error, UnicodeEncodeError) and _is_path(error.object):
        return OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), error.object)
    if isinstance(error, RuntimeError) and (said := _TORCH.match(str(error))) is not None:
        return OSError(int(said[2]), os.strerror(int(said[2])), said[1])
    numbers = _RUST.findall(str(error)) if type(error).__module__ != "builtins" else []
    return OSError(int(numbers[-1]), os.strerror(int(numbers[-1]))) if numbers else None


def _is_path(text: str) -> bool:
    """Tell whether a text is a path as Python reads it from bytes that are not UTF-8."""
    try:
        return os.path.lexists(text) or Path(text).parent.is_dir()
    except (OSError, ValueError):
        return False


def explain(error: OSError, place: Path | None = None) -> FileError | None:
    """Return an error of the file system as one that says what to do.

    Args:
        error: any error of the operating system.
        place: what was read or written, for an error that names no file.

    Returns:
        the error that names the path and has a hint; None for an error of another kind, such as
        one of the network.
    """
    if isinstance(error, shutil.Error):
        return _explain_copies(error)
    # What is read or written when memory ends is not the reason.
    path = None if error.errno == errno.ENOMEM else _path(error) or place
    known = _KNOWN.get(error.errno) if error.errno is not None else None
    if known is None and (path is None or error.errno is None):
        return None
    wrong, hint = known or (str(error.strerror or error), _PERMISSIONS)
    if error.errno == errno.ENOMEM:
        return FileError(wrong, hint)
    if path is None:
        # What the system says may name a place, such as the folders for temporary files.
        return FileError(str(error.strerror or wrong), hint)
    return FileError(f"{path}: {wrong}", _hint_for(path, hint))


def _path(error: OSError) -> Path | None:
    """Return the file that an error names; the second one if the first is a temporary name."""
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    paths = [Path(name) for name in names if name]
    return paths[-1] if paths else None


def _explain_copies(error: shutil.Error) -> FileError:
    """Return the first of several copies that failed, as ``shutil.copytree`` collects them.

    It keeps the text of each error alone, which begins with the number.
    """
    first = error.args[0]
    if isinstance(first, list) and first and isinstance(first[0], tuple):
        source, target, why = first[0]
        number = _NUMBER.match(str(why))
        if number is not None:
            code = int(number[1])
            place = source if code in _OF_SOURCES else target
            explained = explain(OSError(code, os.strerror(code), str(place)))
            if explained is not None:
                return explained
        return FileError(f"{source} cannot be copied to {target}: {why}", _PERMISSIONS)
    return FileError(str(first), _PERMISSIONS)


def _hint_for(path: Path, hint: str) -> str:
    """Return what to do about a path: a variable names the cache, and a device is never right."""
    from wsd.util.files import cache_folder

    if _is_device(path):
        return "it is a device: name a regular file"
    try:
        in_cache = path.is_relative_to(cache_folder())
    except FileError:
        in_cache = False
    return f"{hint}; WSD_CACHE names another cache folder" if in_cache else hint


def _is_device(path: Path) -> bool:
    """Tell whether a path is a device, such as ``/dev/full``; not if that cannot be found out."""
    try:
        return path.is_char_device() or path.is_block_device()
    except (OSError, ValueError):
        return False


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Put a file's name into the errors of a block that have none, as those of a broken disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def explain_file_errors(place: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do.

    Args:
        place: what is read or written, for errors that name no file, as those of a full disk.

    Raises:
        FileError: for an error of the block that is one of the file system.
    """
    try:
        yield
    except Exception as error:
        found = find_os_error(error)
        explained = None if found is None else explain(found, place)
        if explained is None:
            raise
        raise explained from error
