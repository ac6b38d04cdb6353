"""Read a provenance of any type of build, and compare the facts of an earlier one with the bundle.

Bundles outlive the version that built them. Attestations of today's build type are made again,
whichever version wrote them. Those of an earlier type cannot be, but which files and models they
name, and what these were made with, can be compared; and ``wsd verify`` says that it is less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from wsd import __version__
from wsd.bundle.layout import SRI, Snapshot, is_notice
from wsd.bundle.manifest import REBUILD
from wsd.errors import BundleError
from wsd.spec.manifest import Sha256
from wsd.spec.paths import BundlePath
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.material import Material
from wsd.util.hashing import digest_file
from wsd.util.typed_json import read_typed

# Characters of a value that a fault shows.
_SHOWN = 80


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
    digest: Mapping[str, str] = {}


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

    @property
    def build_type(self) -> str:
        """The type of the build, which says what the attestations say."""
        return self.predicate.build_definition.build_type

    @property
    def version(self) -> str:
        """The version of WSD that wrote it; empty if it does not say."""
        return self.predicate.run_details.builder.version.get("wsd", "")


_STATEMENT = TypeAdapter(Statement)


def read_statement(bundle: Path) -> Statement:
    """Return a bundle's provenance.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if it is missing or malformed.
    """
    return read_typed(bundle / provenance.FILE_NAME, _STATEMENT, BundleError, REBUILD)


def find_unknown(statement: Statement) -> Iterator[str]:
    """Yield why this version cannot tell whether the attestations are right."""
    known = (provenance.BUILD_TYPE, *provenance.EARLIER_BUILD_TYPES)
    try:
        is_newer = Version(statement.version) > Version(__version__)
    except InvalidVersion:
        yield f"{statement.version[:_SHOWN]!r} is not a version of WSD"
        return
    if is_newer:
        yield f"written by WSD {statement.version}, which is newer than this one: update WSD"
    elif statement.build_type not in known:
        yield f"its buildType is {statement.build_type[:_SHOWN]!r}, expected {' or '.join(known)}"


def describe_limits(bundle: Path) -> str:
    """Return what could not be told of a bundle without a fault; empty if everything could.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if its provenance is missing or malformed.
    """
    statement = read_statement(bundle)
    if statement.build_type == provenance.BUILD_TYPE:
        return ""
    return (
        f"as far as this version can tell: its attestations are of the earlier type "
        f"{statement.build_type}, in which notices, the page's policy and the digests of its list "
        "of models may be missing"
    )


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
    builder = statement.predicate.run_details.builder
    if builder.id != provenance.BUILDER or len(builder.version) != 1:
        yield f"builder is not {provenance.BUILDER} alone, with WSD's version"
    yield from _compare_dependencies(definition.resolved_dependencies, materials)
    # There were none before build type 2, and nothing says what they would have to be.
    for name in filter(is_notice, snapshot.files):
        yield f"its buildType has no notices, but {name} is there"


def _compare_dependencies(
    dependencies: Sequence[_Dependency], materials: Sequence[Material]
) -> Iterator[str]:
    """Compare what a provenance names as built from with the SBOM."""
    named = {dependency.uri for dependency in dependencies}
    if len(named) < len(dependencies):
        yield "a resolved dependency is there twice"
    digests = {
        material.purl: {*(content for _, content in material.hashes), material.commit}
        for material in materials
    }
    if missing := sorted(digests.keys() - named):
        yield f"resolvedDependencies lack {missing[0]}, which {sbom.FILE_NAME} has"
    for dependency in dependencies:
        if dependency.uri not in digests:
            yield f"resolvedDependencies have {dependency.uri[:_SHOWN]!r}, which nothing else names"
        elif not digests[dependency.uri].issuperset(dependency.digest.values()):
            yield f"{dependency.uri[:_SHOWN]} has another digest than in {sbom.FILE_NAME}"
