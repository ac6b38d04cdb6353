"""Read docker/pins.toml, which pins every input of the image, and check that each is exact."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from wsd.errors import UsageError
from wsd.spec.entry import Entry
from wsd.util.files import REPOSITORY

FILE = REPOSITORY / "docker" / "pins.toml"
_RESTORE = "git diff shows what changed; docs/appliance.md says what belongs there"
_EXACT = (
    "a git object has 40 hexadecimal digits, an image a sha256 digest, a Debian package its exact "
    "version"
)

_Text = Annotated[str, Field(min_length=1)]
_GitObject = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_ImageDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Timestamp = Annotated[str, Field(pattern=r"^\d{8}T\d{6}Z$")]
_HttpsUrl = Annotated[str, Field(pattern=r"^https://\S+$")]
_DebianVersion = Annotated[str, Field(pattern=r"^\d\S*$")]


class Base(Entry):
    """The base image."""

    image: _Text
    """Name and tag."""
    digest: _ImageDigest
    """Digest of the image index."""

    def __str__(self) -> str:
        """Return the image as ``name:tag@sha256:digest``."""
        return f"{self.image}@{self.digest}"


class Snapshot(Entry):
    """Debian's archive as it was at one time."""

    timestamp: _Timestamp
    """Time as the snapshots of Debian's archive name it, such as 20261122T000000Z."""


class Source(Entry):
    """A git repository at one commit; the build context ``source-<name>`` may replace it."""

    url: _HttpsUrl
    """Where it is fetched."""
    commit: _GitObject
    """Commit that is built."""
    tree: _GitObject
    """Digest that git gives the commit's files, submodules left out."""
    version: _Text | None = None
    """What its authors call the commit, if it has a name."""


class Backport(Entry):
    """A later commit of a source's repository that is applied to the source."""

    commit: _GitObject
    """The commit."""
    changes: _Sha256
    """SHA-256 of its changes alone, as ``docker/stages/trees.sh`` prints it."""
    reason: _Text
    """Why it is applied."""


class Pins(Entry):
    """Everything that the image is built from."""

    base: Base
    snapshot: Snapshot
    source: Mapping[str, Source]
    """Name to git repository."""
    backport: Mapping[str, Mapping[str, Backport]]
    """Name of a source to its fixes by name, in the order in which they are applied."""
    debian: Mapping[str, _DebianVersion]
    """Package to exact version."""
    action: Mapping[str, _GitObject]
    """GitHub Action to commit."""


def read_pins(path: Path = FILE) -> Pins:
    """Read and check the pins.

    Raises:
        UsageError: if the file is missing, malformed, or does not pin something exactly; the
            message names the table and the key.
    """
    try:
        return Pins.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        raise _describe(path, first) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable ({error})", _RESTORE) from error


def _describe(path: Path, fault: dict[str, Any]) -> UsageError:
    """Return the error of one fault that pydantic found."""
    *tables, key = map(str, fault["loc"])
    table = ".".join(tables)
    if fault["type"] == "missing":
        place = f"[{table}] {key}" if table else f"[{key}]"
        return UsageError(f"{path}: {place} is missing", _RESTORE)
    if fault["type"] == "extra_forbidden":
        return UsageError(f"{path}: [{table or key}]: {key} is not known", _RESTORE)
    return UsageError(f"{path}: [{table}] {key} = {fault['input']!r} is not an exact pin", _EXACT)
