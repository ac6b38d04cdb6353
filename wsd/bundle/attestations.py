"""Attestations of a bundle: SBOM, provenance and SRI.json.

``SRI.json`` maps the path of every other file to its sha384 as browsers write it in ``integrity``
attributes, https://www.w3.org/TR/SRI/; SBOM and provenance are among these files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wsd.bundle.manifest import REBUILD, find_manifests, read_manifest
from wsd.errors import BundleError
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.materials import BundleContents, Material
from wsd.util.hashing import canonical_json, digest_file
from wsd.util.json_reader import parse_file, read_text

FILE_NAME = "SRI.json"
# Files that say what the other files of the bundle are.
ATTESTATIONS = (sbom.FILE_NAME, provenance.FILE_NAME, FILE_NAME)
_INTEGRITY_TABLE = TypeAdapter(dict[str, str])


def write_attestations(bundle: Path, materials: Iterable[Material]) -> None:
    """Write SBOM, provenance and SRI.json of the files in a bundle; former ones are replaced.

    Args:
        bundle: the bundle's folder.
        materials: packages and sources that it was made with, in any order.

    Raises:
        BundleError: if a manifest is missing or malformed.
    """
    # `materials` may be read lazily from the old SBOM, so they are collected before it is deleted.
    sorted_materials = tuple(sorted(set(materials)))
    for name in ATTESTATIONS:
        (bundle / name).unlink(missing_ok=True)
    files = {name: digest_file(bundle / name) for name in list_files(bundle)}
    manifests = tuple(read_manifest(path) for path in find_manifests(bundle))
    contents = BundleContents(files, sorted_materials, manifests)
    (bundle / sbom.FILE_NAME).write_bytes(canonical_json(sbom.build_sbom(contents)))
    statement = provenance.build_provenance(contents)
    (bundle / provenance.FILE_NAME).write_bytes(canonical_json(statement))
    for name in (sbom.FILE_NAME, provenance.FILE_NAME):
        files[name] = digest_file(bundle / name)
    table = {name: digests.integrity for name, digests in sorted(files.items())}
    (bundle / FILE_NAME).write_bytes(canonical_json(table))


def read_integrity(bundle: Path) -> dict[str, str]:
    """Return path → integrity of every file in ``SRI.json``.

    Raises:
        BundleError: if it is missing or malformed.
    """
    path = bundle / FILE_NAME
    text = read_text(path, BundleError, REBUILD)
    parse_file(text, path, BundleError, REBUILD)
    try:
        return _INTEGRITY_TABLE.validate_json(text, strict=True)
    except ValidationError as error:
        raise _unreadable(path, error) from error


def read_sbom_digests(bundle: Path) -> dict[str, str]:
    """Return path → SHA-256 of every file that the SBOM lists.

    Raises:
        BundleError: if it is missing or malformed.
    """
    return sbom.read_hashes(bundle)


def list_files(bundle: Path) -> list[str]:
    """Return the path of every file in a bundle, relative to it, sorted, with slashes."""
    return sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file())


def _unreadable(path: Path, reason: object) -> BundleError:
    return BundleError(f"{path}: not readable ({reason})", REBUILD)
