"""List the files of a bundle: plain files in plain folders, with names that every system takes.

A link, a pipe or a device in a bundle would let whoever made it read files of this machine, or hang
what reads it. So every reader of a whole bundle lists its files here, and follows nothing.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsd.errors import BundleError
from wsd.spec.paths import check_path

_HINT = "a bundle is of plain files and folders alone: copy it anew from where it was built"

_KINDS = (
    (stat.S_ISLNK, "symbolic link"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISCHR, "device"),
)


@dataclass(frozen=True)
class Tree:
    """What a folder holds.

    Attributes:
        files: path of each plain file, relative to the folder, with slashes, sorted.
        faults: one line for everything else, and for names that not every system takes.
    """

    files: tuple[str, ...]
    faults: tuple[str, ...]


def scan_tree(folder: Path) -> Tree:
    """List what a folder holds, without following links.

    The folder itself may be reached through a link.

    Args:
        folder: any folder.

    Raises:
        OSError: if a folder in it cannot be read.
    """
    files: dict[str, os.stat_result] = {}
    faults: list[str] = []
    for path, found in _walk(folder, ""):
        try:
            check_path(path)
        except ValueError as error:
            faults.append(str(error))
            continue
        if stat.S_ISREG(found.st_mode):
            files[path] = found
        elif not stat.S_ISDIR(found.st_mode):
            faults.append(f"{path}: {_name_kind(found.st_mode)}, not a plain file")
    faults += _find_outer_links(files)
    faults += _find_equal_names(files)
    return Tree(tuple(sorted(files)), tuple(sorted(faults)))


def list_files(folder: Path) -> list[str]:
    """Return the path of every file in a bundle, relative to it, sorted, with slashes.

    Args:
        folder: a bundle's folder.

    Raises:
        BundleError: if it holds anything but plain files and folders, or a name that not every
            system takes.
        OSError: if a folder in it cannot be read.
    """
    tree = scan_tree(folder)
    for fault in tree.faults:
        raise BundleError(f"{folder}: {fault}", _HINT)
    return list(tree.files)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of everything in a folder; links are not followed."""
    waiting = [(folder, prefix)]
    while waiting:
        place, before = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                path = f"{before}{entry.name}"
                yield path, found
                if stat.S_ISDIR(found.st_mode):
                    waiting.append((Path(entry.path), f"{path}/"))


def _name_kind(mode: int) -> str:
    return next((name for matches, name in _KINDS if matches(mode)), "special file")


def _find_outer_links(files: dict[str, os.stat_result]) -> Iterator[str]:
    """Yield files that have a further name outside of the folder.

    Whoever may write there changes the bundle.
    """
    names = Counter((found.st_dev, found.st_ino) for found in files.values())
    for path, found in files.items():
        if found.st_nlink > names[found.st_dev, found.st_ino]:
            yield f"{path}: hard link to a file outside of the bundle"


def _find_equal_names(files: dict[str, os.stat_result]) -> Iterator[str]:
    """Yield files whose paths differ from another's in capital letters alone."""
    seen: dict[str, str] = {}
    for path in sorted(files):
        other = seen.setdefault(path.lower(), path)
        if other != path:
            yield f"{path}: is {other} on systems that ignore capital letters"
