"""``wsd join``: one bundle of several, so that one page offers all their models.

``models/index.json`` lists them. Entries that share a name are one model with weights of
several precisions; the page takes the first that fits the visitor's GPU.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from wsd.bundle.attestations import ATTESTATIONS, read_integrity, seal
from wsd.bundle.manifest import INDEX_NAME
from wsd.bundle.verify import verify_bundle
from wsd.errors import BundleError, UsageError
from wsd.supply_chain.sbom import read_materials
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.hashing import canonical_json


def join_bundles(bundles: Sequence[Path], out: Path) -> Path:
    """Copy the models of several bundles into one, listed in the order of the bundles.

    Args:
        bundles: folders that ``wsd build`` or ``wsd join`` wrote.
        out: a folder that does not exist.

    Returns:
        ``out``.

    Raises:
        UsageError: if two hold the same model in the same precision, or their pages differ.
        BundleError: if one is not a bundle, or not what its papers say.
    """
    check_absent(out)
    for bundle in bundles:
        for fault in verify_bundle(bundle):
            raise BundleError(f"{bundle}: {fault}", "build it again")
    _check_pages(bundles)
    with write_folder_atomically(out) as scratch:
        shutil.copytree(bundles[0], scratch, dirs_exist_ok=True)
        index = _read_index(bundles[0])
        for bundle in bundles[1:]:
            for entry in _read_index(bundle):
                folder = _folder(entry, index)
                source = bundle / "models" / entry["manifest"]
                shutil.copytree(source, scratch / "models" / folder)
                index.append({**entry, "manifest": f"{folder}/"})
        _index(scratch).write_bytes(canonical_json(index))
        seal(scratch, {material for bundle in bundles for material in read_materials(bundle)})
    return out


def _index(bundle: Path) -> Path:
    return bundle / "models" / INDEX_NAME


def _read_index(bundle: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads(_index(bundle).read_text())
    return entries


def _folder(entry: dict[str, str], taken: Sequence[dict[str, str]]) -> str:
    """Return where a further model goes: by its name, or by name and precision."""
    name, dtype = entry["name"], entry["dtype"]
    if any((other["name"], other["dtype"]) == (name, dtype) for other in taken):
        raise UsageError(
            f"{name} in {dtype} is there twice",
            "a page has one model of a name and precision: leave one out",
        )
    folders = {other["manifest"] for other in taken}
    return name if f"{name}/" not in folders else f"{name}-{dtype}"


def _check_pages(bundles: Sequence[Path]) -> None:
    """Refuse bundles of different versions of the page."""
    first = _page(bundles[0])
    for bundle in bundles[1:]:
        if differing := {name for name, _ in first.items() ^ _page(bundle).items()}:
            raise UsageError(
                f"the pages of {bundles[0]} and {bundle} differ: {', '.join(sorted(differing))}",
                "build both with the same version of WSD",
            )


def _page(bundle: Path) -> dict[str, str]:
    """Return path → integrity of a verified bundle's files, models and papers left out."""
    return {
        name: integrity
        for name, integrity in read_integrity(bundle).items()
        if not name.startswith("models/") and name not in ATTESTATIONS
    }
