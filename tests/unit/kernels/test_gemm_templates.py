"""The WGSL of GEMM kernels, as far as text can tell: what is shared, launches of split-K."""

import re
from dataclasses import replace

import jinja2
import pytest

from workgroup_memory import shared_bytes
from wsd.kernels.gemm.f16 import F16Tile, f16_gemm
from wsd.kernels.gemm.gemv import gemv
from wsd.kernels.gemm.split_k import can_split
from wsd.kernels.gemm.subgroup_matrix import (
    SubgroupMatrixTile,
    fits_subgroup_matrix,
    subgroup_matrix_gemm,
)
from wsd.kernels.gemm.tiled import GemmTile, fits, tiled_gemm
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.template import render_head_and_body

LINEAR = GemmProblem(77, 72, 192, "float16", buffers=("r", "a", "w"))
OTHER = GemmProblem(
    m=300,
    n=640,
    k=384,
    weights="float16",
    buffers=("r", "a", "w", "bias", "residual"),
    epilogue="(e1[at] + (value + e0[n]))",
)
CONV = GemmProblem(126, 40, 288, "float16", Conv2d(2, 9, 7, 32, 9, 7, 3, 1, 1))
TILE = GemmTile(64, 64, 32, 8, 4)
KERNELS = {
    "tiled": lambda problem, split_k=1: tiled_gemm(problem, replace(TILE, split_k=split_k)),
    "f16": lambda problem, split_k=1: f16_gemm(problem, F16Tile(64, 64, 32, 8, 4, split_k)),
    "subgroup matrix": lambda problem, split_k=1: subgroup_matrix_gemm(
        problem, SubgroupMatrixTile(64, 64, 32, 2, 2, split_k=split_k)
    ),
    "gemv": gemv,
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_linear_layers_of_one_tile_share_their_body(kernel):
    first, second = (kernel(problem).launches[0] for problem in (LINEAR, OTHER))
    assert first.body == second.body
    assert first.head != second.head


@pytest.mark.parametrize("split_k", [1, 3])
@pytest.mark.parametrize("kernel", list(KERNELS)[:3])
def test_convolutions_have_another_body_than_linear_layers(kernel, split_k):
    linear, conv = (KERNELS[kernel](problem, split_k).launches[0] for problem in (LINEAR, CONV))
    assert "in_image0" in conv.body
    assert "in_image0" not in linear.body


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("problem", [LINEAR, OTHER], ids=["plain", "epilogue"])
def test_buffers_are_bound_in_the_order_of_their_bindings(kernel, problem):
    [launch] = kernel(problem).launches
    bindings = re.findall(r"@group\(0\) @binding\((\d+)\) var<storage, \w+> (\w+) :", launch.head)
    names = ["result", "a", "w", *(f"e{i}" for i in range(len(problem.buffers) - 3))]
    assert bindings == [(str(i), name) for i, name in enumerate(names)]
    assert launch.buffers == problem.buffers


def test_split_k_adds_partial_sums_in_a_second_launch():
    variant = tiled_gemm(OTHER, replace(TILE, split_k=3))
    gemm, reduce = variant.launches
    assert gemm.grid == (10, 5, 3)
    assert gemm.buffers == (0, "a", "w")
    assert "epilogue" not in gemm.head + gemm.body
    assert reduce.buffers == ("r", 0, "bias", "residual")
    assert reduce.grid == (-(-300 * 640 // 256), 1, 1)
    assert "return (e1[at] + (value + e0[n]));" in reduce.head
    assert variant.scratch_bytes == (3 * 300 * 640 * 4,)
    assert variant.threads == 256


def test_reduction_of_many_results_has_a_grid_of_two_dimensions():
    problem = GemmProblem(16384, 1024, 64)
    _, reduce = tiled_gemm(problem, replace(TILE, split_k=2)).launches
    width, height, _ = reduce.grid
    assert width <= 65535
    assert (width * height) * 256 >= 16384 * 1024 > (width * (height - 1)) * 256


def test_tile_must_divide_k_and_each_tap_of_a_convolution():
    assert fits(LINEAR, TILE)
    assert not fits(replace(LINEAR, k=208), TILE)
    assert fits(CONV, TILE)
    # 64 divides k = 9 * 32 * 2, but a step of 64 would cover two taps.
    wide = SubgroupMatrixTile(64, 64, 64, 2, 2)
    conv = replace(CONV, k=576)
    assert conv.k % 64 == 0
    assert not fits(conv, replace(TILE, k=64))
    assert not fits_subgroup_matrix(conv, wide)


def test_split_k_needs_equal_steps_and_scratch_memory_of_64_mib():
    assert can_split(LINEAR, 32, 3)
    assert not can_split(LINEAR, 32, 4)  # 6 steps
    large = GemmProblem(4096, 1024, 4096)
    assert can_split(large, 32, 4)
    assert not can_split(large, 32, 8)


def test_erf_is_declared_where_an_epilogue_calls_it():
    gelu = replace(LINEAR, epilogue="erf(value)")
    assert "fn erf(" in tiled_gemm(gelu, TILE).launches[0].head
    assert "fn erf(" not in tiled_gemm(LINEAR, TILE).launches[0].head


RECTANGULAR = {
    "tiled": tiled_gemm(LINEAR, GemmTile(32, 64, 32, 4, 4)),
    "f16": f16_gemm(LINEAR, F16Tile(128, 64, 32, 8, 8)),
    "subgroup matrix": subgroup_matrix_gemm(LINEAR, SubgroupMatrixTile(64, 32, 64, 2, 1)),
    "gemv": gemv(LINEAR),
}


@pytest.mark.parametrize("variant", RECTANGULAR.values(), ids=RECTANGULAR)
def test_shared_memory_and_threads_are_those_that_the_shader_declares(variant):
    body = variant.launches[0].body
    assert variant.shared_bytes == shared_bytes(body) > 0
    assert variant.threads == int(re.search(r"@workgroup_size\((\d+)\)", body)[1])


def test_parameter_that_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="loads"):
        render_head_and_body("gemm/tiled.wgsl.j2", problem=LINEAR, tile=TILE)
