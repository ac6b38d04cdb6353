"""Further tiles: which problems of large models have some, and that they never run by default."""

import json
from collections import Counter

import pytest

from matches import GOLDEN, read_problem
from workgroup_memory import USUAL_SHARED_BYTES
from wsd.kernels.conv.winograd import is_winograd_conv, winograd_products
from wsd.kernels.gemm.loads import TileLoads
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile, subgroup_matrix_gemm
from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, NormSumsProblem
from wsd.kernels.registry import GEMM_SUBGROUP_MATRIX, GEMM_TILED_F32, KINDS, kinds_for
from wsd.kernels.select import default_variants, further_variants, select_variants
from wsd.kernels.tuning import further_tiles
from wsd.kernels.tuning.further_tiles import (
    MOST_FURTHER,
    TILES_F16,
    TILES_F32,
    TILES_MATRIX,
    is_negligible,
)
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES, BASELINE_MAX_THREADS

# Of the largest tile on matrix units. The rule `shared-memory` refuses it where there is less.
MATRIX_SHARED_BYTES = 40960
# Of one version of TVM: both versions' problems are the same.
TABLES = sorted(GOLDEN.glob("matches-*.json"))[1::2]
LINEAR = GemmProblem(4096, 640, 640, "float16")
CONV = GemmProblem(4096, 640, 9 * 320, "float16", Conv2d(1, 64, 64, 320, 64, 64, 3, 1, 1))
ATTENTION = AttentionProblem(2, 4096, 4096, 8, 40, 0.158)
PROBLEMS = {"linear": LINEAR, "convolution": CONV, "attention": ATTENTION}


def entries(path):
    """Yield dtype, problem, functions and calls of a table's kernels."""
    for dtype, table in json.loads(path.read_text(encoding="utf-8")).items():
        for entry in table["matched"]:
            if entry["variants"] and entry["launches"]:
                yield dtype, read_problem(entry["problem"]), entry["functions"], entry["calls"]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_further_tiles_fit_and_are_few_and_others_than_the_default_ones(path):
    counts = Counter()
    for _, problem, *_ in entries(path):
        for kind in kinds_for(problem):
            chosen, further = kind.choose(problem), kind.further(problem)
            assert len(set(further)) == len(further) <= MOST_FURTHER
            assert not set(further) & set(chosen)
            assert all(kind.accepts(problem, tile) for tile in further)
            # Reports tell tiles apart by their labels.
            labels = [tile.label for tile in {*chosen, *further} if tile is not None]
            assert len(set(labels)) == len(labels)
            counts[kind.name, bool(further)] += bool(chosen)
    kinds = {kind.name for kind in KINDS if counts[kind.name, True]}
    assert "gemm_tiled_f32" in kinds
    assert not any(name.startswith(("gemv", "norm_sums")) for name in kinds)


def test_each_tile_is_one_of_some_problem_of_a_large_model():
    problems = {problem for path in TABLES for _, problem, *_ in entries(path)}
    found = {
        tile
        for problem in problems
        for kind in kinds_for(problem)
        for tile in kind.further(problem)
    }
    assert {*TILES_F32, *TILES_F16, *TILES_MATRIX} <= found


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_problems_with_further_tiles_have_nearly_all_operations_of_a_model(path):
    operations, functions = Counter(), Counter()
    for dtype, problem, count, calls in entries(path):
        if isinstance(problem, NormSumsProblem):
            continue
        assert is_negligible(problem) == (problem.operations < 2**30)
        operations[dtype, is_negligible(problem)] += calls * problem.operations
        functions[dtype, is_negligible(problem)] += count
    for dtype in {dtype for dtype, _ in operations}:
        share = operations[dtype, False] / (operations[dtype, False] + operations[dtype, True])
        assert share > 0.98
        assert functions[dtype, True] > 0.15 * functions[dtype, False]


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_they_come_behind_all_others_and_say_so(problem):
    default, further = default_variants(problem), further_variants(problem)
    assert select_variants(problem) == [*default, *further]
    assert further
    assert not any(variant.tuning_only for variant in default)
    for variant in further:
        assert variant.tuning_only
        assert variant.tile
        assert variant.name in {each.name for each in default}
        assert variant.threads <= BASELINE_MAX_THREADS
        most = MATRIX_SHARED_BYTES if variant.subgroup_matrix else USUAL_SHARED_BYTES
        assert variant.shared_bytes <= most


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_each_adapter_has_one_that_it_can_run(problem):
    smallest = {True: {}, False: {}}
    for variant in further_variants(problem):
        by_name = smallest[variant.subgroup_matrix is not None]
        least = by_name.get(variant.name, variant.shared_bytes)
        by_name[variant.name] = min(least, variant.shared_bytes)
    assert max(smallest[False].values()) <= BASELINE_MAX_SHARED_BYTES
    assert max(smallest[True].values()) <= USUAL_SHARED_BYTES


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_in_float32_they_share_the_heads_of_the_default_ones(problem):
    def heads(variants):
        names = ("gemm_tiled_f32", "conv_winograd_f32", "attention_flash")
        return {x.head for v in variants if v.name in names for x in v.launches}

    assert heads(further_variants(problem)) <= heads(default_variants(problem))


def test_a_problem_of_few_operations_has_none():
    rows = further_tiles.MIN_FURTHER_OPERATIONS // (2 * 640 * 640)
    assert further_variants(GemmProblem(rows + 1, 640, 640, "float16"))
    assert further_variants(GemmProblem(rows, 640, 640, "float16")) == []
    assert further_variants(NormSumsProblem(2, 1 << 20, 32, 40, centered=False)) == []


def test_a_convolution_by_winograd_has_tiles_for_winograds_products_alone():
    assert is_winograd_conv(CONV)
    assert {variant.name for variant in further_variants(CONV)} == {
        "conv_winograd_subgroup_matrix", "conv_winograd_f16", "conv_winograd_f32",
    }  # fmt: skip
    assert {variant.name for variant in further_variants(LINEAR)} == {
        "gemm_subgroup_matrix", "gemm_tiled_f16", "gemm_tiled_f32",
    }  # fmt: skip


def test_large_tiles_need_workgroups_and_no_tile_leaves_most_of_itself_idle():
    def tiles(m, n, k):
        return {(tile.m, tile.n) for tile in GEMM_TILED_F32.further(GemmProblem(m, n, k))}

    assert (128, 128) in tiles(1024, 512, 2048)  # 32 workgroups
    assert (128, 128) not in tiles(1024, 384, 2048)  # 24 of them
    assert (32, 32) in tiles(1024, 384, 2048)
    # 154 rows are two tiles of 128, of which a third is idle, or five of 32.
    assert {down for down, _ in tiles(154, 8192, 640)} == {32}


def test_they_are_tiles_that_developers_tune_too():
    assert {*TILES_F32} <= {*GEMM_TILED_F32.candidates(LINEAR)}
    assert {*TILES_MATRIX} <= {*GEMM_SUBGROUP_MATRIX.candidates(LINEAR)}


def test_threads_share_the_loads_of_every_tile_equally():
    products = winograd_products(CONV, is_f16=True)
    for tile in (*TILES_F32, *TILES_F16, *TILES_MATRIX):
        for problem in (LINEAR, CONV, products):
            loads = TileLoads.of(problem, tile)
            assert loads.threads % loads.k_vectors == 0
            assert loads.tile_m % loads.row_stride == loads.tile_n % loads.row_stride == 0


def test_matrix_tiles_have_whole_fragments_and_loads_in_one_array_each():
    kind = GEMM_SUBGROUP_MATRIX
    for tile in (*TILES_MATRIX, *kind.candidates(LINEAR), *kind.choose(LINEAR)):
        assert tile.part_rows % tile.fragment_m == tile.part_rows % tile.fragment_n == 0
        assert tile.part_rows % TileLoads.of(LINEAR, tile).row_stride == 0


def test_a_matrix_tile_whose_loads_would_cross_arrays_is_refused():
    with pytest.raises(AssertionError, match="no single array"):
        subgroup_matrix_gemm(LINEAR, SubgroupMatrixTile(64, 128, 16, 2, 4))
