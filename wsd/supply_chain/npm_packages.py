"""npm packages of the page's lock file, as materials."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from packageurl import PackageURL
from pydantic import BaseModel, ConfigDict, TypeAdapter

from wsd.errors import ToolError
from wsd.supply_chain.licenses import find_license, find_texts
from wsd.supply_chain.material import Material
from wsd.util.files import REPOSITORY
from wsd.util.json_reader import read_json
from wsd.util.process import run

_WEB = REPOSITORY / "web"
_HINT = "install the page's packages anew: npm ci, in the folder web"
_MODULES = "node_modules"


class _Locked(BaseModel):
    """What ``package-lock.json`` says of one package."""

    model_config = ConfigDict(frozen=True)

    version: str = ""
    integrity: str = ""
    license: str = ""
    dev: bool = False
    dependencies: dict[str, str] = {}


class _Author(BaseModel):
    name: str = ""


class _Described(BaseModel):
    """What a package's own ``package.json`` says of who publishes it."""

    model_config = ConfigDict(frozen=True)

    author: str | _Author = ""


_LOCK = TypeAdapter(dict[str, _Locked])


def npm_materials() -> Iterator[Material]:
    """Yield what the page's lock file names, and Node.js; tools are not shipped.

    Nothing where WSD was not installed from its repository.

    Raises:
        ToolError: if the lock file is unreadable.
    """
    path = _WEB / "package-lock.json"
    if not path.is_file():
        return
    locked = _LOCK.validate_python(read_json(path, ToolError, _HINT)["packages"])
    for place, entry in locked.items():
        if place:
            yield _material(place, entry, locked)
    yield from _node()


def _node() -> Iterator[Material]:
    """Yield Node.js, which runs the bundler, whoever packaged it."""
    program = shutil.which("node")
    if program is None:
        return
    tag = run([program, "--version"]).strip()
    yield Material(
        purl=str(PackageURL("github", "nodejs", "node", tag)),
        name="node",
        version=tag.removeprefix("v"),
        license=find_license("nodejs", ()),
        supplier="OpenJS Foundation",
    )


def page_requirements() -> tuple[str, ...]:
    """Return the package URLs of the packages that the page itself names."""
    path = _WEB / "package-lock.json"
    if not path.is_file():
        return ()
    locked = _LOCK.validate_python(read_json(path, ToolError, _HINT)["packages"])
    return tuple(sorted(_required("", locked[""].dependencies, locked)))


def _material(place: str, entry: _Locked, locked: dict[str, _Locked]) -> Material:
    algorithm, _, digest = entry.integrity.partition("-")
    folder = _WEB / place
    # Packages for development differ from machine to machine, so what they say is not read.
    supplier = "" if entry.dev else _supplier(folder)
    return Material(
        purl=_purl(place, entry),
        name=_name(place),
        version=entry.version,
        shipped=not entry.dev,
        license=find_license(_name(place), [entry.license]),
        supplier=supplier or f"maintainers of {_name(place)} on npm",
        hashes=((f"SHA-{algorithm[3:]}", base64.b64decode(digest).hex()),),
        requires=tuple(sorted(_required(place, entry.dependencies, locked))),
        texts=() if entry.dev else find_texts(folder),
    )


def _name(place: str) -> str:
    return place.rpartition(f"{_MODULES}/")[2]


def _purl(place: str, entry: _Locked) -> str:
    scope, _, bare = _name(place).rpartition("/")
    return str(PackageURL("npm", scope, bare, entry.version))


def _required(place: str, names: dict[str, str], locked: dict[str, _Locked]) -> Iterator[str]:
    """Yield the package URLs of what a package imports, as Node.js finds it from its folder."""
    for name in names:
        folder = PurePosixPath(place)
        for above in (folder, *folder.parents):
            found = (above / _MODULES / name).as_posix()
            if above.name != _MODULES and found in locked:
                yield _purl(found, locked[found])
                break


def _supplier(folder: Path) -> str:
    path = folder / "package.json"
    if not path.is_file():
        return ""
    said = _Described.model_validate(read_json(path, ToolError, _HINT)).author
    return (said if isinstance(said, str) else said.name).partition("<")[0].strip()
