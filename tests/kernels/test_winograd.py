"""Convolutions by Winograd's F(2x2, 3x3) on a GPU, against float64."""

import json
from dataclasses import replace

import pytest
from emulated import emulated
from test_gemm import check, make_operands, multiply, need_shared_memory

from matches import GOLDEN, read_problem
from wsd.evaluate.metrics import relative_error
from wsd.kernels.conv import winograd
from wsd.kernels.conv.winograd import (
    fits_winograd,
    winograd_f16,
    winograd_f32,
    winograd_subgroup_matrix,
)
from wsd.kernels.gemm.f16 import F16Tile
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile
from wsd.kernels.gemm.tiled import GemmTile
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.tuning.further_tiles import TILES_F16, TILES_F32, TILES_MATRIX

ODD = Conv2d(2, 9, 7, 32, 9, 7, 3, 1, 1)
# 169 tiles, which are more than the 128 that a chunk has at least.
MANY_TILES = Conv2d(1, 26, 26, 32, 26, 26, 3, 1, 1)
CONVS = {
    "odd, two images": ODD,
    "even": Conv2d(1, 8, 12, 64, 8, 12, 3, 1, 1),
    "upsample": Conv2d(2, 5, 4, 32, 10, 8, 3, 1, 1, upsample=2),
    "upsample and cut": Conv2d(2, 5, 4, 32, 9, 7, 3, 1, 1, upsample=2),
}
WEIGHTS = ["int4", "int8", "float32"]
F32_TILE, LARGE_F32_TILE = GemmTile(64, 64, 16, 8, 4), GemmTile(128, 64, 16, 8, 8)
F16_TILE = F16Tile(64, 64, 32, 8, 4)
MATRIX_TILE = SubgroupMatrixTile(64, 64, 32, 2, 2)
# Errors of the results: of float32 sums, of short float16 sums, of operands rounded to float16.
F32_LIMIT, F16_LIMIT, MATRIX_LIMIT = 2e-6, 2e-3, 1e-3


def problem_of(conv, weights="float16", n=40):
    rows = conv.batch * conv.out_height * conv.out_width
    return GemmProblem(rows, n, 9 * conv.channels, weights, conv)


def usual_first(values):
    """Return parameters of which `nox -s tests` runs the first, and `nox -s full` all."""
    return [
        pytest.param(value, id=name, marks=pytest.mark.full if number else ())
        for number, (name, value) in enumerate(values.items())
    ]


def check_f32(host, problem, tile=F32_TILE):
    assert fits_winograd(problem, tile)
    check(host, lambda p: winograd_f32(p, tile), problem, F32_LIMIT)


def need_f16(host, problem):
    if not host.supports(winograd_f16(problem, F16_TILE)):
        pytest.skip("not run: the adapter has no shader-f16")


def check_f16(host, problem, tile=F16_TILE):
    need_f16(host, problem)
    check(host, lambda p: winograd_f16(p, tile), problem, F16_LIMIT)


def check_emulated(host, problem):
    variant = winograd_subgroup_matrix
    check(host, lambda p: emulated(variant(p, MATRIX_TILE)), problem, MATRIX_LIMIT)


@pytest.mark.parametrize("conv", usual_first(CONVS))
def test_f32(kernel_host, conv):
    check_f32(kernel_host, problem_of(conv))


@pytest.mark.full
@pytest.mark.parametrize(
    "weights",
    [pytest.param(w, marks=() if w == "int8" else pytest.mark.exhaustive) for w in WEIGHTS],
)
def test_f32_of_stored_weights(kernel_host, weights):
    check_f32(kernel_host, problem_of(ODD, weights), LARGE_F32_TILE)


@pytest.mark.parametrize(
    ("tile", "conv"),
    [
        # `nox -s full` runs each tile once.
        pytest.param(
            tile,
            conv,
            marks=pytest.mark.full if name == "upsample and cut" else pytest.mark.exhaustive,
            id=f"{name}-{tile.label}",
        )
        for tile in TILES_F32
        for name, conv in CONVS.items()
    ],
)
def test_further_tiles_of_f32(kernel_host, tile, conv):
    problem = problem_of(conv, "int8")
    need_shared_memory(kernel_host, winograd_f32(problem, tile))
    check_f32(kernel_host, problem, tile)


@pytest.mark.full
def test_chunks_of_tiles(kernel_host, monkeypatch):
    monkeypatch.setattr(winograd, "MAX_CHUNK_BYTES", 1)
    problem = problem_of(MANY_TILES)
    launches = winograd_f32(problem, F32_TILE).launches
    assert [launch.uniform for launch in launches] == [None, 0, None, 0, 128, None, 128]
    check_f32(kernel_host, problem)


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_f16(kernel_host, conv):
    check_f16(kernel_host, problem_of(conv))


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
@pytest.mark.parametrize("tile", TILES_F16, ids=str)
def test_further_tiles_of_f16(kernel_host, tile, conv):
    check_f16(kernel_host, problem_of(conv), tile)


@pytest.mark.parametrize("weights", WEIGHTS[:2])
def test_f16_of_stored_weights(kernel_host, weights):
    check_f16(kernel_host, problem_of(ODD, weights))


def test_f16_of_activations_beyond_the_range_of_float16(kernel_host):
    problem = problem_of(ODD, "int8")
    need_f16(kernel_host, problem)
    a, w, inputs = make_operands(problem)
    inputs["a"] *= 3e4
    expected = 3e4 * multiply(problem, a, w)
    found, _ = kernel_host.run(winograd_f16(problem, F16_TILE), inputs, expected.size)
    assert relative_error(found, expected) < F16_LIMIT


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_subgroup_matrix(kernel_host, conv):
    problem = problem_of(conv)
    if not kernel_host.supports(winograd_subgroup_matrix(problem, MATRIX_TILE)):
        pytest.skip("not run: the adapter has no subgroup matrices")
    for tile in (MATRIX_TILE, SubgroupMatrixTile(128, 128, 32, 2, 2), *TILES_MATRIX):
        check(
            kernel_host,
            lambda p, tile=tile: winograd_subgroup_matrix(p, tile),
            problem,
            MATRIX_LIMIT,
        )


@pytest.mark.full
@pytest.mark.parametrize(
    ("conv", "weights"),
    [
        pytest.param(ODD, "int8"),
        pytest.param(ODD, "int4", marks=pytest.mark.exhaustive),
        pytest.param(ODD, "float16", marks=pytest.mark.exhaustive),
        pytest.param(CONVS["upsample and cut"], "float16", marks=pytest.mark.exhaustive),
    ],
)
def test_emulated_subgroup_matrix(kernel_host, conv, weights):
    check_emulated(kernel_host, problem_of(conv, weights))


@pytest.mark.exhaustive
def test_emulated_subgroup_matrix_in_chunks(kernel_host, monkeypatch):
    monkeypatch.setattr(winograd, "MAX_CHUNK_BYTES", 1)
    check_emulated(kernel_host, problem_of(MANY_TILES))


def list_channels():
    """Return the channels of every family's convolutions by Winograd, of image and result."""
    found = set()
    for path in GOLDEN.glob("matches-*.json"):
        for table in json.loads(path.read_text(encoding="utf-8")).values():
            for entry in table["matched"]:
                if any(name.startswith("conv_winograd_f32") for name in entry["variants"]):
                    problem = read_problem(entry["problem"])
                    found.add((problem.conv.channels, problem.n))
    return sorted(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("channels", "n"), list_channels())
def test_channels_of_every_family(kernel_host, channels, n):
    problem = problem_of(replace(ODD, channels=channels), n=n)
    check_f32(kernel_host, problem, LARGE_F32_TILE)
    if kernel_host.supports(winograd_f16(problem, F16_TILE)):
        check_f16(kernel_host, problem)
