"""A compiled library: its contents, and how it is written and read.

The library knows shapes and not weights, so that every checkpoint of an architecture shares it.
This module needs no compiler: with a library that was compiled elsewhere (``wsd compile``), a
bundle of other weights is built without TVM.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from wsd.errors import UsageError
from wsd.kernels.problem import GemmProblem
from wsd.kernels.serialize import KernelTable
from wsd.models.family import Family
from wsd.spec.manifest import EntryPoint
from wsd.spec.parameter import Parameter
from wsd.spec.tensor import Size
from wsd.supply_chain.material import Material
from wsd.util.contents import find_damage
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.json_reader import MAX_SHADER_BYTES, MAX_SHADER_MARKS, read_json
from wsd.util.typed_json import validate

_WASM = "library.wasm"
_TABLE = "library.json"
_HINT = "name a folder that `wsd compile` of this version of WSD wrote"


@dataclass(frozen=True)
class Library:
    """A compiled library in a folder.

    Attributes:
        folder: where its files are.
        architecture: digest of the components that it was compiled for.
        described: what that digest is of, by name: see :func:`describe_architecture`.
        sizes: (width, height) in pixels of the pictures that it can draw.
        dtype: precision of the weights, one of :data:`wsd.spec.precision.DTYPES`.
        entry_points: its functions.
        parameters: component id → the parameters that its functions read, in the order of the
            params tuple.
        storage_buffers: the most storage buffers that one kernel binds.
        shaders: kernel name → WGSL.
        variants: hand-written kernels that may run in place of the generated ones.
        gemm_problems: the GEMM problems among the kernels with variants, which
            :mod:`wsd.evaluate.tune_kernels` tunes.
        toolchain: versions of the tools that made it.
        materials: every package and source that it was made with.
        tvmjs: folder of tvmjs's TypeScript sources, which the page is bundled with; None for a
            library that was read from a folder (it may have come with a page). It is not
            written to the library's table.
    """

    # pydantic refuses a table with other fields, which another version of WSD wrote.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    folder: Path
    architecture: str
    described: dict[str, str]
    sizes: tuple[Size, ...]
    dtype: str
    entry_points: tuple[EntryPoint, ...]
    parameters: dict[str, tuple[Parameter, ...]]
    storage_buffers: int
    shaders: dict[str, str]
    variants: KernelTable
    gemm_problems: tuple[GemmProblem, ...]
    toolchain: dict[str, str]
    materials: tuple[Material, ...]
    tvmjs: Path | None = None

    @property
    def wasm(self) -> Path:
        """Return the linked module's path."""
        return self.folder / _WASM

    def entries(self, role: str, size: Size | None = None) -> list[EntryPoint]:
        """Return the functions of a role that serve a picture size."""
        return [e for e in self.entry_points if e.role == role and e.size in (None, size)]

    @property
    def page_folder(self) -> Path:
        """Return where the page is, if the library came with one (``wsd compile``)."""
        return self.folder / "page"


def describe_architecture(family: Family) -> dict[str, str]:
    """Return everything about a family that its entry points depend on, as name → JSON.

    The names are those of a configuration's keys, such as ``unet.attention_head_dim``. Families
    that differ in data alone (weights, scheduler, defaults) are described alike.
    """
    conditioning = family.conditioning
    parts: dict[str, object] = {
        "architecture": family.architecture.name,
        "components": {c.id: c.role for c in family.components},
        "encoders": [asdict(encoder) for encoder in conditioning.encoders],
        "join": conditioning.join,
        **({"room": conditioning.room} if conditioning.room else {}),
        **{f"{c.id}.{key}": value for c in family.components for key, value in c.config.items()},
    }
    return {name: canonical_json(value).decode().strip() for name, value in parts.items()}


def architecture(family: Family) -> str:
    """Return the digest of :func:`describe_architecture`."""
    return sha256_bytes(canonical_json(describe_architecture(family)))


def write_library(library: Library) -> None:
    """Write a library's table beside its WebAssembly module."""
    table = _codec().dump_python(library, mode="json", exclude={"folder", "tvmjs"})
    table["wasm_sha256"] = sha256_file(library.wasm)
    write_atomically(library.folder / _TABLE, canonical_json(table))


def open_library(folder: Path) -> Library:
    """Read a library that ``wsd compile`` wrote, if each of its files is as it was written.

    Args:
        folder: what was the ``--out`` of ``wsd compile``.

    Raises:
        UsageError: if one is not, or if the folder holds no library of this version of WSD.
    """
    damage = find_damage(folder)
    if damage is not None:
        raise UsageError(f"{folder} is no library, or damaged: {damage}", _HINT)
    return read_library(folder)


def read_library(folder: Path) -> Library:
    """Read a library's table.

    Args:
        folder: holds the table and what it names.

    Raises:
        UsageError: if the folder holds no library of this version of WSD.
    """
    path = folder / _TABLE
    table = read_json(
        path, UsageError, _HINT, max_bytes=MAX_SHADER_BYTES, max_marks=MAX_SHADER_MARKS
    )
    try:
        digest = table.pop("wasm_sha256")
        # It is passed as JSON, because pydantic's strict mode takes a list for a tuple only there.
        # The folder's name need not be UTF-8, as JSON is.
        read = validate(json.dumps({**table, "folder": "."}), _codec())
        library = replace(read, folder=folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is of another version of WSD", _HINT) from error
    if not library.wasm.is_file() or sha256_file(library.wasm) != digest:
        raise UsageError(f"{library.wasm} is missing or damaged", "compile it again, or copy it")
    return library


@functools.cache
def _codec() -> TypeAdapter[Library]:
    """Return what converts libraries to JSON and back, with every field's type checked."""
    return TypeAdapter(Library)


def find_tvmjs(library: Library) -> Path:
    """Return the folder of tvmjs's sources, to bundle a page with.

    Raises:
        UsageError: if the library was read from a folder, which should have the page.
    """
    if library.tvmjs is None:
        raise UsageError(f"{library.folder} holds a library without its page", _HINT)
    return library.tvmjs
