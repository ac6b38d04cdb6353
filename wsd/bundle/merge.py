"""``wsd join``: merge several bundles into one, so that one page offers all their models.

``models/index.json`` lists the models by name, and the precisions of one model from the largest to
the smallest: the page takes the first that fits the visitor's GPU. The result follows from the
models alone: bundles that are joined in another order, or in several steps, give the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsd.bundle.attestations import write_attestations
from wsd.bundle.classic import write_classic
from wsd.bundle.earlier_attestations import check_current
from wsd.bundle.layout import is_page_file
from wsd.bundle.manifest import (
    FILE_NAME,
    find_manifests,
    read_index,
    read_manifest,
    write_index,
)
from wsd.bundle.page_chain import link_page, unlinked_page
from wsd.bundle.tree import list_files
from wsd.bundle.verify import check_bundle
from wsd.errors import UsageError
from wsd.spec.classic_names import check_names
from wsd.spec.manifest import IndexEntry
from wsd.spec.precision import DTYPES
from wsd.supply_chain.sbom import read_materials
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.hashing import sha256_bytes, sha256_file


@dataclass(frozen=True)
class _Model:
    """A model of a bundle: its folder, and its entry in the bundle's list."""

    folder: Path
    entry: IndexEntry


def join_bundles(bundles: Sequence[Path], out: Path, *, classic: bool = False) -> Path:
    """Copy the models of several bundles into one.

    Files in the layout of the original are not copied; they are written for the result where asked.

    Args:
        bundles: folders that ``wsd build`` or ``wsd join`` wrote.
        out: a folder that does not exist.
        classic: whether the files also have the names of the original
            (:mod:`wsd.bundle.classic`).

    Returns:
        ``out``.

    Raises:
        UsageError: if two hold the same model in the same precision, their pages differ, or the
            original has no names for these models.
        BundleError: if one is not a bundle, its files are not what its attestations say, or these
            are of an earlier type.
    """
    check_absent(out)
    # What the lists of models tell comes first: every byte is read afterwards.
    for bundle in bundles:
        find_manifests(bundle)
    models = _sort_models(bundles)
    folders = list(_choose_folders(models))
    if classic:
        check_names(_list_pipelines(models))
    for bundle in bundles:
        check_current(bundle)
    for bundle in bundles:
        check_bundle(bundle)
    _check_pages(bundles)
    with write_folder_atomically(out) as scratch:
        _copy(bundles[0], scratch, filter(is_page_file, list_files(bundles[0])))
        entries = [_copy_model(model, folder, scratch) for model, folder in folders]
        write_index(entries, scratch)
        link_page(scratch)
        if classic:
            write_classic(scratch)
        materials = {material for bundle in bundles for material in read_materials(bundle)}
        write_attestations(scratch, materials)
    return out


def _sort_models(bundles: Iterable[Path]) -> list[_Model]:
    """Return the models of all bundles in the order of the list.

    Raises:
        UsageError: if two have one name and precision.
    """
    models: dict[tuple[str, int], _Model] = {}
    for bundle in bundles:
        for entry in read_index(bundle):
            key = (entry.name, DTYPES.index(entry.dtype))
            if key in models:
                raise UsageError(
                    f"{entry.name} in {entry.dtype} is there twice",
                    "a page has one model of a name and precision: leave one out",
                )
            models[key] = _Model(bundle / "models" / entry.manifest, entry)
    return [models[key] for key in sorted(models)]


def _list_pipelines(models: Iterable[_Model]) -> Iterator[tuple[str, str]]:
    """Yield name and precision of each model, and its pipeline of diffusers."""
    for model in models:
        manifest = read_manifest(model.folder / FILE_NAME)
        yield f"{model.entry.name} in {model.entry.dtype}", manifest.model.pipeline


def _choose_folders(models: Sequence[_Model]) -> Iterator[tuple[_Model, str]]:
    """Yield each model and its folder: its name for the first precision, then with the precision.

    Raises:
        UsageError: if another model has that name.
    """
    names = {model.entry.name for model in models}
    taken: set[str] = set()
    for model in models:
        name = model.entry.name
        folder = name if name not in taken else f"{name}-{model.entry.dtype}"
        if folder != name and folder in names:
            raise UsageError(
                f"{name} in {model.entry.dtype} needs the folder {folder}, which is a model's name",
                "leave one of the two out",
            )
        yield model, folder
        taken.add(name)


def _copy_model(model: _Model, folder: str, bundle: Path) -> IndexEntry:
    """Copy a model to its folder of a bundle; returns its entry in the list."""
    # The whole bundle is listed: in the classic layout, its files have further names elsewhere.
    prefix = f"models/{model.folder.name}/"
    names = [
        name.removeprefix(prefix)
        for name in list_files(model.folder.parent.parent)
        if name.startswith(prefix)
    ]
    _copy(model.folder, bundle / "models" / folder, names)
    return model.entry.model_copy(update={"manifest": f"{folder}/"})


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy files by their paths; a link that took a file's place stays a link, and is refused."""
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, path, follow_symlinks=False)


def _check_pages(bundles: Sequence[Path]) -> None:
    """Refuse bundles of different versions of the page."""
    first = _digest_page(bundles[0])
    for bundle in bundles[1:]:
        if differing := {name for name, _ in first.items() ^ _digest_page(bundle).items()}:
            raise UsageError(
                f"the pages of {bundles[0]} and {bundle} differ: {', '.join(sorted(differing))}",
                "build both with the same version of WSD",
            )


def _digest_page(bundle: Path) -> Mapping[str, str]:
    """Return path → digest of the page's files, the list of models left out of them."""
    files = {name: sha256_file(bundle / name) for name in filter(is_page_file, list_files(bundle))}
    unlinked = unlinked_page(bundle)
    return files | {name: sha256_bytes(content) for name, content in unlinked.items()}
