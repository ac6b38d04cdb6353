"""The tuning table: which tile was measured to be fastest for a GEMM problem.

:mod:`wsd.evaluate.tune_kernels` writes it, :mod:`wsd.kernels.heuristics` reads it. The keys are
those of :func:`problem_key`; an entry has one tile for each tuned kind of the registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile
from wsd.kernels.gemm.tiled import GemmTile
from wsd.kernels.problem import GemmProblem

_TABLE = Path(__file__).parent / "h200.json"

TILED_F32 = "gemm_tiled_f32"
SUBGROUP_MATRIX = "gemm_subgroup_matrix"


@dataclass(frozen=True)
class TunedTile:
    """The fastest tile of one kind for a problem.

    Attributes:
        tile: the tile.
        ms: milliseconds of GPU time that the kernel took with it.
    """

    tile: GemmTile | SubgroupMatrixTile
    ms: float


# Problem key → name of the kind of variant → the fastest tile.
TuningTable = dict[str, dict[str, TunedTile]]


@dataclass(frozen=True)
class TunedAdapter:
    """The GPU that a table was measured on, as WebGPU's ``GPUAdapterInfo`` names it."""

    vendor: str
    architecture: str
    description: str


def problem_key(problem: GemmProblem) -> str:
    """Return a problem's key in the table: what decides which tile is fastest.

    It has the kind (``linear``, or ``conv`` with kernel and stride), M x N x K and the dtype of
    the weights, such as ``conv3s1 1024x640x5760 float16``.
    """
    conv = problem.conv
    kind = f"conv{conv.kernel}s{conv.stride}" if conv else "linear"
    return f"{kind} {problem.m}x{problem.n}x{problem.k} {problem.weights}"


def tuned_tile(problem: GemmProblem) -> GemmTile | None:
    """Return the fastest tile of the tiled float32 kernel; None if it was not measured."""
    found = _find(problem).get(TILED_F32)
    return found.tile if found and isinstance(found.tile, GemmTile) else None


def tuned_subgroup_matrix_tile(problem: GemmProblem) -> SubgroupMatrixTile | None:
    """Return the fastest tile of the subgroup matrix kernel; None if it was not measured."""
    found = _find(problem).get(SUBGROUP_MATRIX)
    return found.tile if found and isinstance(found.tile, SubgroupMatrixTile) else None


def _find(problem: GemmProblem) -> Mapping[str, TunedTile]:
    """Return what was measured of a problem; of int4 weights else what was measured of int8."""
    own = _table().get(problem_key(problem))
    if own is None and problem.weights == "int4":
        own = _table().get(problem_key(replace(problem, weights="int8")))
    return own or {}


def tuned_problem_keys() -> list[str]:
    """Return the keys of all problems that the table has."""
    return list(_table())


@cache
def _table() -> TuningTable:
    return read_tuning_table(_TABLE)


def read_tuning_table(path: Path) -> TuningTable:
    """Return the entries of a table's file; none if there is no such file.

    Raises:
        KeyError: if the file has a kind of variant that is not tuned.
        TypeError: if a tile has fields that its kind does not have.
    """
    if not path.is_file():
        return {}
    return {
        key: {kind: _read_entry(kind, best) for kind, best in kinds.items()}
        for key, kinds in json.loads(path.read_text(encoding="utf-8"))["gemm_problems"].items()
    }


def _read_entry(kind: str, entry: dict[str, object]) -> TunedTile:
    fields = entry["parameters"]
    assert isinstance(fields, dict)
    assert isinstance(entry["ms"], float | int)
    tile: GemmTile | SubgroupMatrixTile
    if kind == TILED_F32:
        tile = GemmTile(**fields)
    elif kind == SUBGROUP_MATRIX:
        tile = SubgroupMatrixTile(**{**fields, "fragment": tuple(fields["fragment"])})
    else:
        raise KeyError(kind)
    return TunedTile(tile, entry["ms"])


def write_tuning_table(
    path: Path, adapter: TunedAdapter, table: Mapping[str, Mapping[str, TunedTile]]
) -> None:
    """Write a table as JSON, one problem a line, sorted; problems without a tile are left out.

    Args:
        path: the file, which is replaced.
        adapter: the GPU that the tiles were measured on.
        table: key of a problem → name of a kind of variant → its fastest tile.

    Raises:
        OSError: if the file cannot be written.
    """
    lines = ",\n".join(
        f"  {json.dumps(key)}: {json.dumps(_entries(kinds))}"
        for key, kinds in sorted(table.items())
        if kinds
    )
    head = f'"adapter": {json.dumps(asdict(adapter))},\n "gemm_problems": '
    path.write_text(f"{{\n {head}{{\n{lines}\n }}\n}}\n")


def _entries(kinds: Mapping[str, TunedTile]) -> dict[str, dict[str, object]]:
    return {kind: {"parameters": asdict(best.tile), "ms": best.ms} for kind, best in kinds.items()}
