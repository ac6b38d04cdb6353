"""A database of tuned schedules: the files of TVM's MetaSchedule, and whose they are.

`wsd tune` writes it. `wsd compile --database` applies it, and databases that come with a model are
applied unless `--no-database` is given. Beside the two files of TVM's
``JSONDatabase``, one line for each workload and each record, ``wsd_database.json`` says for which
model, precision and TVM the schedules were found, on which adapter, and what each kernel took
before and after. This module needs no TVM.

A database is written after each kernel that was tuned: first TVM's files, which only grow, then
the table, with the number of lines that count and their digests. So one that was interrupted is
whole: lines that the table does not count are left out.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from wsd.compiler.library import architecture
from wsd.errors import UsageError
from wsd.kernels.variant import adapter_class
from wsd.models.family import Family
from wsd.spec.tensor import Size
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes
from wsd.util.json_reader import MAX_SHADER_BYTES, read_text
from wsd.util.typed_json import read_typed

TABLE = "wsd_database.json"
WORKLOADS = "database_workload.json"
RECORDS = "database_tuning_record.json"
_HINT = "name a folder that `wsd tune` of this version of WSD wrote, or tune anew"


@dataclass(frozen=True)
class TuningTarget:
    """What a database was tuned for.

    Attributes:
        tvm: TVM's version; another one reads other files.
        model: name of the family.
        architecture: digest of its components, of :func:`wsd.compiler.library.architecture`.
        dtype: how its weights are stored, one of :data:`wsd.spec.precision.DTYPES`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    tvm: str
    model: str
    architecture: str
    dtype: str


@dataclass(frozen=True)
class TuningAdapter:
    """The adapter that schedules were timed on, as WebGPU's ``GPUAdapterInfo`` names it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    vendor: str
    architecture: str
    description: str

    @property
    def kind(self) -> str:
        """Return the class of adapters that the schedules are for."""
        return adapter_class(self.vendor, self.architecture)


@dataclass(frozen=True)
class TunedKernel:
    """A kernel that a tuned schedule makes faster.

    Attributes:
        function: the TIR function's name in the model.
        before: milliseconds of GPU time with the schedule of WSD's rules.
        after: milliseconds with the tuned schedule, in the same run.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    function: str
    before: float
    after: float


@dataclass(frozen=True)
class ScheduleDatabase:
    """Tuned schedules, and whose they are.

    Attributes:
        target: what they were found for.
        adapter: what they were timed on.
        sizes: (width, height) of the pictures whose functions were tuned.
        seed: decides the inputs and the order in which candidates were tried.
        gain: how many times as fast a schedule had to make a kernel.
        kernels: the kernels that have one, in the order in which they were tuned.
        workloads: a line of TVM's file of workloads for each kernel.
        records: a line of TVM's file of records for each kernel.
        without_gain: SHA-256 of the text of each function for which no faster schedule was found
            with this seed and gain; it is not tuned again.
    """

    target: TuningTarget
    adapter: TuningAdapter
    sizes: tuple[Size, ...]
    seed: int
    gain: float
    kernels: tuple[TunedKernel, ...] = ()
    workloads: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    without_gain: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what decides the library: TVM's lines, and the adapter's class."""
        lines = (self.adapter.kind, *self.workloads, *self.records)
        return sha256_bytes("\n".join(lines).encode())

    def write_lines(self, folder: Path) -> None:
        """Write the files of TVM's ``JSONDatabase`` to a folder."""
        for name, lines in ((WORKLOADS, self.workloads), (RECORDS, self.records)):
            write_atomically(folder / name, _join(lines))


@dataclass(frozen=True)
class ChosenDatabases:
    """The databases that a library is compiled with.

    Attributes:
        databases: what they have becomes variants of the library's kernels.
        named: whether the caller named them, so that each must be of use.
    """

    databases: tuple[ScheduleDatabase, ...] = ()
    named: bool = False

    @property
    def digest(self) -> str:
        """Return the SHA-256 of each, as toolchains and provenances have it; empty without any."""
        return ", ".join(f"sha256:{database.digest}" for database in self.databases)


@dataclass(frozen=True)
class _Table:
    """The content of :data:`TABLE`; digests are of the lines that count."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    target: TuningTarget
    adapter: TuningAdapter
    sizes: tuple[Size, ...]
    seed: int
    gain: float
    kernels: tuple[TunedKernel, ...]
    workloads_sha256: str
    records_sha256: str
    without_gain: tuple[str, ...] = ()


@cache
def _codec() -> TypeAdapter[_Table]:
    return TypeAdapter(_Table)


def _join(lines: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def write_database(database: ScheduleDatabase, folder: Path) -> None:
    """Write a database, so that whatever interrupts it leaves the earlier one or this one.

    Args:
        database: has every line of the one in the folder, and more.
        folder: is made if it is missing.

    Raises:
        OSError: if it cannot be written.
    """
    database.write_lines(folder)
    table = _Table(
        target=database.target,
        adapter=database.adapter,
        sizes=database.sizes,
        seed=database.seed,
        gain=database.gain,
        kernels=database.kernels,
        workloads_sha256=_digest(database.workloads),
        records_sha256=_digest(database.records),
        without_gain=database.without_gain,
    )
    write_atomically(folder / TABLE, canonical_json(asdict(table)))


def read_database(folder: Path) -> ScheduleDatabase:
    """Read a database that `wsd tune` wrote.

    Raises:
        UsageError: if the folder has none, or if one of its files is damaged; it names the file.
        OSError: if a file cannot be read.
    """
    table = read_typed(folder / TABLE, _codec(), UsageError, _HINT)
    count = len(table.kernels)
    lines = []
    for name, digest in ((WORKLOADS, table.workloads_sha256), (RECORDS, table.records_sha256)):
        path = folder / name
        text = read_text(path, UsageError, _HINT, MAX_SHADER_BYTES)
        found = tuple(text.splitlines()[:count])
        if _digest(found) != digest:
            raise UsageError(
                f"{path} is damaged: sha256 of its first {count} lines is {_digest(found)[:12]}…, "
                f"expected {digest[:12]}…",
                _HINT,
            )
        lines.append(found)
    workloads, records = lines
    return ScheduleDatabase(
        target=table.target,
        adapter=table.adapter,
        sizes=table.sizes,
        seed=table.seed,
        gain=table.gain,
        kernels=table.kernels,
        workloads=workloads,
        records=records,
        without_gain=table.without_gain,
    )


def _digest(lines: tuple[str, ...]) -> str:
    return hashlib.sha256(_join(lines)).hexdigest()


def tuning_target(family: Family, dtype: str, tvm: str) -> TuningTarget:
    """Return what schedules are found for.

    Args:
        family: the model, as the checkpoint's configurations have it.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        tvm: TVM's version.
    """
    return TuningTarget(tvm, family.name, architecture(family), dtype)


def check_database(database: ScheduleDatabase, wanted: TuningTarget, folder: Path) -> None:
    """Refuse a database of another TVM, model or precision.

    Models of one architecture share a library, and so they share databases.

    Args:
        database: what was read.
        wanted: what is compiled.
        folder: where the database is, for the message.

    Raises:
        UsageError: if they do not belong together; it names what differs.
    """
    found = database.target
    hint = f"tune one with: wsd tune --model {wanted.model} --dtype {wanted.dtype} --database DIR"
    if found.tvm != wanted.tvm:
        raise UsageError(
            f"{folder} was tuned with TVM {found.tvm}, and this is TVM {wanted.tvm}", hint
        )
    if found.architecture != wanted.architecture:
        other = "another variant of " * (found.model == wanted.model)
        raise UsageError(
            f"{folder} was tuned for {other}{found.model}, not for {wanted.model}", hint
        )
    if found.dtype != wanted.dtype:
        raise UsageError(
            f"{folder} was tuned for {found.model} in {found.dtype}, not in {wanted.dtype}", hint
        )


def default_databases(family: Family, dtype: str, tvm: str) -> ChosenDatabases:
    """Return the databases that come with a model, those of this TVM, variant and precision.

    Args:
        family: the model family.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        tvm: TVM's version.

    Raises:
        UsageError: if one of them is damaged.
    """
    if family.schedules is None:
        return ChosenDatabases()
    wanted = tuning_target(family, dtype, tvm)
    folders = sorted(path.parent for path in family.schedules.glob(f"*/{TABLE}"))
    found = (read_database(folder) for folder in folders)
    return ChosenDatabases(
        tuple(d for d in found if replace(d.target, model=family.name) == wanted)
    )
