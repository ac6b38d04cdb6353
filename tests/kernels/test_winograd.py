"""Convolutions by Winograd's F(2x2, 3x3) on a GPU, against float64."""

from dataclasses import replace

import pytest
from emulated import emulated
from test_gemm import check

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

CONVS = {
    "even": Conv2d(1, 8, 12, 32, 8, 12, 3, 1, 1),
    "odd, two images": Conv2d(2, 9, 7, 64, 9, 7, 3, 1, 1),
    "upsample": Conv2d(2, 5, 4, 32, 10, 8, 3, 1, 1, upsample=2),
    "upsample and cut": Conv2d(2, 5, 4, 32, 9, 7, 3, 1, 1, upsample=2),
}
F32_TILES = [GemmTile(128, 64, 16, 8, 8), GemmTile(64, 64, 16, 8, 4)]
F16_TILE = F16Tile(64, 64, 32, 8, 4)
MATRIX_TILES = [SubgroupMatrixTile(64, 64, 32, 2, 2), SubgroupMatrixTile(128, 128, 32, 2, 2)]
# Errors of the results: of float32 sums, and of operands that are rounded to float16.
F32_LIMIT, F16_LIMIT, MATRIX_LIMIT = 2e-6, 2e-3, 1e-3


def problem_of(conv, weights="float16", n=40):
    rows = conv.batch * conv.out_height * conv.out_width
    return GemmProblem(rows, n, 9 * conv.channels, weights, conv)


def check_f16(host, problem, limit=F16_LIMIT):
    if not host.supports(winograd_f16(problem, F16_TILE)):
        pytest.skip("not run: the adapter has no shader-f16")
    check(host, lambda p: winograd_f16(p, F16_TILE), problem, limit)


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_f32(kernel_host, conv):
    problem = problem_of(conv)
    for tile in F32_TILES[-1:]:
        assert fits_winograd(problem, tile)
        check(kernel_host, lambda p, tile=tile: winograd_f32(p, tile), problem, F32_LIMIT)


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_f16(kernel_host, conv):
    check_f16(kernel_host, problem_of(conv))


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_emulated_subgroup_matrix(kernel_host, conv):
    tile = MATRIX_TILES[0]
    problem = problem_of(conv)
    check(kernel_host, lambda p: emulated(winograd_subgroup_matrix(p, tile)), problem, MATRIX_LIMIT)
