"""``wsd build --kernel-choices``: give a bundle what ``wsd bench --tune`` found on several GPUs.

The tables that are for the bundle's library become ``kernel-choices.<sha256>.json`` beside
``kernels.json``, one for each class of adapters. They are not a part of ``kernels.json``, because
its digest says what a table is for. Where a visitor's browser keeps no tuning of its own, the page
runs what the table of the adapter's class names, as far as no rule refuses it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from wsd.bundle.manifest import REBUILD
from wsd.bundle.model_files import read_kernel_table
from wsd.errors import BundleError, UsageError
from wsd.kernels.choice import GENERATED
from wsd.kernels.serialize import KernelTable, minify_table
from wsd.spec.kernel_choices import VERSION, ChoiceTable, KernelChoices
from wsd.spec.manifest import Manifest
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.typed_json import read_typed

if TYPE_CHECKING:
    from wsd.compiler.library import Library

_FILE = TypeAdapter(KernelChoices)
_OTHER_FILE = "name a file that wsd bench --tune wrote"
_TUNE_AGAIN = "tune a bundle of this build with wsd bench --tune, or leave it out"
# Characters of a digest, and names of kernels, that an error shows.
_DIGITS, _NAMED = 12, 3

_LOG = logging.getLogger(__name__)

# Kernel → names of its variants, in the order of kernels.json.
VariantNames = Mapping[str, Sequence[str]]


def read_tables(path: Path, hint: str) -> list[ChoiceTable]:
    """Return the tables of a file that ``wsd bench --tune`` wrote.

    Args:
        path: the file.
        hint: what to do if it is another file.

    Raises:
        UsageError: if it is missing, or another file.
        OSError: if it cannot be read.
    """
    return read_typed(path, _FILE, UsageError, hint).tables


def check_given(paths: Sequence[Path], library: Library | None) -> None:
    """Refuse files that cannot be for a model, before it is compiled for them.

    Args:
        paths: the files.
        library: for which they must have tables; None if it will be compiled.

    Raises:
        UsageError: for the first one.
        OSError: if one cannot be read.
    """
    if library is not None:
        select_choices(paths, library)
        return
    for path in paths:
        if not read_tables(path, _OTHER_FILE):
            raise UsageError(f"{path} has no tables", _TUNE_AGAIN)


def serialize_kernels(table: KernelTable) -> bytes:
    """Return the content of a bundle's ``kernels.json``."""
    return canonical_json(minify_table(table))


def select_choices(paths: Sequence[Path], library: Library) -> KernelChoices | None:
    """Return what the tables of some files say of a library, one table for each class of adapters.

    Of two tables of one class the complete one is taken, else that of the later file.

    Args:
        paths: files that ``wsd bench --tune`` wrote. They may have tables of other models too.
        library: the compiled library.

    Returns:
        None if there are no files.

    Raises:
        UsageError: if a file is another one, has no table for this library, or one that names a
            kernel or a variant that the library does not have.
    """
    if not paths:
        return None
    kernels, wasm = sha256_bytes(serialize_kernels(library.variants)), sha256_file(library.wasm)
    names = variant_names(library.variants)
    chosen: dict[str, ChoiceTable] = {}
    for path in paths:
        tables = read_tables(path, _OTHER_FILE)
        fitting = [table for table in tables if (table.kernels, table.library) == (kernels, wasm)]
        if not fitting:
            raise UsageError(
                f"{path} has no table for this library, whose kernels.json has the digest "
                f"{kernels[:_DIGITS]}…: it has {_describe(tables)}",
                _TUNE_AGAIN,
            )
        # A table of a GPU whose browser hid its name is for no page: where nothing else is for this
        # library, that is its fault.
        named = [table for table in fitting if table.adapter_class]
        if named and len(named) < len(fitting):
            _LOG.warning("%s: left out is what was tuned on no named GPU", path)
        for table in named or fitting:
            for fault in find_choice_faults(table, names):
                raise UsageError(f"{path}: {fault}", _TUNE_AGAIN)
            other = chosen.get(table.adapter_class)
            if other is None or table.complete or not other.complete:
                chosen[table.adapter_class] = table
        if stale := [table for table in tables if _is_stale(table, fitting)]:
            _LOG.warning("%s: left out is what is for another build: %s", path, _describe(stale))
    return KernelChoices(version=VERSION, tables=[chosen[name] for name in sorted(chosen)])


def _is_stale(table: ChoiceTable, fitting: Collection[ChoiceTable]) -> bool:
    """Tell whether a table is of the same model and precision as those that fit, but does not."""
    models = {(each.model, each.dtype) for each in fitting}
    return table not in fitting and (table.model, table.dtype) in models


def _describe(tables: Sequence[ChoiceTable]) -> str:
    """Say what some tables are for."""
    return (
        "; ".join(
            f"{table.model} in {table.dtype} on {table.adapter_class or 'no named GPU'} "
            f"({table.kernels[:_DIGITS]}…)"
            for table in tables[:_NAMED]
        )
        + (f"; and {len(tables) - _NAMED} more" if len(tables) > _NAMED else "")
        or "no tables"
    )


def variant_names(table: KernelTable) -> VariantNames:
    """Return kernel → names of its variants, in the order of ``kernels.json``."""
    return {
        kernel: [variant["name"] for variant in variants]
        for kernel, variants in table["kernels"].items()
    }


def find_choice_faults(table: ChoiceTable, names: VariantNames) -> Iterator[str]:
    """Yield what a table names that a ``kernels.json`` does not have.

    Args:
        table: what tuning found.
        names: kernel → names of its variants.
    """
    place = f"the table of {table.adapter_class or 'no named GPU'}"
    if not table.adapter_class:
        yield f"{place} is for no page: the browser hid which GPU it was tuned on"
    if unknown := sorted(table.choices.keys() - names.keys()):
        yield f"{place} names kernels that have no variants: {', '.join(unknown[:_NAMED])}"
        return
    for kernel, choice in table.choices.items():
        count = 1 if choice.variant == GENERATED else names[kernel].count(choice.variant)
        if choice.index >= count:
            yield (
                f"{place} has {choice.variant} number {choice.index} for {kernel}, which has "
                f"{count} of that name: {', '.join(names[kernel])}"
            )


def check_choices(path: Path, manifest: Manifest) -> None:
    """Refuse a bundle's file of kernel choices that is not for its library.

    Args:
        path: of a file that the manifest lists.
        manifest: of the model.

    Raises:
        BundleError: naming the fault.
    """
    tables = read_typed(path, _FILE, BundleError, REBUILD).tables
    if manifest.kernels is None:
        raise BundleError(f"{path}: there are no kernels to choose from", REBUILD)
    names = variant_names(read_kernel_table(path.with_name(manifest.kernels.file)))
    digests = (manifest.kernels.sha256, manifest.library.sha256)
    for table in tables:
        if (table.kernels, table.library) != digests:
            raise BundleError(
                f"{path}: the table of {table.adapter_class} is for another library", REBUILD
            )
        for fault in find_choice_faults(table, names):
            raise BundleError(f"{path}: {fault}", REBUILD)
    classes = [table.adapter_class for table in tables]
    if classes != sorted(set(classes)):
        raise BundleError(f"{path}: not one table for each class of adapters, sorted", REBUILD)
