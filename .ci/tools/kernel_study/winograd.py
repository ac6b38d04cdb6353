"""Convolutions of 3 x 3 by Winograd's F(2x2, 3x3): 16 products for 4 results instead of 36.

Four launches transform the weights (once), the image, multiply, and transform the products; the
WGSL is in ``templates/winograd_*.wgsl.j2``, the products are one of the study's GEMMs.
"""

from __future__ import annotations

from dataclasses import replace

from tools.kernel_study.candidate import Candidate, Launch, describe_tile, flat_grid
from tools.kernel_study.matrix_pipelined import (
    A_DIVISOR,
    MATRIX_FEATURES,
    PipelinedTile,
    fits_pipelined,
    pipelined_launches,
)
from tools.kernel_study.outer import A_DIVISOR as OUTER_A_DIVISOR
from tools.kernel_study.outer import OuterTile, fits_outer, outer_launches
from tools.kernel_study.template import render
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.variant import F16, VECTOR

# The transforms add values of either sign, which costs accuracy beside a direct convolution.
_F16_LIMIT = 4e-3
_F32_LIMIT = 4e-4
# Products of one size: a transformed tile has 4 x 4 values.
_PRODUCTS = 16


def fits_winograd(problem: GemmProblem, tile: OuterTile | PipelinedTile) -> bool:
    """Tell whether a problem is such a convolution, and the tile fits its products."""
    conv = problem.conv
    if conv is None or conv.kernel != 3 or conv.stride != 1 or problem.weights != "float16":
        return False
    products = _products(problem, conv)
    if isinstance(tile, OuterTile):
        return fits_outer(products, tile)
    return fits_pipelined(products, tile)


def winograd_candidate(problem: GemmProblem, tile: OuterTile | PipelinedTile) -> Candidate:
    """Return the candidate of a convolution whose products a tile fits (:func:`fits_winograd`).

    Args:
        problem: the convolution.
        tile: of the GEMM that multiplies.
    """
    conv = problem.conv
    assert conv is not None
    result, image, weights, *epilogue = problem.buffers
    products = _products(problem, conv)
    launches: tuple[Launch, ...]
    features: tuple[str, ...]
    if isinstance(tile, OuterTile):
        is_f16, divisor, features = tile.is_f16, OUTER_A_DIVISOR, (F16,)
        kind = "f16" if is_f16 else "f32"
        tile = replace(tile, batch=_PRODUCTS, a_is_f16=is_f16)
        launches = outer_launches(products, tile)
    else:
        is_f16, divisor, features, kind = True, A_DIVISOR, MATRIX_FEATURES, "matrix"
        tile = replace(tile, batch=_PRODUCTS, a_is_f16=True)
        launches = pipelined_launches(products, tile)
    extents = {
        "conv": conv,
        "tiles": products.m,
        "tiles_x": -(-conv.out_width // 2),
        "tiles_y": -(-conv.out_height // 2),
    }
    transforms = {
        "weights": render("winograd_weights.wgsl.j2", conv=conv, n=problem.n),
        "image": render("winograd_input.wgsl.j2", is_f16=is_f16, factor=1 / divisor, **extents),
        "results": render("winograd_output.wgsl.j2", problem=problem, **extents),
    }
    return Candidate(
        f"winograd {kind} {describe_tile(tile)}",
        (
            Launch(
                transforms["weights"],
                flat_grid(problem.n * conv.channels // VECTOR),
                ("u", weights),
                "weights",
                once=True,
            ),
            Launch(
                transforms["image"],
                flat_grid(products.m * conv.channels // VECTOR),
                ("v", image),
                "image",
            ),
            *launches,
            Launch(
                transforms["results"],
                flat_grid(products.m * problem.n),
                (result, "products", *epilogue),
                "results",
            ),
        ),
        tile.threads,
        tile.shared_bytes,
        _F16_LIMIT if is_f16 else _F32_LIMIT,
        features,
        {
            "u": 2 * _PRODUCTS * problem.n * conv.channels,
            "v": (2 if is_f16 else 4) * _PRODUCTS * products.m * conv.channels,
            "products": 4 * _PRODUCTS * products.m * problem.n,
        },
    )


def _products(problem: GemmProblem, conv: Conv2d) -> GemmProblem:
    """Return one of the products: a row for each tile of 2 x 2 results."""
    tiles = conv.batch * -(-conv.out_height // 2) * -(-conv.out_width // 2)
    return GemmProblem(tiles, problem.n, conv.channels, "float16", buffers=("products", "v", "u"))
