"""``wsd bench --tune``: a file with what tuning found, one table for each class of adapters.

A table has, for each kernel among whose variants there is a choice, which one was the fastest. It
belongs to one ``kernels.json``, whose digest it has, and to one class of adapters. A file that is
there keeps its tables for other models and classes, so that what people measure on several GPUs
lies side by side. ``wsd build --kernel-choices`` gives the tables to bundles.
"""

from __future__ import annotations

from pathlib import Path

from wsd.bundle.kernel_choices import read_tables as read_given_tables
from wsd.errors import UsageError
from wsd.kernels.variant import adapter_class
from wsd.runtime.page_types import TuneReport
from wsd.spec.kernel_choices import VERSION, ChoiceTable, KernelChoice, KernelChoices
from wsd.spec.manifest import Manifest
from wsd.util.files import write_atomically

_HINT = "name another file, or remove this one"


def check_variants(manifest: Manifest) -> str:
    """Return the SHA-256 of a model's ``kernels.json``.

    Raises:
        UsageError: if the model has no variants to choose from.
    """
    if manifest.kernels is None:
        raise UsageError(
            f"{manifest.model.name} has no kernel variants to choose from",
            "build the bundle with this version of WSD",
        )
    return manifest.kernels.sha256


def make_table(manifest: Manifest, report: TuneReport) -> ChoiceTable:
    """Return what tuning found of a model as a table.

    Raises:
        UsageError: if the model has no variants to choose from.
    """
    adapter = report["adapter"]
    return ChoiceTable(
        model=manifest.model.name,
        dtype=manifest.model.dtype,
        kernels=check_variants(manifest),
        library=manifest.library.sha256,
        adapter_class=adapter_class(adapter.get("vendor", ""), adapter.get("architecture", "")),
        adapter=dict(sorted(adapter.items())),
        gain=report["gain"],
        complete=report["complete"],
        choices={
            kernel: KernelChoice(
                variant=choice["variant"], index=choice["index"], tile=choice.get("tile")
            )
            for kernel, choice in sorted(report["choices"].items())
        },
    )


def read_tables(path: Path) -> list[ChoiceTable]:
    """Return the tables of a file; none if there is no such file.

    Raises:
        UsageError: if it is another file.
        OSError: if it cannot be read.
    """
    return read_given_tables(path, _HINT) if path.exists() else []


def write_tables(path: Path, tables: list[ChoiceTable]) -> None:
    """Write tables to a file, which is replaced.

    Raises:
        OSError: if it cannot be written.
    """
    content = KernelChoices(version=VERSION, tables=sorted(tables, key=_place))
    write_atomically(path, f"{content.model_dump_json(indent=1)}\n".encode())


def replace_table(tables: list[ChoiceTable], table: ChoiceTable) -> list[ChoiceTable]:
    """Return tables with another one, in place of that of the same kernels and class, if any."""
    return [*(each for each in tables if _place(each) != _place(table)), table]


def _place(table: ChoiceTable) -> tuple[str, str, str, str]:
    return table.model, table.dtype, table.adapter_class, table.kernels
