"""The files that vouch for a bundle's others: bill of materials, provenance, SRI.json.

``SRI.json`` maps every path to its sha384 as browsers write it in ``integrity``
attributes, https://www.w3.org/TR/SRI/. It covers the bill and the provenance too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from wsd.bundle.manifest import REBUILD, find_manifests, read_manifest
from wsd.errors import BundleError
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.materials import Contents, Material
from wsd.util.hashing import canonical_json, digest_file

FILE_NAME = "SRI.json"
# The files that vouch for the others.
ATTESTATIONS = (sbom.FILE_NAME, provenance.FILE_NAME, FILE_NAME)


def seal(bundle: Path, materials: Iterable[Material]) -> None:
    """Write the three files for what is in a bundle; former ones are replaced."""
    # First, because they may be read from the bill that is replaced.
    sorted_materials = tuple(sorted(set(materials)))
    for name in ATTESTATIONS:
        (bundle / name).unlink(missing_ok=True)
    files = {name: digest_file(bundle / name) for name in file_names(bundle)}
    manifests = tuple(read_manifest(path) for path in find_manifests(bundle))
    contents = Contents(files, sorted_materials, manifests)
    (bundle / sbom.FILE_NAME).write_bytes(canonical_json(sbom.bill(contents)))
    (bundle / provenance.FILE_NAME).write_bytes(canonical_json(provenance.provenance(contents)))
    papers = {name: digest_file(bundle / name) for name in (sbom.FILE_NAME, provenance.FILE_NAME)}
    table = {name: digests.integrity for name, digests in sorted({**files, **papers}.items())}
    (bundle / FILE_NAME).write_bytes(canonical_json(table))


def read_integrity(bundle: Path) -> dict[str, str]:
    """Return path → integrity of every file that ``SRI.json`` covers.

    Raises:
        BundleError: if it is missing or malformed.
    """
    path = bundle / FILE_NAME
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise _unreadable(path, "not a table of path to integrity")
    return table


def read_billed(bundle: Path) -> dict[str, str]:
    """Return path → SHA-256 of every file that the bill of materials lists.

    Raises:
        BundleError: if it is missing or malformed.
    """
    path = bundle / sbom.FILE_NAME
    try:
        return sbom.read_hashes(path)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise _unreadable(path, error) from error


def file_names(bundle: Path) -> list[str]:
    """Return the path of every file in a bundle, sorted, with slashes."""
    return sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file())


def _unreadable(path: Path, why: object) -> BundleError:
    return BundleError(f"{path}: not readable ({why})", REBUILD)
