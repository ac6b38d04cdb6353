"""Products in WGSL against float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from emulated import emulated

from wsd.evaluate.metrics import relative_error
from wsd.kernels.gemm.f16 import HalfTile, in_halves
from wsd.kernels.gemm.subgroup_matrix import MatrixTile, on_matrix_units
from wsd.kernels.gemm.tiled import Tile, fits, tiled
from wsd.kernels.problem import Conv2d, GemmProblem

TILES = [
    Tile(64, 64, 16, 4, 4),
    Tile(64, 64, 32, 8, 4),
    Tile(32, 64, 32, 4, 4),
    Tile(64, 64, 32, 8, 4, parts=3),
]
# Rows, columns and depth that no tile divides evenly, but for the depth.
LINEAR = GemmProblem(77, 72, 192)
CONVS = [
    Conv2d(2, 9, 7, 32, 9, 7, 3, 1, 1),
    Conv2d(1, 8, 8, 32, 4, 4, 3, 2, 1),
    Conv2d(1, 6, 6, 96, 6, 6, 1, 1, 0),
    Conv2d(2, 5, 4, 32, 10, 8, 3, 1, 1, times=2),
]
CONV_NAMES = ["conv", "stride", "1x1", "doubled"]


def conv_product(conv, columns=40):
    rows = conv.batch * conv.out_height * conv.out_width
    return GemmProblem(rows, columns, conv.kernel**2 * conv.channels, conv=conv)


def make(product, seed=0):
    """Return the operands as float64, and the buffers."""
    draw = np.random.default_rng(seed)
    conv = product.conv
    shape = (
        (conv.batch, conv.height, conv.width, conv.channels)
        if conv
        else (product.rows, product.depth)
    )
    a = draw.standard_normal(shape).astype(np.float32)
    w = draw.standard_normal((product.columns, product.depth))
    if product.weights == "float32":
        w = stored = w.astype(np.float32)
    elif product.weights == "float16":
        w = stored = w.astype(np.float16)
    else:
        w = stored = (w * 40).round().clip(-127, 127).astype(np.int8)
    return a.astype(np.float64), w.astype(np.float64), {"a": a, "w": stored}


def multiply(product, a, w):
    conv = product.conv
    if conv is None:
        return a @ w.T
    weight = torch.from_numpy(w).view(-1, conv.kernel, conv.kernel, conv.channels)
    image = torch.from_numpy(a).permute(0, 3, 1, 2)
    image = image.repeat_interleave(conv.times, 2).repeat_interleave(conv.times, 3)
    found = torch.nn.functional.conv2d(
        image, weight.permute(0, 3, 1, 2), stride=conv.stride, padding=conv.padding
    )
    return found.permute(0, 2, 3, 1).reshape(product.rows, product.columns).numpy()


def check(host, make_variant, product, limit):
    """Run a product with a bias, a residual and SiLU after it."""
    finish = "(e1[at] + (value + e0[n]))"
    product = replace(product, buffers=("r", "a", "w", "bias", "residual"), finish=finish)
    a, w, inputs = make(product)
    draw = np.random.default_rng(1)
    bias = draw.standard_normal(product.columns).astype(np.float32)
    residual = draw.standard_normal((product.rows, product.columns)).astype(np.float32)
    expected = multiply(product, a, w) + bias + residual
    variant = make_variant(product)
    assert host.supports(variant)
    found, _ = host.run(variant, {**inputs, "bias": bias, "residual": residual}, expected.size)
    assert relative_error(found, expected) < limit


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("weights", ["float32", "float16", "int8"])
def test_linear(kernel_host, tile, weights):
    product = replace(LINEAR, weights=weights)
    assert fits(product, tile)
    check(kernel_host, lambda p: tiled(p, tile), product, 1e-6)


@pytest.mark.parametrize("conv", CONVS, ids=CONV_NAMES)
@pytest.mark.parametrize("tile", TILES[1:], ids=str)
def test_conv(kernel_host, tile, conv):
    product = replace(conv_product(conv), weights="float16")
    assert fits(product, tile)
    check(kernel_host, lambda p: tiled(p, tile), product, 1e-6)


def test_gelu(kernel_host):
    finish = "((value * 0.5f) * (1.0f + erf((value * 0.70710678f))))"
    product = replace(LINEAR, finish=finish)
    a, w, inputs = make(product)
    expected = torch.nn.functional.gelu(torch.from_numpy(multiply(product, a, w))).numpy()
    found, _ = kernel_host.run(tiled(product, TILES[0]), inputs, expected.size)
    assert relative_error(found, expected) < 1e-6


HALF_TILES = [
    HalfTile(64, 64, 32, 8, 4),
    HalfTile(64, 64, 64, 8, 4),
    HalfTile(64, 64, 32, 8, 4, parts=3),
]


def need_halves(host, product, tile):
    if not host.supports(in_halves(product, tile)):
        pytest.skip("not run: the adapter has no shader-f16")


def check_halves(host, product, tile):
    need_halves(host, product, tile)
    check(host, lambda p: in_halves(p, tile), product, 1e-3)


@pytest.mark.parametrize("tile", HALF_TILES, ids=str)
@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_halves(kernel_host, tile, weights):
    check_halves(kernel_host, replace(LINEAR, weights=weights), tile)


@pytest.mark.parametrize("conv", CONVS, ids=CONV_NAMES)
@pytest.mark.parametrize("tile", HALF_TILES[::2], ids=str)
def test_halves_of_images(kernel_host, tile, conv):
    check_halves(kernel_host, replace(conv_product(conv), weights="float16"), tile)


def test_halves_of_large_activations(kernel_host):
    """SDXL's decoder has activations that no half holds."""
    product, tile = replace(LINEAR, weights="int8"), HALF_TILES[0]
    need_halves(kernel_host, product, tile)
    a, w, inputs = make(product)
    inputs["a"] *= 1e5
    found, _ = kernel_host.run(in_halves(product, tile), inputs, product.rows * product.columns)
    assert relative_error(found, 1e5 * multiply(product, a, w)) < 1e-3


MATRIX_TILES = [
    MatrixTile(64, 64, 32, 2, 2),
    MatrixTile(128, 64, 32, 2, 2),
    MatrixTile(64, 64, 32, 2, 2, parts=3),
]
PRODUCTS = [
    *(replace(LINEAR, weights=weights) for weights in ("float16", "int8")),
    *(replace(conv_product(conv), weights="float16") for conv in CONVS),
]
PRODUCT_NAMES = ["float16", "int8", *CONV_NAMES]


@pytest.mark.parametrize("tile", MATRIX_TILES, ids=str)
@pytest.mark.parametrize("product", PRODUCTS, ids=PRODUCT_NAMES)
def test_matrix_units(kernel_host, tile, product):
    if not kernel_host.supports(on_matrix_units(product, tile)):
        pytest.skip("not run: the adapter has no matrix units")
    check(kernel_host, lambda p: on_matrix_units(p, tile), product, 1e-3)


# Their halves are as long as floats: the second has fewer of them at a time.
EMULATED_TILES = [MATRIX_TILES[0], MatrixTile(128, 64, 16, 2, 2), MATRIX_TILES[2]]


EMULATED = [
    *((PRODUCTS[0], tile) for tile in EMULATED_TILES),
    *((product, EMULATED_TILES[0]) for product in PRODUCTS[1:4]),
]


@pytest.mark.parametrize(
    ("product", "tile"), EMULATED, ids=["64x64", "128x64", "parts", *PRODUCT_NAMES[1:4]]
)
def test_emulated_matrix_units(kernel_host, product, tile):
    check(kernel_host, lambda p: emulated(on_matrix_units(p, tile)), product, 1e-3)
