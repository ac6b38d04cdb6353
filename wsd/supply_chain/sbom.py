"""SBOM (software bill of materials) of a bundle: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.

Equal bundles have equal SBOMs: the serial number is a digest of the content, and there is no
timestamp.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import (
    Component,
    ComponentScope,
    ComponentType,
    Diff,
    Patch,
    PatchClassification,
    Pedigree,
)
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from wsd import __version__
from wsd.errors import BundleError
from wsd.spec.manifest import Manifest
from wsd.supply_chain.materials import BundleContents, Material
from wsd.util.hashing import Digests, canonical_json, sha256_bytes
from wsd.util.json_reader import read_json

FILE_NAME = "sbom.cdx.json"
# Namespace of the serial numbers, which are name-based UUIDs (RFC 9562, version 5).
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:wsd:sbom")
_HINT = "run wsd build again, or fetch the bundle anew"


def build_sbom(contents: BundleContents) -> dict[str, Any]:
    """Return the SBOM of a bundle."""
    components = [
        *map(_material, contents.materials),
        *map(_model, contents.manifests),
        *(_file(path, digests) for path, digests in sorted(contents.files.items())),
    ]
    hashes = {path: digests.sha256 for path, digests in contents.files.items()}
    content = [[material.purl for material in contents.materials], hashes]
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(_NAMESPACE, sha256_bytes(canonical_json(content))),
        metadata=BomMetaData(
            component=Component(
                name="wsd-bundle",
                type=ComponentType.APPLICATION,
                version=__version__,
                bom_ref="bundle",
            ),
        ),
    )
    # The dependency graph has one level: the bundle depends on every component.
    bom.register_dependency(bom.metadata.component, components)  # type: ignore[arg-type]
    table: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del table["metadata"]["timestamp"]
    return table


def read_hashes(bundle: Path) -> dict[str, str]:
    """Return path → SHA-256 of the files that a bundle's SBOM lists.

    Raises:
        BundleError: if there is no SBOM of :func:`build_sbom`.
    """
    with _open(bundle) as components:
        return {
            component["name"]: _text(next(h for h in component["hashes"] if h["alg"] == "SHA-256"))
            for component in components
            if component["type"] == "file"
        }


def read_materials(bundle: Path) -> list[Material]:
    """Return what a bundle was made with, as its SBOM says.

    Raises:
        BundleError: if there is no SBOM of :func:`build_sbom`.
    """
    with _open(bundle) as components:
        return list(_materials(components))


@contextmanager
def _open(bundle: Path) -> Iterator[list[Any]]:
    """Yield the components of a bundle's SBOM; what is missing of them is an error that names it.

    Raises:
        BundleError: if there is no SBOM of :func:`build_sbom`.
    """
    path = bundle / FILE_NAME
    table = read_json(path, BundleError, _HINT)
    try:
        yield table["components"]
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise BundleError(f"{path}: not an SBOM of WSD ({error!r})", _HINT) from error


def _text(entry: Mapping[str, Any]) -> str:
    return str(entry["content"])


def _materials(components: list[Any]) -> Iterator[Material]:
    for component in components:
        if component["type"] == ComponentType.LIBRARY.value:
            patches = component.get("pedigree", {}).get("patches", [])
            yield Material(
                purl=component["purl"],
                name=component["name"],
                version=component["version"],
                shipped=component["scope"] == ComponentScope.REQUIRED.value,
                license=next((item["expression"] for item in component.get("licenses", [])), ""),
                hashes=tuple((h["alg"], h["content"]) for h in component.get("hashes", [])),
                patches=tuple(patch["diff"]["url"] for patch in patches),
            )


def _material(material: Material) -> Component:
    return Component(
        name=material.name,
        version=material.version,
        type=ComponentType.LIBRARY,
        bom_ref=material.purl,
        purl=PackageURL.from_string(material.purl),
        # CycloneDX's "excluded" means not part of the product: tools and their packages.
        scope=ComponentScope.REQUIRED if material.shipped else ComponentScope.EXCLUDED,
        licenses=[LicenseExpression(material.license)] if material.license else (),
        hashes=[HashType(alg=HashAlgorithm(a), content=c) for a, c in material.hashes],
        pedigree=Pedigree(patches=[_patch(url) for url in material.patches])
        if material.patches
        else None,
    )


def _patch(url: str) -> Patch:
    return Patch(type=PatchClassification.BACKPORT, diff=Diff(url=XsUri(url)))


def _model(manifest: Manifest) -> Component:
    model = manifest.model
    return Component(
        name=model.name,
        version=model.dtype,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model.name}",
        description=model.title,
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.SOURCE_DISTRIBUTION,
                # The source is a hub id and commit or a file name, which may hold spaces.
                url=XsUri(f"urn:wsd:checkpoint:{model.source.replace(' ', '%20')}"),
            )
        ],
    )


def _file(path: str, digests: Digests) -> Component:
    return Component(
        name=path,
        type=ComponentType.FILE,
        bom_ref=f"file:{path}",
        hashes=[
            HashType(alg=HashAlgorithm.SHA_256, content=digests.sha256),
            HashType(alg=HashAlgorithm.SHA_384, content=digests.sha384),
        ],
    )
