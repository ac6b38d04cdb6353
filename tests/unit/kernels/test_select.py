"""The registry selects for every problem of large models what the kept tables say."""

import json
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from matches import GOLDEN, describe_selection, read_problem
from workgroup_memory import USUAL_SHARED_BYTES
from wsd.kernels import heuristics
from wsd.kernels.attention.one_pass import MAX_PACKED_BYTES
from wsd.kernels.conv.winograd import winograd_products, winograd_tiles
from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, NormSumsProblem
from wsd.kernels.registry import kind_named, kinds_for
from wsd.kernels.select import default_variants
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES, BASELINE_MAX_THREADS

TABLES = sorted(GOLDEN.glob("matches-*.json"))


def entries(path):
    for dtype, table in json.loads(path.read_text()).items():
        for entry in table["matched"]:
            yield dtype, entry


def test_the_tables_of_each_architecture_are_there():
    models = {path.name.split("-tvm-")[0] for path in TABLES}
    assert models == {"matches-sd15", "matches-sdxl", "matches-sd35-medium"}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_problem_gets_the_variants_of_the_table(path):
    changed = [
        (dtype, entry["problem"], entry["variants"], found)
        for dtype, entry in entries(path)
        if (found := describe_selection(read_problem(entry["problem"]))) != entry["variants"]
    ]
    assert not changed, f"{len(changed)} changed, first: {changed[0]}; if meant: nox -s golden"


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_last_variant_of_every_problem_runs_on_any_adapter(path):
    # What a variant requires depends on its parameters, and for some on the row's length.
    problems = {
        (entry["variants"][-1], problem.get("head_dim"), problem.get("channels_per_group")): problem
        for _, entry in entries(path)
        if entry["variants"]
        for problem in [entry["problem"]]
    }
    assert len(problems) > 10
    for problem in map(read_problem, problems.values()):
        kind = [kind for kind in kinds_for(problem) if kind.choose(problem)][-1]
        last = kind.variant(problem, kind.choose(problem)[-1])
        assert last.features == ()
        assert last.subgroup_matrix is last.subgroup_size is None
        assert last.threads <= BASELINE_MAX_THREADS
        assert last.shared_bytes <= BASELINE_MAX_SHARED_BYTES, problem


def names(problem):
    return [variant.name for variant in default_variants(problem)]


def conv(channels, out_channels, extent=64, weights="float16"):
    shape = Conv2d(1, extent, extent, channels, extent, extent, 3, 1, 1)
    return GemmProblem(extent * extent, out_channels, 9 * channels, weights, shape)


def test_a_small_gemm_keeps_the_generated_kernel():
    m = 64
    n = heuristics.MIN_OPERATIONS // (2 * m * 64)
    assert names(GemmProblem(m, n, 64))
    assert names(GemmProblem(m, n - 1, 64)) == []


def test_few_rows_of_a_linear_layer_take_gemv():
    gemv = ["gemv_subgroups", "gemv_workgroup_sum"]
    assert names(GemmProblem(heuristics.MIN_TILED_M - 1, 1280, 1280, "int8")) == gemv
    assert names(GemmProblem(heuristics.MIN_TILED_M, 1280, 1280, "int8"))[0].startswith("gemm_")
    assert names(GemmProblem(1, 1280, 1278)) == []  # K is not a multiple of a vector


def test_f32_weights_have_no_f16_kernel():
    assert names(GemmProblem(4096, 640, 640, "float16")) == [
        "gemm_subgroup_matrix", "gemm_tiled_f16", "gemm_tiled_f32", "gemm_tiled_f32",
    ]  # fmt: skip
    assert "gemm_tiled_f16" not in names(GemmProblem(4096, 640, 640, "float32"))


def test_convolutions_next_to_the_picture_sum_in_f32():
    channels = heuristics.MIN_F16_CONV_CHANNELS
    assert "gemm_tiled_f16" in names(conv(320, channels))
    assert "gemm_tiled_f16" not in names(conv(320, channels - 64))


WINOGRAD = ("conv_winograd_subgroup_matrix", "conv_winograd_f16", "conv_winograd_f32")
WITH_SCRATCH = ("attention_one_pass", *WINOGRAD)


def test_wide_convolutions_run_by_winograd():
    assert names(conv(320, 640)) == [
        "conv_winograd_subgroup_matrix", "gemm_subgroup_matrix",
        "conv_winograd_f16", "gemm_tiled_f16",
        "conv_winograd_f32", "conv_winograd_f32", "gemm_tiled_f32", "gemm_tiled_f32",
    ]  # fmt: skip
    assert "conv_winograd_f16" not in names(conv(320, 640, weights="float32"))
    assert "conv_winograd_f16" not in names(conv(320, heuristics.MIN_F16_CONV_CHANNELS - 64))


@pytest.mark.parametrize("swapped", [False, True])
def test_winograd_takes_convolutions_of_enough_channels(swapped):
    def chosen(channels):
        pair = (channels, 320) if swapped else (320, channels)
        return [name for name in WINOGRAD if name in names(conv(*pair))]

    matrix, least = heuristics.MIN_WINOGRAD_MATRIX_CHANNELS, heuristics.MIN_WINOGRAD_CHANNELS
    assert chosen(matrix) == ["conv_winograd_subgroup_matrix", "conv_winograd_f32"]
    assert chosen(matrix - 64) == ["conv_winograd_f32"]
    assert chosen(least) == ["conv_winograd_f32"]
    assert chosen(least - 64) == []


def test_winograd_takes_convolutions_of_enough_pixels():
    side = 32
    rows = heuristics.MIN_WINOGRAD_ROWS // side

    def problem(height):
        shape = Conv2d(1, height, side, 320, height, side, 3, 1, 1)
        return GemmProblem(height * side, 640, 2880, "float16", shape)

    assert set(WINOGRAD) <= set(names(problem(rows)))
    assert not set(WINOGRAD) & set(names(problem(rows - 1)))


@pytest.mark.parametrize(
    "changed",
    [
        {"kernel": 1, "padding": 0},
        {"stride": 2, "out_height": 32, "out_width": 32},
        {"padding": 0, "out_height": 62, "out_width": 62},
    ],
    ids=["1x1", "stride", "padding"],
)
def test_winograd_takes_only_windows_of_3x3_with_stride_and_padding_1(changed):
    shape = replace(Conv2d(1, 64, 64, 640, 64, 64, 3, 1, 1), **changed)
    rows = shape.out_height * shape.out_width
    found = names(GemmProblem(rows, 640, shape.kernel**2 * 640, "float16", shape))
    assert found
    assert not set(WINOGRAD) & set(found)


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES[1::2], ids=lambda path: path.stem)
def test_scratch_buffers_stay_small_and_chunks_share_their_shaders(path):
    totals = [0, 0, 0]
    problems = {read_problem(entry["problem"]) for _, entry in entries(path)}
    found = Counter()
    for kind, problem in product(map(kind_named, WITH_SCRATCH), problems):
        for tile in kind.choose(problem) if isinstance(problem, kind.problem) else ():
            variant = kind.variant(problem, tile)
            totals = [max(pair) for pair in zip(totals, variant.scratch_bytes, strict=True)]
            shaders = {launch.head + launch.body for launch in variant.launches}
            # Keys and values are packed by one.
            most = 3 if kind.problem is AttentionProblem else 4
            assert len(shaders) == most
            found[kind.name] += 1
    assert set(found) >= {"attention_one_pass", "conv_winograd_f32"}
    assert 0 < max(totals) < 128 << 20  # the default of maxStorageBufferBindingSize
    assert sum(totals) <= 192 << 20


def test_chunks_cover_every_tile_once():
    for edge in (512, 520, 1000, 1024):
        problem = conv(256, 128, edge)
        variants = [v for v in default_variants(problem) if v.name == "conv_winograd_f32"]
        assert len(variants) == 2
        chunk, tiles = winograd_products(problem, is_f16=False).m, (edge // 2) ** 2
        assert winograd_tiles(problem) == tiles
        assert chunk % 128 == 0
        for variant in variants:
            firsts = [x.uniform for x in variant.launches if x.uniform is not None]
            assert firsts[::2] == firsts[1::2] == list(range(0, tiles, chunk))
            # Hardly any rows of the last chunk are idle.
            assert len(firsts[::2]) * chunk < 1.01 * tiles
    assert winograd_products(conv(320, 320), is_f16=True).m == 32 * 32


def test_a_convolution_of_odd_channels_keeps_the_generated_kernel():
    # No tile's K divides the 6 channels of one tap.
    assert names(conv(6, 640, extent=512)) == []


def test_attention_of_an_untimed_head_dim():
    assert names(AttentionProblem(1, 4096, 4096, 8, 40, 0.1))[-1] == "attention_flash"
    assert names(AttentionProblem(1, 4096, 4096, 8, 44, 0.1)) == []
    assert names(AttentionProblem(1, 8, 8, 1, 40, 0.1)) == []  # too few operations


def test_attention_of_few_keys_passes_over_them_twice():
    least = heuristics.MIN_ONE_PASS_KEYS
    matrix = ["attention_subgroup_matrix", "attention_flash"]
    assert names(AttentionProblem(1, 4096, least, 8, 16, 0.1)) == ["attention_one_pass", *matrix]
    assert names(AttentionProblem(1, 4096, least - 1, 8, 16, 0.1)) == matrix
    # So does one whose packed keys would have more bytes than a scratch buffer may.
    keys = MAX_PACKED_BYTES // (2 * 2 * 24 * 64) // 32 * 32
    assert names(AttentionProblem(2, 512, keys, 24, 64, 0.1))[0] == "attention_one_pass"
    assert "attention_one_pass" not in names(AttentionProblem(2, 512, keys + 32, 24, 64, 0.1))


def test_attention_with_a_bias_is_computed_in_f32():
    """As T5's, of 256 tokens and 64 heads."""
    buffers = ("result", "q", "k", "v", "bias")
    problem = AttentionProblem(1, 256, 256, 64, 64, 1.0, bias=True, buffers=buffers)
    assert set(names(problem)) == {"attention_flash"}
    for variant in default_variants(problem):
        [launch] = variant.launches
        assert launch.buffers == buffers


def test_norm_statistics_take_rows_of_whole_vectors():
    sums = ["norm_sums_subgroups", "norm_sums_workgroup"]
    assert names(NormSumsProblem(1, 4096, 32, 10, False)) == sums
    assert names(NormSumsProblem(77, 1, 1, 768, True)) == sums
    assert names(NormSumsProblem(77, 1, 1, 766, True)) == []


@pytest.mark.parametrize(
    ("rows", "length", "subgroup_size", "workgroups"),
    [
        # Queries and keys of Stable Diffusion 3.5 at 1024x1024, of a guided step.
        (2 * 24 * 4096, 64, (16, 128), 12288),
        (4096, 4, (1, 128), 16),
        (4096, 252, (32, 128), 512),
        # Long rows, and few ones.
        (4096, 256, (1, 64), 1024),
        (4095, 64, (1, 64), 1024),
    ],
)
def test_many_short_rows_have_few_threads_each(rows, length, subgroup_size, workgroups):
    by_subgroups, by_workgroup = default_variants(NormSumsProblem(rows, 1, 1, length, False))
    assert by_subgroups.subgroup_size == subgroup_size
    assert by_workgroup.subgroup_size is None
    for variant in (by_subgroups, by_workgroup):
        assert variant.launches[0].grid == (workgroups, 1, 1)


def test_split_k_fills_a_gpu_and_no_more():
    problems = [GemmProblem(1024, n, k) for n in (64, 128, 640, 1280) for k in (320, 1280, 5120)]
    splits = set()
    for problem in problems:
        tiles = heuristics.choose_subgroup_matrix(problem)
        assert tiles
        for tile in tiles:
            across, down = problem.grid(tile.m, tile.n)
            splits.add(tile.split_k)
            if tile.split_k > 1:
                assert across * down * tile.split_k <= heuristics.FULL_OCCUPANCY_64X64
                assert problem.k // tile.k >= tile.split_k * heuristics.MIN_STEPS_PER_SPLIT
    assert 1 in splits
    assert max(splits) > 1


def test_a_matrix_tile_of_much_shared_memory_has_one_of_less_behind_it():
    counts = set()
    for n, k in product((640, 1280), (320, 1280, 5120)):
        tiles = heuristics.choose_subgroup_matrix(GemmProblem(1024, n, k))
        sizes = [tile.shared_bytes for tile in tiles]
        assert sizes[-1] <= USUAL_SHARED_BYTES < min(sizes[:-1], default=USUAL_SHARED_BYTES + 1)
        counts.add(len(tiles))
    assert counts == {1, 2}


def test_winograds_products_in_f32_have_a_tile_that_fits_every_adapter():
    rows = heuristics.MIN_WINOGRAD_ROWS_128X128
    large, baseline = heuristics.choose_winograd_f32(conv(128, 128, 512))
    assert (large.m, large.n) == (128, 128)
    assert baseline.shared_bytes <= BASELINE_MAX_SHARED_BYTES
    # One for every 2x2 pixels.
    few, enough = (
        GemmProblem(4 * n, 128, 9 * 128, "float16", Conv2d(1, 4, n, 128, 4, n, 3, 1, 1))
        for n in (rows - 2, rows)
    )
    assert len(heuristics.choose_winograd_f32(few)) == 1
    assert len(heuristics.choose_winograd_f32(enough)) == 2


def test_many_rows_of_a_short_sum_run_on_matrix_units():
    # 65536 tiles of 64 rows are more than a dispatch has.
    rows = 65536 * 64
    assert "gemm_subgroup_matrix" in {v.name for v in default_variants(GemmProblem(rows, 256, 256))}


@pytest.mark.parametrize("edge", [1024, 1536, 2040, 2048])
def test_no_variant_takes_more_workgroups_than_a_dispatch_has(edge):
    problem = conv(128, 128, edge)
    found = default_variants(problem)
    assert all(max(launch.grid) <= 65535 for variant in found for launch in variant.launches)
    # 2048x2048 pixels are 65536 tiles of 64 rows, which the last variant has. Winograd's launches
    # take a chunk of the image each.
    assert len(found) == (4 if edge == 2048 else 5)
