"""``wsd verify``: make a bundle's attestations again, and compare them with those it has.

:func:`wsd.bundle.attestations.write_attestations` refuses a bundle with a fault in its layout, and
writes attestations that follow from its files and materials. So verifying looks for the same
faults, makes the attestations again, and compares them with those in the bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from wsd.bundle.attestations import build_attestations, read_integrity
from wsd.bundle.earlier_attestations import (
    Statement,
    find_contradictions,
    find_unknown,
    read_statement,
)
from wsd.bundle.layout import (
    SRI,
    Snapshot,
    find_faults,
    find_file_faults,
    find_gaps,
    find_size_faults,
    find_stray_scripts,
    is_notice,
    mismatch,
    read_snapshot,
)
from wsd.bundle.manifest import REBUILD, find_manifests
from wsd.bundle.tree import scan_tree
from wsd.errors import BundleError
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.material import Material, merge_materials
from wsd.supply_chain.notices import make_notices
from wsd.util.hashing import canonical_json, digest_file, sha256_bytes
from wsd.util.json_reader import read_json

# Characters of a value that a fault shows.
_SHOWN = 60


def verify_bundle(bundle: Path) -> Iterator[str]:
    """Yield one line for each fault: a missing, extra or altered file, or attestations that differ.

    Raises:
        BundleError: if the folder is not a bundle, or a manifest, the list of models or an
            attestation is missing or malformed.
    """
    find_manifests(bundle)
    # Nothing is read of a folder with links in it: they may lead to anything.
    if faults := scan_tree(bundle).faults:
        yield from faults
        return
    # What has another size is not digested.
    if sizes := find_size_faults(bundle):
        yield from (f"{name}: {fault}" for name, fault in sizes)
        return
    integrity = read_integrity(bundle)
    statement = read_statement(bundle)
    if unknown := list(find_unknown(statement)):
        yield from (f"{provenance.FILE_NAME}: {reason}" for reason in unknown)
        return
    in_sbom = sbom.read_hashes(bundle)
    snapshot = read_snapshot(bundle)
    found: dict[str, str] = {}
    for name, fault in chain(
        find_file_faults(snapshot),
        _compare_integrity(snapshot, integrity),
        find_faults(snapshot),
        _compare_sbom(snapshot, in_sbom),
    ):
        found.setdefault(name, fault)
    # If a file was changed, the rest may differ for that reason alone.
    if not found:
        for name, fault in chain(
            find_stray_scripts(snapshot), _compare_attestations(snapshot, statement)
        ):
            found.setdefault(name, fault)
    for name in sorted(found):
        yield f"{name}: {found[name]}"


def check_bundle(bundle: Path) -> None:
    """Refuse a bundle that :func:`verify_bundle` finds a fault in.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: naming the first fault.
    """
    for fault in verify_bundle(bundle):
        raise BundleError(f"{bundle}: {fault}", REBUILD)


def _compare_integrity(snapshot: Snapshot, integrity: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Compare the files with ``SRI.json``."""
    files = dict(snapshot.files)
    # Before there were signatures, SRI.json listed the provenance; now that lists SRI.json.
    for name in (sbom.FILE_NAME, *({provenance.FILE_NAME} & integrity.keys())):
        files[name] = digest_file(snapshot.folder / name)
    for name in sorted(files.keys() | integrity.keys()):
        if name not in files:
            yield name, "missing"
        elif name not in integrity:
            yield name, f"not in {SRI}"
        elif files[name].integrity != integrity[name]:
            yield name, mismatch("integrity", integrity[name], files[name].integrity)


def _compare_sbom(snapshot: Snapshot, in_sbom: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Compare the files with those that the SBOM lists."""
    for name in sorted(snapshot.files.keys() | in_sbom.keys()):
        digests = snapshot.files.get(name)
        if digests is None:
            yield name, "missing"
        elif in_sbom.get(name) != digests.sha256:
            yield name, f"{sbom.FILE_NAME} has another sha256, or none"


def _compare_attestations(snapshot: Snapshot, statement: Statement) -> Iterator[tuple[str, str]]:
    """Compare the attestations with those that WSD would write for the same files.

    Whichever version wrote them: the type of the build says what must be there.
    """
    materials = sbom.read_materials(snapshot.folder)
    if statement.build_type != provenance.BUILD_TYPE:
        # They are worded differently, so only the facts are compared.
        for fault in find_contradictions(snapshot, statement, materials):
            yield provenance.FILE_NAME, fault
        return
    yield from find_gaps(snapshot)
    yield from _compare_notices(snapshot, materials)
    for name, expected in build_attestations(snapshot, materials, statement.version).items():
        path = snapshot.folder / name
        found = read_json(path, BundleError, REBUILD)
        for difference in find_differences(expected, found):
            yield name, difference
        if path.read_bytes() != canonical_json(expected):
            yield name, "not written as WSD writes it: keys in another order, or spaces"


def _compare_notices(
    snapshot: Snapshot, materials: Sequence[Material]
) -> Iterator[tuple[str, str]]:
    """Compare notices and licences with those that follow from the SBOM and the manifests."""
    made = make_notices(merge_materials(materials), list(snapshot.manifests.items()))
    for name, content in made.items():
        found = snapshot.files.get(name)
        if found is None:
            yield name, "missing"
        elif found.sha256 != sha256_bytes(content):
            yield name, f"not the notice that {sbom.FILE_NAME} and the manifests ask for"
    for name in snapshot.files:
        if is_notice(name) and name not in made:
            yield name, f"{sbom.FILE_NAME} has nothing that this notice is about"


def find_differences(expected: Any, found: Any, place: str = "") -> Iterator[str]:
    """Yield where two JSON values differ, and in what."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            inside = f"{place}/{key}"
            if key not in expected:
                yield f"{inside[1:]} does not belong there"
            elif key not in found:
                yield f"{inside[1:]} is missing"
            else:
                yield from find_differences(expected[key], found[key], inside)
    elif isinstance(expected, list) and isinstance(found, list):
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from find_differences(one, other, f"{place}/{index}")
        if len(expected) != len(found):
            yield f"{place[1:]} has {len(found)} items, expected {len(expected)}"
    # 1, 1.0 and true are three values in JSON, and one in Python.
    elif type(expected) is not type(found) or expected != found:
        yield f"{place[1:] or 'top level'} is {_shorten(found)}, expected {_shorten(expected)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
