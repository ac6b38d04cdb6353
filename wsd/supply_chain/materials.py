"""Materials of a bundle: packages and sources of this environment, for SBOM and provenance."""

from __future__ import annotations

import base64
import functools
import importlib.metadata
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packageurl import PackageURL
from packaging.requirements import Requirement

from wsd.spec.manifest import Manifest
from wsd.supply_chain.pins import Source, read_pins
from wsd.util.files import REPOSITORY
from wsd.util.hashing import Digests
from wsd.util.process import run

# Set in the image: a folder of files with a line "name tree" for each source that was built.
SOURCES_VARIABLE = "WSD_SOURCES"

# Set in the image: the base image that it was built on.
BASE_VARIABLE = "WSD_BASE"

# What becomes part of a bundle, rather than only making it: tvmjs and TVM's runtime, and
# the C and C++ libraries that Emscripten links.
_SHIPPED = {"apache-tvm", "apache-tvm-ffi", "tvm", "emscripten"}


@dataclass(frozen=True, order=True)
class Material:
    """One package or source.

    Attributes:
        purl: its package URL, https://github.com/package-url/purl-spec.
        name: what its registry calls it.
        version: its version; a commit, of a git source.
        shipped: whether parts of it are in the bundle.
        license: SPDX expression or what the package says, or empty.
        hashes: (algorithm as CycloneDX names it, hexadecimal digest).
        patches: URLs of upstream's commits that were applied.
    """

    purl: str
    name: str
    version: str
    shipped: bool = False
    license: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    patches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """sbom/policy.toml.

    Attributes:
        allowed: SPDX expressions that parts of a bundle may be under.
        licenses: package → SPDX expression, where it does not say it itself.
    """

    allowed: tuple[str, ...]
    licenses: Mapping[str, str]


@functools.cache
def read_policy() -> Policy:
    """Read the policy; empty where WSD was not installed from its repository."""
    path = REPOSITORY / "sbom" / "policy.toml"
    table = tomllib.loads(path.read_text()) if path.is_file() else {}
    return Policy(tuple(table.get("allowed", ())), table.get("licenses", {}))


@dataclass(frozen=True)
class BundleContents:
    """What the attestations of a bundle are about.

    Attributes:
        files: path in the bundle → digests of the file, attestations left out.
        materials: packages and sources that the bundle is made with.
        manifests: manifests of its models.
    """

    files: Mapping[str, Digests]
    materials: tuple[Material, ...]
    manifests: tuple[Manifest, ...]


def compiler_materials() -> tuple[Material, ...]:
    """Return what a library compiled here is made with, sorted."""
    found = [*_python(), *_npm_materials(), *_debian_materials(), *_git_materials()]
    if base := os.environ.get(BASE_VARIABLE):
        found.append(_base_material(base))
    return tuple(sorted(map(_licensed, found)))


def python_materials() -> Iterator[Material]:
    """Yield WSD, TVM and every package that they need."""
    yield from map(_licensed, _python())


def _licensed(material: Material) -> Material:
    """Return a material with its licence, if the package did not say it and the policy does."""
    known = read_policy().licenses.get(material.name, "")
    return replace(material, license=material.license or known)


def _python() -> Iterator[Material]:
    waiting = ["wsd", *(name for name in ("apache-tvm", "tvm") if _distribution(name))]
    seen: set[str] = set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        distribution = _distribution(name)
        if name in seen or distribution is None:
            continue
        seen.add(name)
        waiting.extend(_required(distribution.requires or ()))
        yield Material(
            purl=str(PackageURL("pypi", name=name, version=distribution.version)),
            name=name,
            version=distribution.version,
            shipped=name in _SHIPPED,
            license=str(distribution.metadata.json.get("license_expression", "")),
        )


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _required(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def _npm_materials() -> Iterator[Material]:
    """Yield what the page's lock file names; packages for development are not shipped."""
    lock = REPOSITORY / "web" / "package-lock.json"
    if not lock.is_file():
        return
    for place, entry in json.loads(lock.read_text())["packages"].items():
        name = place.rpartition("node_modules/")[2]
        if name:
            yield _npm_material(name, entry)


def _npm_material(name: str, entry: dict[str, Any]) -> Material:
    algorithm, _, digest = entry["integrity"].partition("-")
    scope, _, bare = name.rpartition("/")
    return Material(
        purl=str(PackageURL("npm", scope, bare, entry["version"])),
        name=name,
        version=entry["version"],
        shipped=not entry.get("dev", False),
        license=entry.get("license", ""),
        hashes=((f"SHA-{algorithm[3:]}", base64.b64decode(digest).hex()),),
    )


def _debian_materials() -> Iterator[Material]:
    """Yield the image's packages; elsewhere those that brought Emscripten and Node.js."""
    if shutil.which("dpkg-query") is None:
        return
    in_image = SOURCES_VARIABLE in os.environ
    # None named means all of them.
    names = [] if in_image else list(_owners("emcc", "node"))
    if not in_image and not names:
        return
    wanted = "${Package}\t${Version}\t${Architecture}\n"
    for line in run(["dpkg-query", "--show", f"--showformat={wanted}", *names]).splitlines():
        name, version, architecture = line.split("\t")
        yield Material(
            purl=str(PackageURL("deb", "debian", name, version, {"arch": architecture})),
            name=name,
            version=version,
            shipped=name in _SHIPPED,
        )


def _owners(*programs: str) -> Iterator[str]:
    """Yield the Debian packages that brought programs, where packages did."""
    for program in programs:
        path = shutil.which(program)
        # Its own list: asking which package owns a file that none does is an error.
        name = "nodejs" if program == "node" else "emscripten"
        listed = Path(f"/var/lib/dpkg/info/{name}.list")
        if path and listed.is_file() and path in listed.read_text().splitlines():
            yield name


def _base_material(image: str) -> Material:
    """Return the base image, ``name:tag@sha256:digest``; a site's own may have no digest."""
    reference, _, digest = image.partition("@")
    owner, _, named = reference.rpartition("/")
    name, _, tag = named.partition(":")
    version = digest or tag or "latest"
    return Material(
        purl=str(PackageURL("docker", owner, name, version, {"tag": tag} if digest else {})),
        name=name,
        version=version,
        hashes=(("SHA-256", digest.removeprefix("sha256:")),) if digest else (),
    )


def _git_materials() -> Iterator[Material]:
    """Yield the sources that the image was built from, as it recorded them."""
    record = os.environ.get(SOURCES_VARIABLE)
    if record is None:
        return
    pins = read_pins()
    for name, tree in _recorded(Path(record)):
        source = pins.sources[name]
        fixes = [fix for fix in pins.backports if fix.source == name]
        yield _git_material(source, tree, tuple(f"{source.url}/commit/{f.commit}" for f in fixes))


def _recorded(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (source, git's digest of its files) of what docker/stages/trees.sh wrote."""
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            name, tree = line.split()
            yield name, tree


def _git_material(source: Source, tree: str, patches: tuple[str, ...]) -> Material:
    as_pinned = tree == source.tree
    place = source.url.removeprefix("https://github.com/")
    return Material(
        # A folder that was passed in and is not the commit goes by what it holds.
        purl=f"pkg:github/{place}@{source.commit}"
        if as_pinned
        else f"pkg:generic/{source.name}@{tree}",
        name=source.name,
        version=source.version if as_pinned else tree,
        shipped=source.name in _SHIPPED,
        hashes=(("SHA-1", source.commit if as_pinned else tree),),
        patches=patches,
    )
