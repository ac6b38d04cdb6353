"""Licences of packages: what may be shipped, what a package states, and the texts that it has."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import BaseModel, ConfigDict

from wsd.supply_chain.material import LicenseText
from wsd.util.prebuilt import repository_file

# Files that hold a licence or a notice, by their names in whatever folder.
_NAMES = re.compile(
    r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)([._-][\w.+-]*)?(\.(TXT|MD|RST))?", re.IGNORECASE
)
# Names that the pattern takes and that hold code.
_CODE = re.compile(r"\.(py|pyc|js|ts|h|c|cc|cpp|json)$", re.IGNORECASE)
_CLASSIFIER = "License :: OSI Approved :: "


class Policy(BaseModel):
    """The file sbom/policy.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    allowed: tuple[str, ...] = ()
    """SPDX expressions of the licences that parts of a bundle may have."""
    licenses: Mapping[str, str] = {}
    """Package to SPDX expression, for packages that state theirs in no form that programs read."""
    names: Mapping[str, str] = {}
    """What packages call a licence, to its SPDX expression."""


@functools.cache
def read_policy() -> Policy:
    """Read the policy of the repository or of the wheel; it is empty where WSD has neither."""
    path = repository_file("sbom/policy.toml")
    if not path.is_file():
        return Policy()
    return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def find_license(package: str, stated: Iterable[str]) -> str:
    """Return the licence of a package as an SPDX expression.

    Args:
        package: its name.
        stated: what it says of its licence, the most exact first: expressions, names, trove
            classifiers.

    Returns:
        the policy's, if it knows the package; else the first statement that is an SPDX expression
        or that the policy has one for; else the first statement as it is, or an empty text.
    """
    policy = read_policy()
    if package in policy.licenses:
        return policy.licenses[package]
    said = [text.removeprefix(_CLASSIFIER).strip() for text in stated]
    for text in filter(None, said):
        if text in policy.names:
            return policy.names[text]
        if expression := as_expression(text):
            return expression
    return next((text for text in said if text and "\n" not in text), "")


def as_expression(text: str) -> str:
    """Return a licence in the spelling of SPDX, or an empty text if it is no SPDX expression."""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""


def is_license_file(name: str) -> bool:
    """Tell whether a file of this name, without its folder, holds a licence or a notice."""
    return _NAMES.fullmatch(name) is not None and _CODE.search(name) is None


def read_texts(paths: Iterable[Path]) -> tuple[LicenseText, ...]:
    """Return the texts of licence files, each text once, sorted; missing files are left out."""
    found: dict[str, str] = {}
    for path in sorted(paths):
        if path.is_file():
            found.setdefault(_decode(path.read_bytes()), path.name)
    return tuple(sorted(LicenseText(name, text) for text, name in found.items()))


def find_texts(folder: Path) -> tuple[LicenseText, ...]:
    """Return the licences and notices that lie in a folder, or in its folder ``licenses``."""
    return read_texts(_list_texts(folder))


def _list_texts(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "licenses"):
        if place.is_dir():
            yield from (path for path in place.iterdir() if is_license_file(path.name))


def _decode(data: bytes) -> str:
    """Return the text of a file; old licences are in Latin-1, which every byte is a letter of."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").strip("\n") + "\n"
