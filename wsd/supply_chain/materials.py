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
from pydantic import BaseModel, ConfigDict

from wsd.spec.manifest import Manifest
from wsd.supply_chain.pins import Source, read_pins
from wsd.util.files import REPOSITORY
from wsd.util.hashing import Digests
from wsd.util.process import run

# Environment variable of the image: a folder of files with a line "name tree" for each source that
# was built (docker/stages/trees.sh).
SOURCES_VARIABLE = "WSD_SOURCES"

# Environment variable of the image: the base image that it was built on.
BASE_VARIABLE = "WSD_BASE"

# Packages of which a part ends up in a bundle: tvmjs and TVM's runtime, and the C and C++
# libraries that Emscripten links.
_SHIPPED = {"apache-tvm", "apache-tvm-ffi", "tvm", "emscripten"}


@dataclass(frozen=True, order=True)
class Material:
    """One package or source.

    Attributes:
        purl: package URL, https://github.com/package-url/purl-spec.
        name: name in the package's registry.
        version: its version; of a git source without a version, the commit.
        shipped: whether a part of it is in the bundle.
        license: SPDX expression, or what the package says; empty if it says nothing.
        hashes: pairs of algorithm, as CycloneDX names it, and hexadecimal digest.
        patches: URLs of upstream's commits that were applied.
    """

    purl: str
    name: str
    version: str
    shipped: bool = False
    license: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    patches: tuple[str, ...] = ()


class Policy(BaseModel):
    """The file sbom/policy.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    allowed: tuple[str, ...] = ()
    """SPDX expressions of the licences that parts of a bundle may have."""
    licenses: Mapping[str, str] = {}
    """Package to SPDX expression, for packages that do not state theirs."""


@functools.cache
def read_policy() -> Policy:
    """Read the policy; empty where WSD was not installed from its repository."""
    path = REPOSITORY / "sbom" / "policy.toml"
    return Policy.model_validate(tomllib.loads(path.read_text()) if path.is_file() else {})


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
    """Return packages and sources that a library compiled here is made with, sorted."""
    found = [*_python_materials(), *_npm_materials(), *_debian_materials(), *_git_materials()]
    if base := os.environ.get(BASE_VARIABLE):
        found.append(_base_material(base))
    return tuple(sorted(map(_add_license, found)))


def python_materials() -> Iterator[Material]:
    """Yield WSD, TVM and every package that they need."""
    yield from map(_add_license, _python_materials())


def _add_license(material: Material) -> Material:
    """Return a material with its licence from the policy, if the package does not state it."""
    known = read_policy().licenses.get(material.name, "")
    return replace(material, license=material.license or known)


def _python_materials() -> Iterator[Material]:
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
    """Yield every package of the image; outside it, the packages of Emscripten and Node.js."""
    if shutil.which("dpkg-query") is None:
        return
    in_image = SOURCES_VARIABLE in os.environ
    # dpkg-query lists every package if no name is passed.
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
    """Yield the Debian packages that own programs, for programs that a package owns."""
    for program in programs:
        path = shutil.which(program)
        # Read dpkg's file list: `dpkg -S` fails for files that no package owns.
        name = "nodejs" if program == "node" else "emscripten"
        listed = Path(f"/var/lib/dpkg/info/{name}.list")
        if path and listed.is_file() and path in listed.read_text().splitlines():
            yield name


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
        hashes=(("SHA-256", digest.removeprefix("sha256:")),) if digest else (),
    )


def _git_materials() -> Iterator[Material]:
    """Yield the sources that the image was built from, as its record says."""
    record = os.environ.get(SOURCES_VARIABLE)
    if record is None:
        return
    pins = read_pins()
    for name, tree in _read_record(Path(record)):
        source = pins.source[name]
        fixes = pins.backport.get(name, {}).values()
        patches = tuple(f"{source.url}/commit/{fix.commit}" for fix in fixes)
        yield _git_material(name, source, tree, patches)


def _read_record(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and tree, git's digest of the files, of each source that was built."""
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            name, tree = line.split()
            yield name, tree


def _git_material(name: str, source: Source, tree: str, patches: tuple[str, ...]) -> Material:
    as_pinned = tree == source.tree
    place = source.url.removeprefix("https://github.com/")
    return Material(
        # A folder that was passed in place of the commit is named by the digest of its files.
        purl=f"pkg:github/{place}@{source.commit}" if as_pinned else f"pkg:generic/{name}@{tree}",
        name=name,
        version=(source.version or source.commit) if as_pinned else tree,
        shipped=name in _SHIPPED,
        hashes=(("SHA-1", source.commit if as_pinned else tree),),
        patches=patches,
    )
