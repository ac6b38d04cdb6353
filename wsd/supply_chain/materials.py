"""Materials of a bundle: packages and sources of this environment, for SBOM and provenance."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from packageurl import PackageURL

from wsd import __version__
from wsd.spec.manifest import Manifest
from wsd.supply_chain.debian_packages import debian_materials
from wsd.supply_chain.emscripten_libraries import (
    emscripten_material,
    emscripten_texts,
    library_materials,
)
from wsd.supply_chain.git_sources import SOURCES_VARIABLE, git_materials
from wsd.supply_chain.material import LicenseText, Material, merge_materials
from wsd.supply_chain.npm_packages import npm_materials, page_requirements
from wsd.supply_chain.own_source import own_material
from wsd.supply_chain.prebuilt_record import read_record
from wsd.supply_chain.python_packages import package_url, python_materials, required_names
from wsd.util.hashing import Digests
from wsd.util.prebuilt import is_prebuilt

# Environment variable of the image: the base image that it was built on.
BASE_VARIABLE = "WSD_BASE"


@dataclass(frozen=True)
class BundleContents:
    """What the attestations of a bundle are about.

    Attributes:
        files: path in the bundle → digests of the file, attestations left out.
        materials: packages and sources that the bundle is made with; no two of one package URL.
        manifests: manifests of its models.
        version: of WSD, which writes the attestations.
    """

    files: Mapping[str, Digests]
    materials: tuple[Material, ...]
    manifests: tuple[Manifest, ...]
    version: str = __version__


def compiler_materials() -> tuple[Material, ...]:
    """Return packages and sources that a library compiled here is made with, sorted.

    WSD itself and the page's packages are left out: a library of the cache may be older than they.
    """
    found = [
        *python_materials(),
        *debian_materials(in_image=SOURCES_VARIABLE in os.environ),
        *git_materials(emscripten_texts()),
    ]
    if not any(material.name == "emscripten" for material in found):
        found.extend(filter(None, [emscripten_material()]))
    found = list(_add_libraries(found))
    if base := os.environ.get(BASE_VARIABLE):
        found.append(_base_material(base))
    return merge_materials(found)


def page_materials() -> tuple[Material, ...]:
    """Return the npm packages of the page that is written here, and WSD, whose page it is, sorted.

    For the page of a wheel they are those that it was built from, and TVM, whose tvmjs is in it.

    Raises:
        ToolError: if the lock file, or the wheel's record, is unreadable.
    """
    if is_prebuilt():
        return read_record().page
    return merge_materials([*npm_materials(), own_material(page_requirements())])


def own_materials() -> tuple[Material, ...]:
    """Return WSD itself and the Python packages that it needs here, sorted."""
    required = tuple(sorted(filter(None, map(package_url, required_names("wsd")))))
    return merge_materials([*python_materials(), own_material(required)])


def _add_libraries(found: list[Material]) -> Iterator[Material]:
    """Yield materials, and the libraries that Emscripten links, which it then requires."""
    texts: tuple[LicenseText, ...] = ()
    for material in found:
        if material.name == "emscripten":
            texts = material.texts
    libraries = tuple(library_materials(texts))
    yield from libraries
    for material in found:
        if material.name == "emscripten":
            required = (*material.requires, *(library.purl for library in libraries))
            yield replace(material, requires=tuple(sorted(required)))
        else:
            yield material


def _base_material(image: str) -> Material:
    """Return the material of ``name:tag@sha256:digest``; a site's own image may lack the digest."""
    reference, _, digest = image.partition("@")
    owner, _, named = reference.rpartition("/")
    name, _, tag = named.partition(":")
    version = digest or tag or "latest"
    return Material(
        purl=str(PackageURL("docker", owner, name, version, {"tag": tag} if digest else {})),
        name=name,
        version=version,
        license="those of the Debian packages in it",
        supplier=owner.partition("/")[0] or "Docker Official Images",
        hashes=(("SHA-256", digest.removeprefix("sha256:")),) if digest else (),
    )
