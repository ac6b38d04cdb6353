"""Digests of all files of a folder, kept in it, so that damage to any of them is noticed.

What is cached, and what ``wsd compile`` writes, has a file ``contents.json``: the path and SHA-256
of every other file, and the name under which the folder is cached. A file that is changed, cut
short, missing or foreign, a link, and a folder that took another's place are damage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wsd.errors import FileError
from wsd.util.hashing import canonical_json, sha256_file
from wsd.util.json_reader import read_json

FILE_NAME = "contents.json"


def write_contents(folder: Path, name: str = "") -> None:
    """Write the digests of a folder's files into it.

    Args:
        folder: with regular files and folders alone.
        name: under which it is cached; empty for a folder that anybody may rename.
    """
    contents = {"files": digest_files(folder, _list_contents(folder)), "name": name}
    (folder / FILE_NAME).write_bytes(canonical_json(contents))


def find_damage(folder: Path, name: str | None = None) -> str | None:
    """Return what is wrong with a folder, or None if it is as it was written.

    Args:
        folder: what :func:`write_contents` was called for.
        name: under which it is cached; None for a folder that anybody may have renamed.

    Returns:
        the first fault, a line without a period. What cannot be read is a fault too.
    """
    try:
        table = _read_contents(folder)
        if not isinstance(table, dict) or name not in (None, table.get("name")):
            return f"{FILE_NAME} is not of this folder"
        return find_difference(folder, table.get("files"), _list_contents(folder))
    except FileError as error:
        return error.message
    except OSError as error:
        return f"{error.filename or folder} cannot be read: {error.strerror}"


def _read_contents(folder: Path) -> object:
    try:
        return read_json(folder / FILE_NAME, FileError, "make it anew")
    except FileError as error:
        raise FileError(f"{FILE_NAME} is missing or damaged", error.hint) from error


def digest_files(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return path → SHA-256 of files.

    Args:
        folder: what the paths are relative to.
        paths: of the files.

    Raises:
        OSError: if a file cannot be read.
    """
    return {path: sha256_file(folder / path) for path in paths}


def find_difference(folder: Path, written: object, paths: Iterable[str]) -> str | None:
    """Return in what files differ from what was written of them; None if in nothing.

    Args:
        folder: what the paths are relative to.
        written: what :func:`digest_files` returned, as it was read from a file.
        paths: of the files that are there now.

    Returns:
        the first difference, a line without a period.

    Raises:
        OSError: if a file cannot be read.
    """
    if not isinstance(written, dict):
        return "the digests of its files are missing"
    found = set(paths)
    for path in sorted(found | written.keys()):
        if path not in written:
            return f"{path} does not belong there"
        if path not in found:
            return f"{path} is missing"
        if sha256_file(folder / path) != written[path]:
            return f"{path} has changed"
    return None


def list_files(
    folder: Path, is_left_out: Callable[[os.DirEntry[str]], bool] | None = None, inside: str = ""
) -> Iterator[str]:
    """Yield the path of every file below a folder, relative to it, sorted, with slashes.

    Args:
        folder: where they are.
        is_left_out: tells which files, links and folders are not looked at.
        inside: path of the folder itself, with a slash at the end, which the paths begin with.

    Raises:
        FileError: for what is neither a regular file nor a folder, such as a link.
        OSError: if a folder cannot be read.
    """
    # What is still to be looked at, the next one last. Folders can be nested deeper than calls.
    waiting = [(inside, entry) for entry in _scan(folder)]
    while waiting:
        before, entry = waiting.pop()
        if is_left_out is not None and is_left_out(entry):
            continue
        path = before + entry.name
        if entry.is_dir(follow_symlinks=False):
            waiting += [(f"{path}/", below) for below in _scan(entry.path)]
        elif entry.is_file(follow_symlinks=False):
            yield path
        else:
            raise FileError(f"{path} is neither a file nor a folder", "remove it")


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return what is in a folder, the first by name last."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _list_contents(folder: Path) -> list[str]:
    return [path for path in list_files(folder) if path != FILE_NAME]
