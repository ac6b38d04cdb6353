"""Read a provenance of any version of WSD, and compare the facts in it with the bundle.

Bundles outlive the version that built them. What another version writes cannot be made again, but
which files and models it names, and what they were made with, can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from wsd.bundle.layout import SRI, Snapshot
from wsd.bundle.manifest import REBUILD
from wsd.errors import BundleError
from wsd.spec.manifest import Sha256
from wsd.spec.paths import BundlePath
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.material import Material
from wsd.util.hashing import digest_file
from wsd.util.typed_json import read_typed


class _Entry(BaseModel):
    """Other versions may have more fields."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class _FileDigest(_Entry):
    sha256: Sha256


class _Subject(_Entry):
    name: BundlePath
    digest: _FileDigest


class _Model(_Entry):
    name: str
    dtype: str
    source: str


class _Parameters(_Entry):
    models: tuple[_Model, ...]


class _Dependency(_Entry):
    uri: str


class _Definition(_Entry):
    build_type: str
    external_parameters: _Parameters
    resolved_dependencies: tuple[_Dependency, ...]


class _Builder(_Entry):
    id: str
    version: Mapping[str, str]


class _Run(_Entry):
    builder: _Builder


class _Predicate(_Entry):
    build_definition: _Definition
    run_details: _Run


class Statement(_Entry):
    """An in-toto statement with SLSA provenance, as far as every version of WSD writes it."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    predicate_type: Literal["https://slsa.dev/provenance/v1"]
    subject: tuple[_Subject, ...]
    predicate: _Predicate


_STATEMENT = TypeAdapter(Statement)


def read_statement(bundle: Path) -> Statement:
    """Return a bundle's provenance.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if it is missing or malformed.
    """
    return read_typed(bundle / provenance.FILE_NAME, _STATEMENT, BundleError, REBUILD)


def find_contradictions(
    snapshot: Snapshot, statement: Statement, materials: Sequence[Material]
) -> Iterator[str]:
    """Yield what a provenance says that the bundle or its SBOM contradicts."""
    files = {name: digests.sha256 for name, digests in snapshot.files.items()}
    subjects = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if len(subjects) < len(statement.subject):
        yield "a subject is there twice"
    # Some versions name these attestations too.
    for name in (sbom.FILE_NAME, SRI):
        if name in subjects:
            files[name] = digest_file(snapshot.folder / name).sha256
    for name in sorted(files.keys() | subjects.keys()):
        if files.get(name) != subjects.get(name):
            yield f"subject {name} has another sha256, or is not in both"
    definition = statement.predicate.build_definition
    said = sorted(
        (model.name, model.dtype, model.source) for model in definition.external_parameters.models
    )
    models = (manifest.model for manifest in snapshot.manifests.values())
    if said != sorted((model.name, model.dtype, model.source) for model in models):
        yield "externalParameters/models are not the models of the manifests"
    named = {dependency.uri for dependency in definition.resolved_dependencies}
    if missing := sorted(material.purl for material in materials if material.purl not in named):
        yield f"resolvedDependencies lack {missing[0]}, which {sbom.FILE_NAME} has"
