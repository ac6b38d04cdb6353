"""Attestations of a bundle: SBOM, SRI.json and provenance.

``SRI.json`` maps the path of every other file but the provenance to its sha384 as browsers write it
in ``integrity`` attributes, https://www.w3.org/TR/SRI/. All three follow from the bundle's files
and from what it was made with, so that :mod:`wsd.bundle.verify` makes them again and compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from wsd import __version__
from wsd.bundle.layout import ATTESTATIONS, SRI, Snapshot, check_layout, read_snapshot
from wsd.bundle.manifest import REBUILD, list_models
from wsd.bundle.tree import list_files
from wsd.errors import BundleError
from wsd.spec.paths import BundlePath
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.material import Material, merge_materials
from wsd.supply_chain.materials import BundleContents
from wsd.supply_chain.notices import write_notices
from wsd.util.hashing import Digests, canonical_json, digest_bytes
from wsd.util.json_reader import read_json
from wsd.util.typed_json import read_typed

__all__ = [
    "ATTESTATIONS",
    "FILE_NAME",
    "build_attestations",
    "list_files",
    "read_integrity",
    "write_attestations",
]

FILE_NAME = SRI
_TOO_MANY = "these are too many models for one bundle: make several"
_Integrity = Annotated[str, Field(pattern=r"^sha384-[A-Za-z0-9+/]{64}$")]
_INTEGRITY_TABLE = TypeAdapter(dict[BundlePath, _Integrity])


def build_attestations(
    snapshot: Snapshot, materials: Iterable[Material], version: str = __version__
) -> dict[str, Any]:
    """Return the attestations of a bundle as JSON values by file name, in the order of writing.

    Each says what the files before it are: the SBOM has the bundle's files, ``SRI.json`` these and
    the SBOM, and the provenance, which may be signed, all of them.

    Args:
        snapshot: the bundle.
        materials: packages and sources that it was made with, in any order.
        version: of WSD, which writes them.
    """
    contents = BundleContents(
        snapshot.files, merge_materials(materials), tuple(snapshot.manifests.values()), version
    )
    made: dict[str, Any] = {sbom.FILE_NAME: sbom.build_sbom(contents)}
    files = {**snapshot.files, sbom.FILE_NAME: _digest(made[sbom.FILE_NAME])}
    made[SRI] = {name: digests.integrity for name, digests in sorted(files.items())}
    files[SRI] = _digest(made[SRI])
    made[provenance.FILE_NAME] = provenance.build_provenance(replace(contents, files=files))
    return made


def write_attestations(bundle: Path, materials: Iterable[Material]) -> None:
    """Write notices, SBOM, SRI.json and provenance of a bundle; former ones are replaced.

    Args:
        bundle: the bundle's folder.
        materials: packages and sources that it was made with, in any order.

    Raises:
        BundleError: if a manifest is missing or malformed, a file that a bundle must hold is
            missing, one is there that does not belong to it, the licence of something that is
            shipped is unknown, or there are more files than readers of bundles take.
    """
    # `materials` may be read lazily from the old SBOM, so they are collected before it is deleted.
    collected = merge_materials(materials)
    for name in ATTESTATIONS:
        (bundle / name).unlink(missing_ok=True)
    write_notices(bundle, collected, list_models(bundle))
    snapshot = read_snapshot(bundle)
    check_layout(snapshot)
    for name, value in build_attestations(snapshot, collected).items():
        (bundle / name).write_bytes(canonical_json(value))
        # Readers have bounds, which nobody's bundle may exceed.
        read_json(bundle / name, BundleError, _TOO_MANY)


def _digest(value: Any) -> Digests:
    """Return the digests of the file that a JSON value becomes."""
    return digest_bytes(canonical_json(value))


def read_integrity(bundle: Path) -> dict[str, str]:
    """Return path → integrity of every file in ``SRI.json``.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if it is missing or malformed.
    """
    return read_typed(bundle / FILE_NAME, _INTEGRITY_TABLE, BundleError, REBUILD)
