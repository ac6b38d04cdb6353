"""SBOM (software bill of materials) of a bundle: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.

Equal bundles have equal SBOMs: the serial number is a digest of the content, and there is no
timestamp. Every component has a reference of its own that follows from what it is, so that the
order in which bundles were joined changes nothing. What CycloneDX has no field for is in
properties whose names begin with ``wsd:``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import (
    Component,
    ComponentScope,
    ComponentType,
    Diff,
    PatchClassification,
    Pedigree,
)
from cyclonedx.model.component import Patch as CycloneDxPatch
from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wsd.errors import BundleError
from wsd.spec.manifest import ExampleLora, Manifest
from wsd.spec.paths import check_path
from wsd.spec.roles import SAFETY_CHECKER
from wsd.supply_chain.checkpoint_url import checkpoint_url
from wsd.supply_chain.licenses import as_expression
from wsd.supply_chain.material import LicenseText, Material, Patch
from wsd.supply_chain.materials import BundleContents
from wsd.supply_chain.notices import text_path
from wsd.util.hashing import Digests, canonical_json, sha256_bytes
from wsd.util.json_reader import read_text
from wsd.util.typed_json import read_typed

FILE_NAME = "sbom.cdx.json"
# Namespace of the serial numbers, which are name-based UUIDs (RFC 9562, version 5).
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:wsd:sbom")
_HINT = "run wsd build again, or fetch the bundle anew"
_BUNDLE = "bundle"
_COMMIT, _PATCH = "wsd:commit", "wsd:patch"


def build_sbom(contents: BundleContents) -> dict[str, Any]:
    """Return the SBOM of a bundle.

    Raises:
        BundleError: if two components are one and the same, such as a model that is there twice in
            one precision.
    """
    libraries = [_material(material) for material in contents.materials]
    others = [
        *map(_model, contents.manifests),
        *(_safety_checker(manifest) for manifest in contents.manifests if manifest.safety_checker),
        *(_lora(one, lora) for one in contents.manifests for lora in one.example_loras or ()),
        *(_file(path, digests) for path, digests in sorted(contents.files.items())),
    ]
    components = [*libraries, *others]
    _check_unique(components)
    roots = [*_find_roots(contents.materials), *(str(one.bom_ref.value) for one in others)]
    graph = {material.purl: material.requires for material in contents.materials}
    graph |= {str(one.bom_ref.value): () for one in others}
    graph[_BUNDLE] = tuple(roots)
    hashes = {path: digests.sha256 for path, digests in contents.files.items()}
    content = [[material.purl for material in contents.materials], hashes]
    bom = Bom(
        components=components,
        dependencies=[_dependency(ref, required) for ref, required in graph.items()],
        serial_number=uuid.uuid5(_NAMESPACE, sha256_bytes(canonical_json(content))),
        metadata=BomMetaData(
            # WSD collected what the SBOM says, so WSD is its author and its tool.
            authors=[OrganizationalContact(name=f"WSD {contents.version}")],
            tools=ToolRepository(components=[_wsd(contents.version)]),
            supplier=_entity("whoever built this bundle"),
            component=Component(
                name="wsd-bundle",
                type=ComponentType.APPLICATION,
                version=contents.version,
                bom_ref=_BUNDLE,
                supplier=_entity("whoever built this bundle"),
            ),
        ),
    )
    table: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del table["metadata"]["timestamp"]
    return table


def read_hashes(bundle: Path) -> dict[str, str]:
    """Return path → SHA-256 of the files that a bundle's SBOM lists.

    Raises:
        BundleError: if there is no SBOM of :func:`build_sbom`.
    """
    return {
        component.name: next((h.content for h in component.hashes if h.alg == "SHA-256"), "")
        for component in _read(bundle).components
        if component.type == ComponentType.FILE.value
    }


def read_materials(bundle: Path) -> list[Material]:
    """Return what a bundle was made with, as its SBOM says.

    Raises:
        BundleError: if there is no SBOM of :func:`build_sbom`, or a licence that it names is
            missing.
    """
    found = _read(bundle)
    required = {entry.ref: tuple(sorted(entry.dependsOn)) for entry in found.dependencies}
    return [
        _read_material(component, required.get(component.bom_ref, ()), bundle)
        for component in found.components
        if component.type == ComponentType.LIBRARY.value
    ]


# Reading: what of an SBOM is read back. Other fields follow from these.


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Hash(_Part):
    alg: str
    content: str


class _NamedLicense(_Part):
    name: str


class _License(_Part):
    expression: str = ""
    license: _NamedLicense | None = None

    def __str__(self) -> str:
        return self.expression if self.license is None else self.license.name


class _Named(_Part):
    name: str


class _Property(_Part):
    name: str
    value: str = ""


class _Reference(_Part):
    type: str
    url: str
    comment: str = ""


class _Address(_Part):
    url: str


class _ReadPatch(_Part):
    diff: _Address


class _Pedigree(_Part):
    patches: tuple[_ReadPatch, ...] = ()


class _Component(_Part):
    type: str
    name: str
    bom_ref: str = Field(alias="bom-ref", default="")
    version: str = ""
    purl: str = ""
    scope: str = ""
    supplier: _Named | None = None
    licenses: tuple[_License, ...] = ()
    hashes: tuple[_Hash, ...] = ()
    properties: tuple[_Property, ...] = ()
    pedigree: _Pedigree = _Pedigree()
    externalReferences: tuple[_Reference, ...] = ()  # noqa: N815 - CycloneDX's name


class _Dependency(_Part):
    ref: str
    dependsOn: tuple[str, ...] = ()  # noqa: N815 - CycloneDX's name


class _Sbom(_Part):
    components: tuple[_Component, ...]
    dependencies: tuple[_Dependency, ...] = ()


_SBOM = TypeAdapter(_Sbom)


def _read(bundle: Path) -> _Sbom:
    return read_typed(bundle / FILE_NAME, _SBOM, BundleError, _HINT)


def _read_material(component: _Component, requires: tuple[str, ...], bundle: Path) -> Material:
    properties = {(entry.name, entry.value) for entry in component.properties}
    digests: dict[str, str] = {}
    for name, value in properties:
        if name == _PATCH:
            digest, _, url = value.partition(" ")
            digests[url] = digest
    urls = [patch.diff.url for patch in component.pedigree.patches]
    material = Material(
        purl=component.purl,
        name=component.name,
        version=component.version,
        shipped=component.scope == ComponentScope.REQUIRED.value,
        license=next(map(str, component.licenses), ""),
        supplier="" if component.supplier is None else component.supplier.name,
        hashes=tuple(sorted((entry.alg, entry.content) for entry in component.hashes)),
        commit=next((value for name, value in properties if name == _COMMIT), ""),
        # An SBOM of build type 1 has no digests of patches.
        patches=tuple(sorted(Patch(url, digests.get(url, "")) for url in urls)),
        requires=requires,
        texts=tuple(
            sorted(
                _read_license(reference, component.name, bundle)
                for reference in component.externalReferences
                if reference.type == ExternalReferenceType.LICENSE.value
            )
        ),
    )
    return material


def _read_license(reference: _Reference, name: str, bundle: Path) -> LicenseText:
    """Return a licence of a bundle, whose path must be the one that follows from its content."""
    wrong = BundleError(
        f"{bundle / FILE_NAME}: {reference.url!r} is not the licence of {name}", _HINT
    )
    try:
        path = bundle / check_path(reference.url)
    except ValueError as error:
        raise wrong from error
    found = LicenseText(reference.comment, read_text(path, BundleError, _HINT))
    if text_path(found) != reference.url:
        raise wrong
    return found


# Writing.


def _check_unique(components: Iterable[Component]) -> None:
    seen: set[str] = set()
    for component in components:
        reference = str(component.bom_ref.value)
        if reference in seen:
            raise BundleError(
                f"{component.name} {component.version or ''} is there twice".replace("  ", " "),
                "leave one of the two out",
            )
        seen.add(reference)


def _find_roots(materials: Iterable[Material]) -> list[str]:
    """Return materials that no other requires; of materials in a circle, the first."""
    graph = {material.purl: material.requires for material in materials}
    required = {purl for purls in graph.values() for purl in purls}
    reached: set[str] = set()
    roots = []
    for purl in [*(p for p in graph if p not in required), *graph]:
        if purl not in reached:
            roots.append(purl)
            waiting = [purl]
            while waiting:
                one = waiting.pop()
                if one not in reached:
                    reached.add(one)
                    waiting.extend(graph[one])
    return sorted(roots)


def _dependency(reference: str, required: Iterable[str]) -> Dependency:
    return Dependency(BomRef(reference), [Dependency(BomRef(one)) for one in required])


def _entity(name: str) -> OrganizationalEntity | None:
    return OrganizationalEntity(name=name) if name else None


def _wsd(version: str) -> Component:
    return Component(
        name="wsd",
        type=ComponentType.APPLICATION,
        version=version,
        bom_ref="tool:wsd",
        supplier=_entity("The WSD authors"),
    )


def _material(material: Material) -> Component:
    properties = [Property(name=_PATCH, value=f"{p.sha256} {p.url}") for p in material.patches]
    if material.commit:
        properties.append(Property(name=_COMMIT, value=material.commit))
    return Component(
        name=material.name,
        version=material.version,
        type=ComponentType.LIBRARY,
        bom_ref=material.purl,
        purl=PackageURL.from_string(material.purl),
        supplier=_entity(material.supplier),
        # CycloneDX's "excluded" means not part of the product: tools and their packages.
        scope=ComponentScope.REQUIRED if material.shipped else ComponentScope.EXCLUDED,
        licenses=_license(material.license),
        hashes=[HashType(alg=HashAlgorithm(a), content=c) for a, c in material.hashes],
        properties=properties,
        pedigree=Pedigree(patches=[_patch(patch) for patch in material.patches])
        if material.patches
        else None,
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.LICENSE,
                url=XsUri(text_path(text)),
                comment=text.name,
            )
            for text in material.texts
        ],
    )


def _license(name: str) -> list[License]:
    """Return a licence as SPDX's expression if it is one, else under the name that is known."""
    if not name:
        return []
    if as_expression(name) == name:
        return [LicenseExpression(name)]
    return [DisjunctiveLicense(name=name)]


def _patch(patch: Patch) -> CycloneDxPatch:
    return CycloneDxPatch(type=PatchClassification.BACKPORT, diff=Diff(url=XsUri(patch.url)))


def _model(manifest: Manifest) -> Component:
    model = manifest.model
    address = XsUri(checkpoint_url(model.source))
    owner, slash, _ = model.source.partition("/")
    return Component(
        name=model.name,
        version=model.dtype,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model.name}:{model.dtype}",
        description=model.title,
        supplier=_entity(owner if slash else ""),
        licenses=_license(model.license),
        external_references=[
            ExternalReference(type=ExternalReferenceType.SOURCE_DISTRIBUTION, url=address),
            *_weights(address, _own_weights(manifest)),
            *(
                ExternalReference(
                    type=ExternalReferenceType.DISTRIBUTION,
                    url=XsUri(checkpoint_url(adapter.source)),
                    comment=f"adapter, scale {adapter.scale:g}",
                    hashes=[HashType(alg=HashAlgorithm.SHA_256, content=adapter.sha256)],
                )
                for adapter in model.adapters or ()
            ),
        ],
    )


def _lora(manifest: Manifest, lora: ExampleLora) -> Component:
    """Return a LoRA that the page offers with a model; its licence may be another one."""
    model = manifest.model
    return Component(
        name=f"{model.name}-{lora.name}",
        version=model.dtype,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model.name}:{model.dtype}:lora:{lora.name}",
        description="LoRA that the page offers with the model",
        licenses=_license(lora.license),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=lora.sha256)],
    )


def _own_weights(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return the digests of the checkpoint's files, by component: all but the safety checker's."""
    weights = manifest.model.weights
    if manifest.safety_checker is None:
        return dict(weights)
    return {name: found for name, found in weights.items() if name != SAFETY_CHECKER}


def _safety_checker(manifest: Manifest) -> Component:
    """Return the safety checker of a model, which has an origin and a licence of its own."""
    checker, model = manifest.safety_checker, manifest.model
    if checker is None:
        raise ValueError(f"{model.name} has no safety checker")
    address = XsUri(checkpoint_url(checker.source))
    owner, slash, _ = checker.source.partition("/")
    digests = model.weights.get(SAFETY_CHECKER, ())
    return Component(
        name=f"{model.name}-safety-checker",
        version=model.dtype,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model.name}:{model.dtype}:safety-checker",
        description="Looks at finished pictures",
        supplier=_entity(owner if slash else ""),
        licenses=_license(checker.license),
        external_references=[
            ExternalReference(type=ExternalReferenceType.SOURCE_DISTRIBUTION, url=address),
            *_weights(address, {SAFETY_CHECKER: digests}),
        ],
    )


def _weights(address: XsUri, weights: Mapping[str, tuple[str, ...]]) -> Iterator[ExternalReference]:
    """Yield a reference to each file of a checkpoint that weights were read from."""
    for component, digests in weights.items():
        for digest in digests:
            yield ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=address,
                comment=component,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
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
