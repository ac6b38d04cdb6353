"""Materials: what a bundle is made of or made with, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True, order=True)
class LicenseText:
    """A file in which a package states its licence, or whom its notices name.

    Attributes:
        name: of the file, such as ``LICENSE`` or ``NOTICE``.
        text: what it says.
    """

    name: str
    text: str


@dataclass(frozen=True, order=True)
class Patch:
    """A patch that was applied to a source.

    Attributes:
        url: upstream's commit, if the patch is exactly that commit; else a URN of the file's name.
        sha256: digest of the patch as it was applied.
    """

    url: str
    sha256: str


@dataclass(frozen=True, order=True)
class Material:
    """One package or source.

    Attributes:
        purl: package URL, https://github.com/package-url/purl-spec. No two materials of a bundle
            share one.
        name: name in the package's registry.
        version: its version; of a git source without a version, the commit.
        shipped: whether a part of it is in the bundle.
        license: SPDX expression, or what the package says; empty if it says nothing.
        supplier: who publishes it; empty if it does not say.
        hashes: pairs of algorithm, as CycloneDX names it, and hexadecimal digest.
        commit: git commit, where it is one that is known; empty otherwise.
        patches: what was applied to it.
        requires: package URLs of the materials that it needs.
        texts: its licence and its notices, if it is shipped.
    """

    purl: str
    name: str
    version: str
    shipped: bool = False
    license: str = ""
    supplier: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    commit: str = ""
    patches: tuple[Patch, ...] = ()
    requires: tuple[str, ...] = ()
    texts: tuple[LicenseText, ...] = ()


def merge_materials(materials: Iterable[Material]) -> tuple[Material, ...]:
    """Return materials sorted, with those of one package URL made one, which require only these.

    The result does not depend on the order. Two bundles may have been made with one package and
    say different things of it: one on a machine that has the package's licence, for example.
    """
    found: dict[str, list[Material]] = {}
    for material in materials:
        found.setdefault(material.purl, []).append(material)
    merged = (reduce(_join, sorted(same)) for same in found.values())
    return tuple(
        sorted(
            replace(one, requires=tuple(purl for purl in one.requires if purl in found))
            for one in merged
        )
    )


def _join(first: Material, second: Material) -> Material:
    return replace(
        first,
        shipped=first.shipped or second.shipped,
        license=first.license or second.license,
        supplier=first.supplier or second.supplier,
        hashes=_union(first.hashes, second.hashes),
        commit=first.commit or second.commit,
        patches=_union(first.patches, second.patches),
        requires=_union(first.requires, second.requires),
        texts=_union(first.texts, second.texts),
    )


def _union(first: tuple[_Item, ...], second: tuple[_Item, ...]) -> tuple[_Item, ...]:
    every: set[Any] = {*first, *second}
    return tuple(sorted(every))
