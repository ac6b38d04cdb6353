"""``wsd verify``: compare every byte of a bundle with its manifests and attestations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wsd.bundle.attestations import (
    ATTESTATIONS,
    FILE_NAME,
    list_files,
    read_integrity,
    read_sbom_digests,
)
from wsd.bundle.manifest import find_manifests, read_manifest
from wsd.spec.manifest import FileEntry
from wsd.supply_chain import sbom
from wsd.util.hashing import Digests, digest_file


def verify_bundle(bundle: Path) -> Iterator[str]:
    """Yield one line for each fault: a missing, extra or altered file, or attestations that differ.

    Raises:
        BundleError: if the folder is not a bundle, or a manifest, ``SRI.json`` or the SBOM is
            missing or malformed.
    """
    entries = _read_file_entries(bundle)
    integrity = read_integrity(bundle)
    in_sbom = read_sbom_digests(bundle)
    present = {name for name in list_files(bundle) if name != FILE_NAME}
    for name in sorted(present | integrity.keys() | entries.keys()):
        if name not in present:
            yield f"{name}: missing"
        elif name not in integrity:
            yield f"{name}: not in {FILE_NAME}"
        else:
            found = digest_file(bundle / name)
            size = (bundle / name).stat().st_size
            fault = _find_fault(found, size, integrity[name], entries.get(name))
            if fault is None and name not in ATTESTATIONS and in_sbom.get(name) != found.sha256:
                fault = f"{sbom.FILE_NAME} has another sha256, or none"
            if fault is not None:
                yield f"{name}: {fault}"


def _read_file_entries(bundle: Path) -> dict[str, FileEntry]:
    """Return path in the bundle → what a manifest says about the file."""
    return {
        f"{path.parent.relative_to(bundle).as_posix()}/{entry.file}": entry
        for path in find_manifests(bundle)
        for entry in read_manifest(path).files()
    }


def _find_fault(found: Digests, size: int, integrity: str, entry: FileEntry | None) -> str | None:
    """Return what is wrong with a file that is there, or None."""
    if entry is not None:
        if size != entry.bytes:
            return f"{size} bytes, expected {entry.bytes}"
        if found.sha256 != entry.sha256:
            return _mismatch("sha256", entry.sha256, found.sha256)
    if found.integrity != integrity:
        return _mismatch("integrity", integrity, found.integrity)
    return None


def _mismatch(kind: str, expected: str, found: str) -> str:
    return f"{kind} mismatch (expected {expected[:20]}…, got {found[:20]}…)"
