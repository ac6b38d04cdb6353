"""GEMM kernels in WGSL on a GPU, against float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from emulated import emulated

from wsd.bundle.quantize import pack_int4
from wsd.evaluate.metrics import relative_error
from wsd.kernels.gemm.f16 import F16Tile, f16_gemm
from wsd.kernels.gemm.gemv import gemv
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile, subgroup_matrix_gemm
from wsd.kernels.gemm.tiled import GemmTile, fits, tiled_gemm
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.tuning.further_tiles import TILES_F16, TILES_F32, TILES_MATRIX
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES
from wsd.spec.parameter import GROUP

TILES = [
    GemmTile(64, 64, 16, 4, 4),
    GemmTile(64, 64, 32, 8, 4),
    GemmTile(32, 64, 32, 4, 4),
    GemmTile(64, 64, 32, 8, 4, split_k=3),
]
# No tile divides M and N; every tile's k divides K.
LINEAR = GemmProblem(77, 72, 192)
CONVS = [
    Conv2d(2, 9, 7, 32, 9, 7, 3, 1, 1),
    Conv2d(1, 8, 8, 32, 4, 4, 3, 2, 1),
    Conv2d(1, 6, 6, 96, 6, 6, 1, 1, 0),
    Conv2d(2, 5, 4, 32, 10, 8, 3, 1, 1, upsample=2),
    Conv2d(2, 5, 4, 32, 9, 7, 3, 1, 1, upsample=2),
    # Zeros follow the last row and column alone, as in the VAE's encoder.
    Conv2d(2, 8, 10, 32, 4, 5, 3, 2, 0),
]
CONV_NAMES = ["conv", "stride", "1x1", "upsample", "upsample and cut", "zeros after the end"]


def conv_problem(conv, n=40):
    m = conv.batch * conv.out_height * conv.out_width
    return GemmProblem(m, n, conv.kernel**2 * conv.channels, conv=conv)


def make_operands(problem, seed=0):
    """Return A (or the image) and W as float64, and both as buffers of the kernel."""
    random = np.random.default_rng(seed)
    conv = problem.conv
    shape = (conv.batch, conv.height, conv.width, conv.channels) if conv else (problem.m, problem.k)
    a = random.standard_normal(shape).astype(np.float32)
    w = random.standard_normal((problem.n, problem.k))
    if problem.weights == "int4":
        w = (w * 3).round().clip(-8, 7).astype(np.int8)
        # Of both signs, and all normal: a kernel may flush subnormal ones to zero.
        scales = random.choice([0.25, 0.01, -3, 1e-4, -7e-5, 0], (problem.n, problem.k // GROUP))
        scales = scales.astype(np.float16)
        exact = w * np.repeat(scales.astype(np.float64), GROUP, axis=1)
        buffers = {"a": a, "w": pack_int4(w), "scales": scales}
        return a.astype(np.float64), exact, buffers
    if problem.weights == "int8":
        w = (w * 40).round().clip(-127, 127).astype(np.int8)
    else:
        w = w.astype(problem.weights)
    return a.astype(np.float64), w.astype(np.float64), {"a": a, "w": w}


def multiply(problem, a, w):
    """Return the sums (M, N) in float64, of a convolution by PyTorch."""
    conv = problem.conv
    if conv is None:
        return a @ w.T
    weight = torch.from_numpy(w).view(-1, conv.kernel, conv.kernel, conv.channels)
    image = torch.from_numpy(a).permute(0, 3, 1, 2)
    image = image.repeat_interleave(conv.upsample, 2).repeat_interleave(conv.upsample, 3)
    if conv.upsample > 1:  # the result is as large as the image that is padded
        image = image[:, :, : conv.out_height, : conv.out_width]
    if conv.padding == 0:
        reach = [(out - 1) * conv.stride + conv.kernel for out in (conv.out_width, conv.out_height)]
        right, below = (r - e for r, e in zip(reach, (conv.width, conv.height), strict=True))
        image = torch.nn.functional.pad(image, (0, max(right, 0), 0, max(below, 0)))
    found = torch.nn.functional.conv2d(
        image, weight.permute(0, 3, 1, 2), stride=conv.stride, padding=conv.padding
    )
    return found.permute(0, 2, 3, 1).reshape(problem.m, problem.n).numpy()


def check(host, make_variant, problem, limit):
    """Run a problem with a bias and a residual in its epilogue."""
    problem = replace(
        problem,
        buffers=("r", "a", "w", *SCALES[problem.weights], "bias", "residual"),
        epilogue="(e1[at] + (value + e0[n]))",
    )
    a, w, inputs = make_operands(problem)
    random = np.random.default_rng(1)
    bias = random.standard_normal(problem.n).astype(np.float32)
    residual = random.standard_normal((problem.m, problem.n)).astype(np.float32)
    expected = multiply(problem, a, w) + bias + residual
    variant = make_variant(problem)
    assert host.supports(variant)
    found, _ = host.run(variant, {**inputs, "bias": bias, "residual": residual}, expected.size)
    assert relative_error(found, expected) < limit


WEIGHTS = ["float32", "float16", "int8", "int4"]
SCALES = {"float32": (), "float16": (), "int8": (), "int4": ("scales",)}


def pairs(tiles, others, names):
    """Return every pair of a tile and something else.

    Software adapters take two seconds to compile one kernel. Which weights are read, and where
    from, does not depend on the tile: of pairs that have each of both, `nox -s tests` runs the
    last, whose sums are split, and `nox -s full` every second one. `nox -s exhaustive` runs all
    pairs, and so does `nox -s kernels`.
    """
    pairs = [(n % len(tiles), n % len(others)) for n in range(max(len(tiles), len(others)))]
    usual, chosen = pairs[-1:], pairs[::2]
    return [
        pytest.param(
            tile,
            other,
            marks=()
            if (row, column) in usual
            else pytest.mark.full
            if (row, column) in chosen
            else pytest.mark.exhaustive,
            id=f"{names[column]}-{tile}",
        )
        for row, tile in enumerate(tiles)
        for column, other in enumerate(others)
    ]


@pytest.mark.parametrize(("tile", "weights"), pairs(TILES, WEIGHTS, WEIGHTS))
def test_tiled_linear(kernel_host, tile, weights):
    problem = replace(LINEAR, weights=weights)
    assert fits(problem, tile)
    check(kernel_host, lambda p: tiled_gemm(p, tile), problem, 1e-6)


@pytest.mark.parametrize(("tile", "conv"), pairs(TILES[1:], CONVS, CONV_NAMES))
def test_tiled_convolution(kernel_host, tile, conv):
    problem = replace(conv_problem(conv), weights="float16")
    assert fits(problem, tile)
    check(kernel_host, lambda p: tiled_gemm(p, tile), problem, 1e-6)


@pytest.mark.full
@pytest.mark.parametrize(
    "conv",
    [
        pytest.param(conv, id=name, marks=pytest.mark.exhaustive if number else ())
        for number, (name, conv) in enumerate(zip(CONV_NAMES[::2], CONVS[::2], strict=True))
    ],
)
def test_tiled_convolution_of_int4(kernel_host, conv):
    problem = replace(conv_problem(conv), weights="int4")
    assert fits(problem, TILES[-1])
    check(kernel_host, lambda p: tiled_gemm(p, TILES[-1]), problem, 1e-6)


def further(tiles, often):
    """Return each tile with linear layers of each weights, and with each convolution.

    `nox -s full` runs each tile with those that are named, `nox -s exhaustive` and
    `nox -s kernels` all.
    """
    problems = {
        **{name: replace(LINEAR, weights=name) for name in WEIGHTS},
        **{
            name: replace(conv_problem(conv), weights="float16")
            for name, conv in zip(CONV_NAMES, CONVS, strict=True)
        },
    }
    return [
        pytest.param(
            tile,
            problem,
            marks=pytest.mark.full if name in often else pytest.mark.exhaustive,
            id=f"{name}-{tile.label}",
        )
        for tile in tiles
        for name, problem in problems.items()
    ]


def need_shared_memory(host, variant):
    if not host.supports(variant):
        assert variant.shared_bytes > BASELINE_MAX_SHARED_BYTES
        pytest.skip(f"not run: the adapter has less than {variant.shared_bytes} bytes to share")


@pytest.mark.parametrize(("tile", "problem"), further(TILES_F32, ["int4"]))
def test_further_tiles_of_f32(kernel_host, tile, problem):
    assert fits(problem, tile)
    need_shared_memory(kernel_host, tiled_gemm(problem, tile))
    check(kernel_host, lambda p: tiled_gemm(p, tile), problem, 1e-6)


def test_gelu_in_the_epilogue(kernel_host):
    epilogue = "((value * 0.5f) * (1.0f + erf((value * 0.70710678f))))"
    problem = replace(LINEAR, epilogue=epilogue)
    a, w, inputs = make_operands(problem)
    expected = torch.nn.functional.gelu(torch.from_numpy(multiply(problem, a, w))).numpy()
    found, _ = kernel_host.run(tiled_gemm(problem, TILES[0]), inputs, expected.size)
    assert relative_error(found, expected) < 1e-6


@pytest.mark.parametrize("subgroups", [False, True], ids=["workgroup", "subgroups"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_gemv(kernel_host, weights, subgroups):
    # 70 is no multiple of the results of a workgroup.
    problem = GemmProblem(3, 70, 192, weights)
    if not kernel_host.supports(gemv(problem, subgroups)):
        pytest.skip("not run: the adapter has no subgroups of a suitable size")
    check(kernel_host, lambda p: gemv(p, subgroups), problem, 1e-6)


F16_TILES = [
    F16Tile(64, 64, 32, 8, 4),
    F16Tile(64, 64, 64, 8, 4),
    F16Tile(64, 64, 32, 8, 4, split_k=3),
]


def need_f16(host, problem, tile):
    if not host.supports(f16_gemm(problem, tile)):
        pytest.skip("not run: the adapter has no shader-f16")


def check_f16(host, problem, tile):
    need_f16(host, problem, tile)
    check(host, lambda p: f16_gemm(p, tile), problem, 1e-3)


@pytest.mark.parametrize("tile", F16_TILES, ids=str)
@pytest.mark.parametrize("weights", ["float16", "int8", "int4"])
def test_f16_linear(kernel_host, tile, weights):
    check_f16(kernel_host, replace(LINEAR, weights=weights), tile)


@pytest.mark.parametrize("conv", CONVS, ids=CONV_NAMES)
@pytest.mark.parametrize("tile", F16_TILES[::2], ids=str)
def test_f16_convolution(kernel_host, tile, conv):
    check_f16(kernel_host, replace(conv_problem(conv), weights="float16"), tile)


@pytest.mark.parametrize(
    ("tile", "problem"),
    [
        case
        for case in further(TILES_F16, ["int4", "upsample and cut"])
        if case.values[1].weights != "float32"
    ],
)
def test_further_tiles_of_f16(kernel_host, tile, problem):
    check_f16(kernel_host, problem, tile)


def test_f16_of_activations_beyond_the_range_of_float16(kernel_host):
    """The VAE decoder of SDXL has activations above 65504, the largest float16."""
    problem, tile = replace(LINEAR, weights="int8"), F16_TILES[0]
    need_f16(kernel_host, problem, tile)
    a, w, inputs = make_operands(problem)
    inputs["a"] *= 1e5
    found, _ = kernel_host.run(f16_gemm(problem, tile), inputs, problem.m * problem.n)
    assert relative_error(found, 1e5 * multiply(problem, a, w)) < 1e-3


SUBGROUP_MATRIX_TILES = [
    SubgroupMatrixTile(64, 64, 32, 2, 2),
    SubgroupMatrixTile(128, 64, 32, 2, 2),
    SubgroupMatrixTile(64, 64, 32, 2, 2, split_k=3),
]
PROBLEMS = [
    *(replace(LINEAR, weights=weights) for weights in ("float16", "int8")),
    *(replace(conv_problem(conv), weights="float16") for conv in CONVS),
    replace(LINEAR, weights="int4"),
    replace(conv_problem(CONVS[0]), weights="int4"),
]
PROBLEM_NAMES = ["float16", "int8", *CONV_NAMES, "int4", "int4 conv"]


@pytest.mark.parametrize("tile", [*SUBGROUP_MATRIX_TILES, *TILES_MATRIX], ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=PROBLEM_NAMES)
def test_subgroup_matrix(kernel_host, tile, problem):
    if not kernel_host.supports(subgroup_matrix_gemm(problem, tile)):
        pytest.skip("not run: the adapter has no subgroup matrices")
    check(kernel_host, lambda p: subgroup_matrix_gemm(p, tile), problem, 1e-3)


EMULATED = {
    "64x64": (PROBLEMS[0], SUBGROUP_MATRIX_TILES[0]),
    "128x64": (PROBLEMS[0], SUBGROUP_MATRIX_TILES[1]),
    "split-K": (PROBLEMS[0], SUBGROUP_MATRIX_TILES[2]),
    "int8": (PROBLEMS[1], SUBGROUP_MATRIX_TILES[0]),
    "float32": (LINEAR, SUBGROUP_MATRIX_TILES[0]),
    "conv": (PROBLEMS[2], SUBGROUP_MATRIX_TILES[0]),
    "stride": (PROBLEMS[3], SUBGROUP_MATRIX_TILES[0]),
    "int4": (PROBLEMS[-2], SUBGROUP_MATRIX_TILES[0]),
    "int4 conv": (PROBLEMS[-1], SUBGROUP_MATRIX_TILES[2]),
    # As many fragments a subgroup as the largest tiles have.
    "4x4 fragments": (PROBLEMS[0], SubgroupMatrixTile(64, 128, 32, 1, 2)),
    # More subgroups than rows and columns of them, as the largest tile has.
    "2x4 subgroups": (PROBLEMS[0], SubgroupMatrixTile(64, 128, 32, 2, 4)),
    # A subgroup has more rows of one operand than of the other.
    "32x64 a subgroup": (PROBLEMS[0], SubgroupMatrixTile(64, 128, 32, 2, 2)),
    "16x32 a subgroup": (PROBLEMS[1], SubgroupMatrixTile(32, 64, 64, 2, 2)),
    "32x16 a subgroup": (PROBLEMS[0], SubgroupMatrixTile(64, 32, 64, 2, 2)),
}
# Together the first two have what the others have: several subgroups, split-K, int8, and an image.
OFTEN = {"stride": (), "split-K": pytest.mark.full}


@pytest.mark.full
@pytest.mark.parametrize(
    ("problem", "tile"),
    [
        pytest.param(*case, id=name, marks=OFTEN.get(name, pytest.mark.exhaustive))
        for name, case in EMULATED.items()
    ],
)
def test_emulated_subgroup_matrix(kernel_host, problem, tile):
    check(kernel_host, lambda p: emulated(subgroup_matrix_gemm(p, tile)), problem, 1e-3)
