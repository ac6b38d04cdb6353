"""Provenance of a bundle: SLSA provenance in an in-toto statement, the root of all its digests.

https://slsa.dev/spec/v1.0/provenance and https://in-toto.io/Statement/v1. The statement names every
file of the bundle by digest, ``SRI.json`` and the SBOM among them, so that a signature of it covers
all of them (:mod:`wsd.supply_chain.signature`). It says what was built from what: checkpoints,
packages, sources, patches, and WSD's own commit. It names neither time nor machine, so that equal
builds have equal provenance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NotRequired, TypedDict

from packageurl import PackageURL

from wsd.spec.manifest import Manifest
from wsd.supply_chain.checkpoint_url import checkpoint_url
from wsd.supply_chain.material import Material
from wsd.supply_chain.materials import BundleContents

FILE_NAME = "provenance.json"
# docs/appliance.md describes what the parameters of this type of build mean. Every later version
# can make attestations of this type again, byte for byte. So whoever changes the wording of SBOM,
# provenance or notices, or the page's policy (wsd.spec.page_policy), gives the type a new number,
# and adds this one to the earlier ones.
BUILD_TYPE = "urn:wsd:build:2"
EARLIER_BUILD_TYPES = ("urn:wsd:build:1",)
BUILDER = "urn:wsd:builder"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"


class Resource(TypedDict):
    """in-toto's ResourceDescriptor: something by its digest."""

    digest: NotRequired[dict[str, str]]
    name: NotRequired[str]
    uri: NotRequired[str]


class AdapterParameters(TypedDict):
    """An adapter that was merged into a model's weights."""

    source: str
    scale: float


class ModelParameters(TypedDict):
    """What was asked for: a model, its checkpoint, and how it was built."""

    name: str
    dtype: str
    source: str
    options: NotRequired[dict[str, str]]
    adapters: NotRequired[list[AdapterParameters]]
    sizes: list[str]
    toolchain: dict[str, str]


class ExternalParameters(TypedDict):
    """The parameters of a build, which whoever checks it compares with what they expect."""

    models: list[ModelParameters]


class BuildDefinition(TypedDict):
    """SLSA's BuildDefinition."""

    buildType: str
    externalParameters: ExternalParameters
    internalParameters: dict[str, str]
    resolvedDependencies: list[Resource]


class Builder(TypedDict):
    """SLSA's Builder."""

    id: str
    version: dict[str, str]


class RunDetails(TypedDict):
    """SLSA's RunDetails, without times and places."""

    builder: Builder
    metadata: dict[str, str]


class Predicate(TypedDict):
    """SLSA's provenance."""

    buildDefinition: BuildDefinition
    runDetails: RunDetails


class Statement(TypedDict):
    """An in-toto statement."""

    _type: str
    subject: list[Resource]
    predicateType: str
    predicate: Predicate


def build_provenance(contents: BundleContents) -> Statement:
    """Return the in-toto statement about every file of a bundle."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": path, "digest": {"sha256": digests.sha256}}
            for path, digests in sorted(contents.files.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"models": [_model(m) for m in contents.manifests]},
                "internalParameters": {},
                "resolvedDependencies": list(_dependencies(contents)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"wsd": contents.version}},
                "metadata": {},
            },
        },
    }


def _model(manifest: Manifest) -> ModelParameters:
    described: ModelParameters = {
        "name": manifest.model.name,
        "dtype": manifest.model.dtype,
        "source": manifest.model.source,
        "sizes": [f"{width}x{height}" for width, height in manifest.sizes()],
        "toolchain": dict(manifest.toolchain),
    }
    if manifest.model.options:
        described["options"] = dict(manifest.model.options)
    if manifest.model.adapters:
        described["adapters"] = [
            {"source": adapter.source, "scale": adapter.scale}
            for adapter in manifest.model.adapters
        ]
    return described


def _dependencies(contents: BundleContents) -> Iterator[Resource]:
    """Yield materials, the patches of sources, the files of checkpoints, and adapters."""
    for material in contents.materials:
        yield _dependency(material)
    patches = {patch for material in contents.materials for patch in material.patches}
    for patch in sorted(patches):
        yield {"uri": patch.url, "digest": {"sha256": patch.sha256}}
    weights = {
        (checkpoint_url(manifest.source_of(component)), component, digest)
        for manifest in contents.manifests
        for component, digests in manifest.model.weights.items()
        for digest in digests
    }
    for url, component, digest in sorted(weights):
        yield {"name": component, "uri": url, "digest": {"sha256": digest}}
    adapters = {
        (checkpoint_url(adapter.source), adapter.sha256)
        for manifest in contents.manifests
        for adapter in manifest.model.adapters or ()
    }
    for url, digest in sorted(adapters):
        yield {"name": "adapter", "uri": url, "digest": {"sha256": digest}}


def _dependency(material: Material) -> Resource:
    # in-toto calls the algorithms sha512 and so on, and git's own SHA-1 gitCommit or gitTree.
    is_commit = PackageURL.from_string(material.purl).type == "github"
    names = {"SHA-1": "gitCommit" if is_commit else "gitTree"}
    digest = {names.get(a, a.replace("-", "").lower()): c for a, c in material.hashes}
    if material.commit:
        digest["gitCommit"] = material.commit
    resource: Resource = {"uri": material.purl}
    if digest:
        resource["digest"] = digest
    return resource
