"""A compiled library: what it holds, and how it is written and read.

The library knows shapes and not weights, so every checkpoint of an architecture
shares it. Nothing here needs a compiler: with a library that was compiled
elsewhere (``wsd compile``), a bundle of other weights is built without one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsd.errors import UsageError
from wsd.kernels.problem import GemmProblem, read_gemm_problem
from wsd.models.registry import Family
from wsd.spec.parameter import Parameter
from wsd.spec.tensor import Size, TensorSpec
from wsd.supply_chain.materials import Material, read_material
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file

_WASM = "library.wasm"
_TABLE = "library.json"
_HINT = "name a folder that `wsd compile` of this version of WSD wrote"


@dataclass(frozen=True)
class EntryPoint:
    """One function of the library.

    Attributes:
        name: what the browser looks up.
        role: one of :data:`wsd.spec.roles.ROLES`.
        component: whose parameters it takes as its last argument, or None.
        size: (width, height) of the picture in pixels, or None where it does
            not matter.
        inputs: tensors it takes, in order.
        outputs: tensors it returns, in order.
        kernels: names of the shaders that it runs.
        workspace_bytes: of the buffers that one call works in, outputs included.
        largest_buffer_bytes: of the largest of them.
        dispatches: shaders that one call runs.
        operations: floating-point operations of one call, as TVM counts them.
    """

    name: str
    role: str
    component: str | None
    size: Size | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    kernels: tuple[str, ...] = ()
    workspace_bytes: int = 0
    largest_buffer_bytes: int = 0
    dispatches: int = 0
    operations: int = 0


@dataclass(frozen=True)
class Library:
    """A compiled library in a folder.

    Attributes:
        folder: where its files are.
        architecture: digest of the components that it was compiled for.
        sizes: (width, height) of its pictures in pixels.
        dtype: how it takes its weights, one of :data:`wsd.spec.precision.DTYPES`.
        entry_points: its functions.
        parameters: component → those that it reads, in the order of its params tuple.
        storage_buffers: the most that one kernel binds.
        shaders: kernel name → WGSL.
        variants: what may run in their place (:func:`wsd.kernels.serialize.variant_table`).
        gemm_problems: the GEMM problems among the kernels with variants, which
            :mod:`wsd.evaluate.tune_kernels` tunes.
        toolchain: versions of the tools that made it.
        materials: every package and source that it was made with.
    """

    folder: Path
    architecture: str
    sizes: tuple[Size, ...]
    dtype: str
    entry_points: tuple[EntryPoint, ...]
    parameters: dict[str, tuple[Parameter, ...]]
    storage_buffers: int
    shaders: dict[str, str]
    variants: dict[str, Any]
    gemm_problems: tuple[GemmProblem, ...]
    toolchain: dict[str, str]
    materials: tuple[Material, ...]

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


def architecture(family: Family) -> str:
    """Return a digest of everything about a family that its library depends on.

    Families that differ in data alone (weights, scheduler, defaults) share it.
    """
    components = {c.name: [c.role, c.hidden_state, dict(c.config)] for c in family.components}
    return sha256_bytes(
        canonical_json({"components": components, "vae_scale_factor": family.vae_scale_factor})
    )


def write_library(library: Library) -> None:
    """Write a library's table beside its WebAssembly module."""
    table = asdict(library)
    del table["folder"]
    table["wasm_sha256"] = sha256_file(library.wasm)
    write_atomically(library.folder / _TABLE, canonical_json(table))


def read_library(folder: Path) -> Library:
    """Read a library's table.

    Raises:
        UsageError: if the folder holds no library of this version of WSD.
    """
    try:
        table = json.loads((folder / _TABLE).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no compiled library ({error})", _HINT) from error
    try:
        library = Library(
            folder=folder,
            architecture=table["architecture"],
            sizes=tuple((width, height) for width, height in table["sizes"]),
            dtype=table["dtype"],
            entry_points=tuple(_entry_point(entry) for entry in table["entry_points"]),
            parameters={
                component: tuple(
                    Parameter(r["name"], tuple(r["shape"]), r["storage"], r["channels_last"])
                    for r in records
                )
                for component, records in table["parameters"].items()
            },
            storage_buffers=table["storage_buffers"],
            shaders=table["shaders"],
            variants=table["variants"],
            gemm_problems=tuple(read_gemm_problem(item) for item in table["gemm_problems"]),
            toolchain=table["toolchain"],
            materials=tuple(read_material(item) for item in table["materials"]),
        )
        digest = table["wasm_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{folder / _TABLE} is of another version of WSD", _HINT) from error
    if not library.wasm.is_file() or sha256_file(library.wasm) != digest:
        raise UsageError(f"{library.wasm} is missing or damaged", "compile it again, or copy it")
    return library


def check_library(library: Library, family: Family) -> None:
    """Refuse a library of another architecture than a family's.

    Raises:
        UsageError: if they do not belong together.
    """
    if library.architecture != architecture(family):
        raise UsageError(
            f"{library.folder} was not compiled for {family.name}",
            f"compile one with: wsd compile --model {family.name} --out DIR",
        )


def _entry_point(entry: dict[str, Any]) -> EntryPoint:
    read = {
        "size": tuple(entry["size"]) if entry["size"] else None,
        "inputs": _specs(entry["inputs"]),
        "outputs": _specs(entry["outputs"]),
        "kernels": tuple(entry["kernels"]),
    }
    return EntryPoint(**{**entry, **read})


def _specs(items: Sequence[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(i["name"], tuple(i["shape"]), i["dtype"]) for i in items)
