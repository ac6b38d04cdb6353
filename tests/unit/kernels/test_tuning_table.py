"""The tuning table: its file, its keys, and what is read from it."""

import json

import pytest

from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile, fits_subgroup_matrix
from wsd.kernels.gemm.tiled import GemmTile, fits
from wsd.kernels.heuristics import choose_tiled_f32
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.registry import TUNED_KINDS
from wsd.kernels.tuning import table
from wsd.kernels.tuning.table import (
    SUBGROUP_MATRIX,
    TILED_F32,
    TunedAdapter,
    TunedTile,
    problem_key,
    read_tuning_table,
    tuned_problem_keys,
    tuned_subgroup_matrix_tile,
    tuned_tile,
    write_tuning_table,
)

LINEAR = GemmProblem(8192, 320, 1280, "int8")
CONV = GemmProblem(1024, 640, 5760, "float16", Conv2d(1, 64, 64, 640, 32, 32, 3, 2, 1))
ADAPTER = TunedAdapter("nvidia", "hopper", "a GPU")
TILED = TunedTile(GemmTile(128, 64, 16, 8, 8, split_k=4), 0.25)
MATRIX = TunedTile(
    SubgroupMatrixTile(64, 32, 64, 2, 1, fragment=(16, 8, 16), subgroup_size=16), 0.125
)


def test_key_names_what_decides_how_fast_a_tile_is():
    assert problem_key(LINEAR) == "linear 8192x320x1280 int8"
    assert problem_key(CONV) == "conv3s2 1024x640x5760 float16"


def test_int4_takes_the_tile_of_int8_where_it_was_not_measured():
    keys = [key for key in tuned_problem_keys() if key.startswith("linear") and "int8" in key]
    m, n, k = map(int, keys[0].split()[1].split("x"))
    tile = tuned_tile(GemmProblem(m, n, k, "int8"))
    assert tile is not None
    assert tuned_tile(GemmProblem(m, n, k, "int4")) == tile


def test_what_is_written_is_read(tmp_path):
    entries = {
        problem_key(CONV): {TILED_F32: TILED, SUBGROUP_MATRIX: MATRIX},
        problem_key(LINEAR): {TILED_F32: TILED},
    }
    path = tmp_path / "table.json"
    write_tuning_table(path, ADAPTER, entries)
    assert read_tuning_table(path) == entries
    assert json.loads(path.read_text())["adapter"]["architecture"] == "hopper"


def test_problems_are_sorted_a_line_each_and_those_without_a_tile_left_out(tmp_path):
    path = tmp_path / "table.json"
    write_tuning_table(
        path, ADAPTER, {"b": {TILED_F32: TILED}, "a": {TILED_F32: TILED}, "failed": {}}
    )
    keys = [line.split('"')[1] for line in path.read_text().splitlines() if "split_k" in line]
    assert keys == ["a", "b"]
    assert "failed" not in path.read_text()


def test_table_that_does_not_exist_has_no_entries(tmp_path):
    assert read_tuning_table(tmp_path / "missing.json") == {}


def test_unknown_kind_is_an_error(tmp_path):
    path = tmp_path / "table.json"
    path.write_text('{"gemm_problems": {"a": {"gemv": {"parameters": {}, "ms": 1}}}}')
    with pytest.raises(KeyError, match="gemv"):
        read_tuning_table(path)


def test_tiles_of_a_problem_are_found_by_its_key(monkeypatch):
    entries = {
        problem_key(CONV): {TILED_F32: TILED, SUBGROUP_MATRIX: MATRIX},
        problem_key(LINEAR): {TILED_F32: TILED},
    }
    monkeypatch.setattr(table, "_table", lambda: entries)
    assert tuned_tile(CONV) == TILED.tile
    assert tuned_subgroup_matrix_tile(CONV) == MATRIX.tile
    assert tuned_subgroup_matrix_tile(LINEAR) is None
    assert tuned_tile(GemmProblem(1, 1, 1)) is None


def test_kinds_are_those_that_the_registry_tunes():
    kinds = {kind.name: kind.parameters for kind in TUNED_KINDS}
    assert kinds == {TILED_F32: GemmTile, SUBGROUP_MATRIX: SubgroupMatrixTile}


def shipped_entries():
    for key, kinds in read_tuning_table(table._TABLE).items():
        kind, extents, weights = key.split()
        m, n, k = map(int, extents.split("x"))
        conv = None
        if kind != "linear":
            kernel, stride = int(kind[4]), int(kind[6])
            channels = k // kernel**2
            conv = Conv2d(1, m * stride, stride, channels, m, 1, kernel, stride, kernel // 2)
        yield GemmProblem(m, n, k, weights, conv), kinds


def test_every_tile_of_the_shipped_table_fits_its_problem():
    entries = list(shipped_entries())
    assert len(entries) > 100
    for problem, kinds in entries:
        assert kinds
        for best in kinds.values():
            fit = fits if isinstance(best.tile, GemmTile) else fits_subgroup_matrix
            assert fit(problem, best.tile), problem_key(problem)
            assert best.ms > 0


def test_selection_reads_the_shipped_table():
    found = {
        problem: kinds[TILED_F32] for problem, kinds in shipped_entries() if TILED_F32 in kinds
    }
    assert found
    for problem, best in found.items():
        assert choose_tiled_f32(problem)[0] == best.tile
