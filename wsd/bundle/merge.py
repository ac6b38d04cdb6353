"""``wsd join``: merge several bundles into one, so that one page offers all their models.

``models/index.json`` lists the models. Entries that share a name are one model with weights of
several precisions; the page takes the first that fits the visitor's GPU.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from wsd.bundle.attestations import ATTESTATIONS, read_integrity, write_attestations
from wsd.bundle.manifest import read_index, write_index
from wsd.bundle.verify import verify_bundle
from wsd.errors import BundleError, UsageError
from wsd.spec.manifest import IndexEntry
from wsd.supply_chain.sbom import read_materials
from wsd.util.files import check_absent, write_folder_atomically


def join_bundles(bundles: Sequence[Path], out: Path) -> Path:
    """Copy the models of several bundles into one, listed in the order of the bundles.

    Args:
        bundles: folders that ``wsd build`` or ``wsd join`` wrote.
        out: a folder that does not exist.

    Returns:
        ``out``.

    Raises:
        UsageError: if two hold the same model in the same precision, or their pages differ.
        BundleError: if one is not a bundle, or its files are not what its attestations say.
    """
    check_absent(out)
    for bundle in bundles:
        for fault in verify_bundle(bundle):
            raise BundleError(f"{bundle}: {fault}", "build it again")
    _check_pages(bundles)
    with write_folder_atomically(out) as scratch:
        shutil.copytree(bundles[0], scratch, dirs_exist_ok=True)
        index = list(read_index(bundles[0]))
        for bundle in bundles[1:]:
            for entry in read_index(bundle):
                folder = _choose_folder(entry, index)
                source = bundle / "models" / entry.manifest
                shutil.copytree(source, scratch / "models" / folder)
                index.append(entry.model_copy(update={"manifest": f"{folder}/"}))
        write_index(index, scratch)
        materials = {material for bundle in bundles for material in read_materials(bundle)}
        write_attestations(scratch, materials)
    return out


def _choose_folder(entry: IndexEntry, taken: Sequence[IndexEntry]) -> str:
    """Return the folder of a further model: its name, or name and precision if that is taken."""
    if any((other.name, other.dtype) == (entry.name, entry.dtype) for other in taken):
        raise UsageError(
            f"{entry.name} in {entry.dtype} is there twice",
            "a page has one model of a name and precision: leave one out",
        )
    folders = {other.manifest for other in taken}
    return entry.name if f"{entry.name}/" not in folders else f"{entry.name}-{entry.dtype}"


def _check_pages(bundles: Sequence[Path]) -> None:
    """Refuse bundles of different versions of the page."""
    first = _read_page(bundles[0])
    for bundle in bundles[1:]:
        if differing := {name for name, _ in first.items() ^ _read_page(bundle).items()}:
            raise UsageError(
                f"the pages of {bundles[0]} and {bundle} differ: {', '.join(sorted(differing))}",
                "build both with the same version of WSD",
            )


def _read_page(bundle: Path) -> dict[str, str]:
    """Return path → integrity of a verified bundle's page: no models, no attestations."""
    return {
        name: integrity
        for name, integrity in read_integrity(bundle).items()
        if not name.startswith("models/") and name not in ATTESTATIONS
    }
