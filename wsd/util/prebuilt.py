"""Find what a wheel has in place of the repository: the built page, the npm package, object files.

In a clone of the repository everything is built from its sources, and nothing here is read. A wheel
has the folder ``wsd/prebuilt`` instead, which ``nox -s wheel`` makes (.ci/tools/build_wheel.py):

- ``page/``: the page, without any model,
- ``package/``: the npm package,
- ``developer/``: what ``wsd bench`` and ``wsd parity`` serve beside a bundle,
- ``runtime/``: object files of TVM's WebAssembly runtime, laid out as in the cache,
- ``repository/``: files of the repository, by their paths there,
- ``record.json``: what all of this was built from (:mod:`wsd.supply_chain.prebuilt_record`),
- ``THIRD_PARTY_NOTICES.txt`` and ``licenses/``: the licences of what others wrote of it,
- ``contents.json``: the digest of each of these files.
"""

from __future__ import annotations

import functools
from pathlib import Path

from wsd.errors import ToolError
from wsd.util.contents import find_damage
from wsd.util.files import PACKAGE, REPOSITORY

FOLDER = PACKAGE / "prebuilt"
PAGE, NPM_PACKAGE, DEVELOPER, RUNTIME = "page", "package", "developer", "runtime"
# Files of the repository that a wheel has too.
REPOSITORY_FILES = ("LICENSE", "sbom/policy.toml")
INSTALL_HINT = (
    "install a wheel that `nox -s wheel` made, or a clone of the repository: pip install -e ."
)


def is_clone() -> bool:
    """Tell whether WSD runs from its repository, where the page's sources are."""
    return (REPOSITORY / "web" / "package.json").is_file()


def is_prebuilt() -> bool:
    """Tell whether WSD was installed from a wheel that has the built page."""
    return not is_clone() and FOLDER.is_dir()


def find_prebuilt(name: str) -> Path:
    """Return the path of a file or folder that a wheel has in place of the repository.

    Args:
        name: path in :data:`FOLDER`.

    Raises:
        ToolError: if this installation of WSD has no such folder, as one that pip made of the
            repository without ``nox -s wheel``; or if a file of it has changed.
    """
    if not FOLDER.is_dir():
        raise ToolError(
            "this installation of WSD has neither the page's sources nor the built page",
            INSTALL_HINT,
        )
    damage = _damage_of(FOLDER)
    if damage is not None:
        raise ToolError(
            f"{FOLDER} is damaged: {damage}",
            "install it again: pip install --force-reinstall, and the name of the wheel's file",
        )
    return FOLDER / name


@functools.cache
def _damage_of(folder: Path) -> str | None:
    return find_damage(folder)


def repository_file(path: str) -> Path:
    """Return where one of :data:`REPOSITORY_FILES` is: in the clone, or its copy in the wheel.

    Nothing need be there.
    """
    return (FOLDER / "repository" if is_prebuilt() else REPOSITORY) / path
