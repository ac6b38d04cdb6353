"""Which variants a kernel has: best first, the last of them for any adapter."""

from __future__ import annotations

import math
from dataclasses import replace

from wsd.kernels.attention.flash import blocks_for, streamed
from wsd.kernels.attention.subgroup_matrix import attention_on_matrix_units, matrix_block_for
from wsd.kernels.gemm.f16 import HalfTile, in_halves
from wsd.kernels.gemm.gemv import shared_rows
from wsd.kernels.gemm.split_k import divides
from wsd.kernels.gemm.subgroup_matrix import MatrixTile, on_matrix_units
from wsd.kernels.gemm.tiled import Tile, fits, tiled
from wsd.kernels.problem import AttentionProblem, GemmProblem, NormSumsProblem
from wsd.kernels.reduce.norm_sums import group_sums, row_sums
from wsd.kernels.tuning.table import tuned_matrix_tile, tuned_tile
from wsd.kernels.variant import VECTOR, Variant

# Operations from which on a kernel is worth variants: below, the generated one is as good.
_LEAST_OPERATIONS = 1 << 24
_LEAST_ROWS = 16
# Workgroups that fill a large GPU several times over: of 64 x 64 results, and of 128 x 64.
_MANY = 384
_MANY_LARGE = 600
# Steps of a part on matrix units: fewer are over sooner than their sums are added.
_LEAST_STEPS = 16
_EDGE = 64
# Into how many parts k may be cut.
_PARTS = (1, 2, 3, 4, 5, 6, 8)
# Results a pixel from which on a convolution may be summed in halves. Those of fewer are the
# outermost of a UNet and all of a decoder, whose errors reach the picture undiminished.
_LEAST_HALF_CHANNELS = 640


def product_variants(product: GemmProblem) -> list[Variant]:
    """Return the variants of a product, none if it is small or of odd sizes."""
    if product.conv is None and product.rows < _LEAST_ROWS:
        if product.depth % VECTOR:
            return []
        return [shared_rows(product, subgroups=True), shared_rows(product)]
    if product.operations < _LEAST_OPERATIONS:
        return []
    found = []
    matrix = tuned_matrix_tile(product) or _matrix_tile(product)
    if matrix is not None:
        found.append(on_matrix_units(product, _cut(product, matrix)))
    halves = _half_tile(product)
    if halves is not None:
        found.append(in_halves(product, halves))
    tuned = tuned_tile(product)
    for tiles in ((tuned,) if tuned else _tiles(product), (Tile(64, 64, 16, 8, 4),)):
        fitting = next((tile for tile in tiles if fits(product, tile)), None)
        if fitting is not None:
            found.append(tiled(product, fitting))
    return found


def attention_variants(attention: AttentionProblem) -> list[Variant]:
    """Return the variants of an attention, none if it is small or of an odd width."""
    blocks = blocks_for(attention.width)
    if not blocks or attention.operations < _LEAST_OPERATIONS:
        return []
    matrix = matrix_block_for(attention)
    units = [attention_on_matrix_units(attention, matrix)] if matrix else []
    return [*units, *(streamed(attention, block) for block in blocks)]


def sums_variants(sums: NormSumsProblem) -> list[Variant]:
    """Return the variants of a norm's sums, none if rows are not whole vectors."""
    if sums.channels % VECTOR:
        return []
    kernel = group_sums if sums.pixels > 1 or sums.groups > 1 else row_sums
    return [kernel(sums, subgroups=True), kernel(sums)]


def _cut(product: GemmProblem, tile: MatrixTile) -> MatrixTile:
    """Return a tile with k cut into parts, if its workgroups are too few to fill a GPU."""
    groups = _groups(product, tile.rows, tile.columns)
    parts = [
        n
        for n in _PARTS[1:]
        if n * groups <= _MANY
        and n * _LEAST_STEPS <= product.depth // tile.depth
        and divides(product, tile.depth, n)
    ]
    return replace(tile, parts=max(parts, default=1))


def _groups(product: GemmProblem, rows: int, columns: int) -> int:
    return math.prod(product.grid(rows, columns))


def _tiles(product: GemmProblem) -> tuple[Tile, ...]:
    """Return tiles to try, best first."""
    large = _groups(product, 128, _EDGE)
    larger = [Tile(128, 64, 16, 8, 8, parts=n) for n in _PARTS]
    larger = [tile for tile in larger if tile.parts * large >= _MANY_LARGE and fits(product, tile)]
    if larger:
        return (larger[0],)
    groups = _groups(product, _EDGE, _EDGE)
    parts = [n for n in (8, 6, 5, 4, 3, 2) if (n - 1) * groups < _MANY]
    split = [Tile(64, 64, 32, 8, 4, parts=n) for n in parts if groups < _MANY]
    return (*split, Tile(64, 64, 32, 8, 4))


def _half_tile(product: GemmProblem) -> HalfTile | None:
    """Return a tile for halves; none where they would not be exact enough."""
    if product.weights == "float32":
        return None
    if product.conv is not None and product.columns < _LEAST_HALF_CHANNELS:
        return None
    groups = _groups(product, _EDGE, _EDGE)
    for depth in (64, 32):
        tiles = [HalfTile(_EDGE, _EDGE, depth, 8, 4, parts=n) for n in _PARTS]
        fitting = [tile for tile in tiles if fits(product, tile)]
        full = [tile for tile in fitting if tile.parts * groups >= _MANY]
        if fitting:
            return full[0] if full else fitting[-1]
    return None


def _matrix_tile(product: GemmProblem) -> MatrixTile | None:
    if _groups(product, 128, 128) >= _MANY // 2:
        tiles = [MatrixTile(128, 128, 32, 2, 2)]
    elif _groups(product, _EDGE, _EDGE) >= 256:
        tiles = [MatrixTile(64, 64, 32, 2, 2)]
    elif _groups(product, _EDGE, _EDGE) >= 100:
        tiles = [MatrixTile(64, 64, 64, 2, 2)]
    else:
        tiles = [MatrixTile(64, 32, 64, 2, 2)]
    return next(
        (
            tile
            for tile in (*tiles, MatrixTile(64, 64, 32, 2, 2))
            if product.along % tile.depth == 0
        ),
        None,
    )
