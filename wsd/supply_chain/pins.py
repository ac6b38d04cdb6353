"""docker/pins.toml: every input of the image, read and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsd.errors import UsageError
from wsd.util.files import REPOSITORY

FILE = REPOSITORY / "docker" / "pins.toml"
_RESTORE = "git diff shows what changed; docs/appliance.md says what belongs there"
_GIT_OBJECT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """A git repository at one commit.

    Attributes:
        name: the build context that replaces it is ``source-<name>``.
        url: where it is fetched.
        commit: 40 hexadecimal digits.
        tree: git's digest of its files, submodules left out.
        version: what its authors call it, or the commit.
    """

    name: str
    url: str
    commit: str
    tree: str
    version: str


@dataclass(frozen=True)
class Backport:
    """A later fix that a source takes.

    Attributes:
        name: what it is about.
        source: name of the source that it belongs to.
        commit: 40 hexadecimal digits, in the source's repository.
        reason: why it is taken.
    """

    name: str
    source: str
    commit: str
    reason: str


@dataclass(frozen=True)
class Pins:
    """Everything that the image is built from.

    Attributes:
        base: the base image as ``name:tag@sha256:digest``.
        snapshot: timestamp of Debian's archive.
        sources: name → git repository.
        backports: fixes taken from later commits.
        debian: package → exact version.
        actions: GitHub Action → commit.
    """

    base: str
    snapshot: str
    sources: Mapping[str, Source]
    backports: tuple[Backport, ...]
    debian: Mapping[str, str]
    actions: Mapping[str, str]


def read_pins(path: Path = FILE) -> Pins:
    """Read and check the pins.

    Raises:
        UsageError: if the file is missing, malformed, or pins something by less than a
            digest, a commit or an exact version; says what and where.
    """
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable ({error})", _RESTORE) from error
    reader = _Reader(path, table)
    image = reader.text("base", "image")
    digest = reader.text("base", "digest", _DIGEST.fullmatch)
    return Pins(
        base=f"{image}@{digest}",
        snapshot=reader.text("snapshot", "timestamp", re.compile(r"\d{8}T\d{6}Z").fullmatch),
        sources={
            name: Source(
                name,
                reader.text(f"source.{name}", "url", re.compile(r"https://\S+").fullmatch),
                commit := reader.text(f"source.{name}", "commit", _GIT_OBJECT.fullmatch),
                reader.text(f"source.{name}", "tree", _GIT_OBJECT.fullmatch),
                reader.found(f"source.{name}").get("version", commit),
            )
            for name in reader.found("source")
        },
        backports=tuple(
            Backport(
                name,
                source,
                reader.text(f"backport.{source}.{name}", "commit", _GIT_OBJECT.fullmatch),
                reader.text(f"backport.{source}.{name}", "reason"),
            )
            for source, fixes in reader.found("backport").items()
            for name in fixes
        ),
        debian={
            package: reader.text("debian", package, re.compile(r"\d\S*").fullmatch)
            for package in reader.found("debian")
        },
        actions={
            name: reader.text("action", name, _GIT_OBJECT.fullmatch)
            for name in reader.found("action")
        },
    )


class _Reader:
    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self._path = path
        self._table = table

    def found(self, where: str) -> dict[str, Any]:
        value: Any = self._table
        for key in where.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, dict):
            raise UsageError(f"{self._path}: [{where}] is missing", _RESTORE)
        return value

    def text(self, where: str, key: str, fits: Callable[[str], object] | None = None) -> str:
        value = self.found(where).get(key)
        if not isinstance(value, str) or not value or (fits and not fits(value)):
            raise UsageError(
                f"{self._path}: [{where}] {key} = {value!r} pins nothing",
                "a git object has 40 hexadecimal digits, an image a sha256 digest, a Debian "
                "package its exact version",
            )
        return value
