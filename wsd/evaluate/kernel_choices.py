"""``wsd bench --tune``: a file with what tuning found, one table for each class of adapters.

A table has, for each kernel among whose variants there is a choice, which one was the fastest. It
belongs to one ``kernels.json``, whose digest it has, and to one class of adapters. A file that is
there keeps its tables for other models and classes, so that what people measure on several GPUs
lies side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from wsd.errors import UsageError
from wsd.kernels.variant import adapter_class
from wsd.runtime.page_types import TuneReport
from wsd.spec.entry import Entry, SparseEntry
from wsd.spec.manifest import Manifest
from wsd.util.files import write_atomically
from wsd.util.json_reader import read_json

VERSION: Literal[1] = 1
_HINT = "name another file, or remove this one"


class KernelChoice(SparseEntry):
    """What runs in a kernel."""

    variant: str
    """Name of a variant, or ``generated`` for the kernel that TVM generated."""
    index: Annotated[int, Field(ge=0)]
    """Which of the kernel's variants of that name it is, from 0."""
    tile: str | None = None
    """What a workgroup of it computes at a time, in words; missing for variants without."""


class ChoiceTable(Entry):
    """What was found for one ``kernels.json`` on one class of adapters."""

    model: str
    dtype: str
    kernels: str
    """SHA-256 of ``kernels.json``."""
    library: str
    """SHA-256 of the library, whose generated kernels were timed too."""
    adapter_class: str
    """As :func:`wsd.kernels.variant.adapter_class` writes it."""
    adapter: dict[str, str]
    """Vendor, architecture, device and description of the adapter."""
    gain: float
    """How many times as fast a picture of the model's default steps is, without the host's time."""
    complete: bool
    """Whether all kernels were timed."""
    choices: dict[str, KernelChoice]
    """Kernel to what was the fastest in it."""


class ChoiceFile(Entry):
    """The whole file."""

    version: Literal[1]
    tables: list[ChoiceTable]
    """Sorted by model, precision, class of adapters and digest."""


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
    if not path.exists():
        return []
    found = read_json(path, UsageError, _HINT)
    try:
        return ChoiceFile.model_validate(found).tables
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(
            f"{path} is no file of `wsd bench --tune`: {place}: {first['msg']}", _HINT
        ) from error


def write_tables(path: Path, tables: list[ChoiceTable]) -> None:
    """Write tables to a file, which is replaced.

    Raises:
        OSError: if it cannot be written.
    """
    content = ChoiceFile(version=VERSION, tables=sorted(tables, key=_place))
    write_atomically(path, f"{content.model_dump_json(indent=1)}\n".encode())


def replace_table(tables: list[ChoiceTable], table: ChoiceTable) -> list[ChoiceTable]:
    """Return tables with another one, in place of that of the same kernels and class, if any."""
    return [*(each for each in tables if _place(each) != _place(table)), table]


def _place(table: ChoiceTable) -> tuple[str, str, str, str]:
    return table.model, table.dtype, table.adapter_class, table.kernels
