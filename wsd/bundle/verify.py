"""``wsd verify``: every byte of a bundle against what vouches for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsd.bundle.attestations import ATTESTATIONS, FILE_NAME, file_names, read_billed, read_integrity
from wsd.bundle.manifest import find_manifests, manifest_files, read_manifest
from wsd.supply_chain import sbom
from wsd.util.hashing import Digests, digest_file


def verify_bundle(bundle: Path) -> Iterator[str]:
    """Yield one line a fault: missing, extra or altered files, and papers that disagree.

    Raises:
        BundleError: if the folder is not a bundle, or a manifest, ``SRI.json`` or the bill
            of materials is missing or malformed.
    """
    entries = _manifest_entries(bundle)
    integrity = read_integrity(bundle)
    billed = read_billed(bundle)
    present = {name for name in file_names(bundle) if name != FILE_NAME}
    for name in sorted(present | integrity.keys() | entries.keys()):
        if name not in present:
            yield f"{name}: missing"
        elif name not in integrity:
            yield f"{name}: not in {FILE_NAME}"
        else:
            found = digest_file(bundle / name)
            size = (bundle / name).stat().st_size
            fault = _fault(found, size, integrity[name], entries.get(name))
            if fault is None and name not in ATTESTATIONS and billed.get(name) != found.sha256:
                fault = f"{sbom.FILE_NAME} has another sha256, or none"
            if fault is not None:
                yield f"{name}: {fault}"


def _manifest_entries(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return path in the bundle → what a manifest says of the file."""
    return {
        f"{path.parent.relative_to(bundle).as_posix()}/{entry['file']}": entry
        for path in find_manifests(bundle)
        for entry in manifest_files(read_manifest(path))
    }


def _fault(found: Digests, size: int, integrity: str, entry: dict[str, Any] | None) -> str | None:
    """Return what is wrong with a file that is there, or None."""
    if entry is not None:
        if size != entry["bytes"]:
            return f"{size} bytes, expected {entry['bytes']}"
        if found.sha256 != entry["sha256"]:
            return _mismatch("sha256", entry["sha256"], found.sha256)
    if found.integrity != integrity:
        return _mismatch("integrity", integrity, found.integrity)
    return None


def _mismatch(what: str, expected: str, found: str) -> str:
    return f"{what} mismatch (expected {expected[:20]}…, got {found[:20]}…)"
