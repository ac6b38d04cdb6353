"""Choose the tile of a GEMM in f16 or f32, and the block of an attention, by rule.

Of the tiled kernel in float32 and of the one on matrix units, a tile of the tuning table comes
first, and the rule takes the problems that the table does not hold: today all those of matrix
units, as their kernel is another since the table was measured. Each function returns the
parameters to use for a problem, best first, and none if the variant is not worth its launch or not
exact enough. Counts of workgroups were measured on an H200; on a smaller GPU they only cost a few
more workgroups than needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from wsd.kernels.attention.flash import FlashBlock, flash_blocks
from wsd.kernels.attention.one_pass import OnePassBlock, fits_one_pass
from wsd.kernels.attention.subgroup_matrix import SubgroupMatrixBlock, subgroup_matrix_block
from wsd.kernels.conv.winograd import fits_winograd, is_winograd_conv, winograd_products
from wsd.kernels.gemm.f16 import F16Tile
from wsd.kernels.gemm.split_k import can_split
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile
from wsd.kernels.gemm.tiled import GemmTile, fits
from wsd.kernels.problem import AttentionProblem, GemmProblem, NormSumsProblem
from wsd.kernels.tuning.table import tuned_subgroup_matrix_tile, tuned_tile
from wsd.kernels.variant import MAX_WORKGROUPS, VECTOR

T = TypeVar("T", GemmTile, F16Tile, SubgroupMatrixTile)

# Floating-point operations below which a generated kernel is as fast as a written one: the
# launch takes longer than the arithmetic.
MIN_OPERATIONS = 1 << 24
# Rows (M) of a linear layer below which most of a tile would be idle: GEMV takes those layers.
MIN_TILED_M = 16
# Workgroups at which a GPU is considered fully occupied, for tiles of 64x64 and of 128x64.
FULL_OCCUPANCY_64X64 = 384
FULL_OCCUPANCY_128X64 = 600
# Split-K factors that are tried.
SPLIT_K = (1, 2, 3, 4, 5, 6, 8)
# Fewest K steps of one split of a subgroup matrix kernel: with fewer, the second launch, which
# adds the partial sums, costs more than split-K saves.
MIN_STEPS_PER_SPLIT = 16
# Output channels from which on a convolution may accumulate in f16. Convolutions with fewer are
# the outermost layers of a UNet and all of a VAE decoder: their rounding errors reach the
# picture undiminished.
MIN_F16_CONV_CHANNELS = 640
# Which tile in f16 was the fastest on an H200: from FULL_OCCUPANCY_128X64 workgroups of 128x64 on
# that tile; else, from so many of 64x32 on, the tile of 64x32; with fewer the tile of 64x64, with K
# split until they are enough.
MIN_WORKGROUPS_64X32 = 600
# Which subgroup matrix tile was the fastest on an H200, by workgroups and K: from so many
# workgroups of 128x128 and from this K on the tile of 128x128, which loads the fewest values for
# each product; else the tile of 64x64, from so many workgroups of it on with K steps of 32, and
# with fewer of 64.
MIN_WORKGROUPS_128X128 = 192
MIN_K_128X128 = 512
MIN_WORKGROUPS_64X64_K32 = 256
# Shared memory that adapters with matrix units usually have for a workgroup: behind a tile that
# takes more is one that takes less.
MOST_SHARED_BYTES = 32768
# Fewest K and M of a problem that the tile of 128x256 computes, with K split if that needs more
# workgroups, and the most workgroups of 128x128 with which it won: where K is long, and a GPU waits
# for its cache.
MIN_K_128X256 = 4096
MIN_M_128X256 = 1024
MAX_WORKGROUPS_128X256 = 320

# Rows (pixels of all images) of a convolution below which Winograd's transform of the weights costs
# more than the products save: on an H200, 512 rows of 1280 channels win, 128 do not.
MIN_WINOGRAD_ROWS = 512
# Fewest channels, of the image and of the result, of a convolution by Winograd: its transforms move
# four values for each pixel and channel, which fewer products a value do not make up for. Matrix
# units, which multiply faster, need more: on an H200, 256 channels took as long as the products of
# the convolution itself, whose error is smaller.
MIN_WINOGRAD_CHANNELS = 128
MIN_WINOGRAD_MATRIX_CHANNELS = 320
# Workgroups of 128x128 from which on that tile multiplies Winograd's products on matrix units: on
# an H200, 160 of them took longer than tiles of 64x64 with K steps of 64, 320 of them did not; nor
# did the 3 columns of tiles that 320 results of a row take, a sixth of which is idle.
MIN_WINOGRAD_WORKGROUPS_128X128 = 192
# Rows of Winograd's products from which on a tile of 128x128 multiplies them in f32: with the 1024
# and more of a VAE it took 0.9 of the time of 64x64 on an H200, with 512 1.06.
MIN_WINOGRAD_ROWS_128X128 = 1024

# Fewest keys and widest heads with which attention in one pass, which packs its operands first,
# was timed on an H200: it took at most 0.85 of the time of two passes. Wider heads need more
# registers.
MIN_ONE_PASS_KEYS = 1024
MAX_ONE_PASS_HEAD_DIM = 80

# Fits adapters with the baseline limits, and has the smallest K step.
_BASELINE_TILE = GemmTile(64, 64, 16, 8, 4)
# For problems whose K the preferred subgroup matrix tile does not divide.
_FALLBACK_MATRIX_TILE = SubgroupMatrixTile(64, 64, 32, 2, 2)


def is_gemv(problem: GemmProblem) -> bool:
    """Tell whether a problem is a linear layer of so few rows that GEMV kernels take it."""
    return problem.conv is None and problem.m < MIN_TILED_M


def is_worth_tiling(problem: GemmProblem) -> bool:
    """Tell whether a problem has enough operations and rows for a tiled kernel."""
    return not is_gemv(problem) and problem.operations >= MIN_OPERATIONS


def choose_gemv(problem: GemmProblem) -> Sequence[None]:
    """Return whether a GEMV kernel takes a problem: one entry if it does."""
    return [None] if is_gemv(problem) and problem.k % VECTOR == 0 else []


def choose_tiled_f32(problem: GemmProblem) -> Sequence[GemmTile]:
    """Return a tile that suits a large GPU, then one that fits every adapter."""
    if not is_worth_tiling(problem):
        return []
    tuned = tuned_tile(problem)
    preferred = (tuned,) if tuned else _tiles_by_rule(problem)
    found = (
        next((tile for tile in tiles if fits(problem, tile)), None)
        for tiles in (preferred, (_BASELINE_TILE,))
    )
    return [tile for tile in found if tile is not None]


def choose_tiled_f16(problem: GemmProblem) -> Sequence[F16Tile]:
    """Return a tile for f16 sums; none where they would not be exact enough."""
    if not is_worth_tiling(problem) or problem.weights == "float32":
        return []
    if problem.conv is not None and problem.n < MIN_F16_CONV_CHANNELS:
        return []
    for large in _large_f16_tiles(problem):
        if fits(problem, large):
            return [large]
    workgroups = _workgroups(problem, 64, 64)
    for tile_k in (64, 32):
        tiles = [F16Tile(64, 64, tile_k, 8, 4, split_k=n) for n in SPLIT_K]
        fitting = [tile for tile in tiles if fits(problem, tile)]
        full = [tile for tile in fitting if tile.split_k * workgroups >= FULL_OCCUPANCY_64X64]
        if fitting:
            return [full[0] if full else fitting[-1]]
    return []


def _large_f16_tiles(problem: GemmProblem) -> Sequence[F16Tile]:
    """Return the tile that needs no split of K to fill a GPU, if there is one."""
    if _workgroups(problem, 128, 64) >= FULL_OCCUPANCY_128X64:
        return [F16Tile(128, 64, 32, 8, 4)]
    if _workgroups(problem, 64, 32) >= MIN_WORKGROUPS_64X32:
        return [F16Tile(64, 32, 32, 4, 4)]
    return []


def choose_subgroup_matrix(problem: GemmProblem) -> Sequence[SubgroupMatrixTile]:
    """Return subgroup matrix tiles, best first, with K split where workgroups are too few."""
    if not is_worth_tiling(problem):
        return []
    tuned = tuned_subgroup_matrix_tile(problem)
    tiles = _matrix_tiles_by_rule(problem)
    if tuned:
        is_large = tuned.shared_bytes > MOST_SHARED_BYTES
        tiles = [tuned, *(tile for tile in tiles if is_large and tile != tuned)]
    return [_split(problem, tile) for tile in tiles]


def choose_winograd_f32(problem: GemmProblem) -> Sequence[GemmTile]:
    """Return the tiles of Winograd's products in float32; the last one fits every adapter."""
    if not _is_worth_winograd(problem, MIN_WINOGRAD_CHANNELS):
        return []
    products = winograd_products(problem, is_f16=False)
    is_large = products.n % 128 == 0 and products.m >= MIN_WINOGRAD_ROWS_128X128
    large = _fitting_winograd(problem, GemmTile(128, 128, 16, 8, 8)) if is_large else []
    return [*large, *_fitting_winograd(problem, _BASELINE_TILE)]


def choose_winograd_f16(problem: GemmProblem) -> Sequence[F16Tile]:
    """Return the tile of Winograd's products in float16, where f16 sums are exact enough."""
    if not _is_worth_winograd(problem, MIN_WINOGRAD_CHANNELS) or problem.weights == "float32":
        return []
    if problem.n < MIN_F16_CONV_CHANNELS:
        return []
    return _fitting_winograd(problem, F16Tile(64, 64, 32, 8, 4))


def choose_winograd_subgroup_matrix(problem: GemmProblem) -> Sequence[SubgroupMatrixTile]:
    """Return the tile of Winograd's products on matrix units."""
    if not _is_worth_winograd(problem, MIN_WINOGRAD_MATRIX_CHANNELS):
        return []
    products = winograd_products(problem, is_f16=True)
    groups = _workgroups(products, 128, 128)
    tiles = [SubgroupMatrixTile(64, 64, 64, 2, 2), SubgroupMatrixTile(64, 64, 32, 2, 2)]
    if groups >= MIN_WINOGRAD_WORKGROUPS_128X128:
        tiles.insert(0, SubgroupMatrixTile(128, 128, 32, 2, 2))
    return [tile for tile in tiles if fits_winograd(problem, tile)][:1]


def choose_flash(problem: AttentionProblem) -> Sequence[FlashBlock]:
    """Return blocks for flash attention, best first; the last fits every adapter."""
    return flash_blocks(problem.head_dim) if problem.operations >= MIN_OPERATIONS else []


def choose_attention_subgroup_matrix(problem: AttentionProblem) -> Sequence[SubgroupMatrixBlock]:
    """Return the block for attention by subgroup matrices, where flash attention has one too."""
    block = subgroup_matrix_block(problem) if choose_flash(problem) else None
    return [] if block is None else [block]


def choose_attention_one_pass(problem: AttentionProblem) -> Sequence[OnePassBlock]:
    """Return the block for attention in one pass, for shapes like those that were timed."""
    if problem.keys < MIN_ONE_PASS_KEYS or problem.head_dim > MAX_ONE_PASS_HEAD_DIM:
        return []
    block = OnePassBlock(1, 2, 16)
    is_suitable = choose_attention_subgroup_matrix(problem) and fits_one_pass(problem, block)
    return [block] if is_suitable else []


def choose_norm_sums(problem: NormSumsProblem) -> Sequence[None]:
    """Return whether written kernels take norm statistics: rows must be whole vectors."""
    return [] if problem.channels % VECTOR else [None]


def _workgroups(problem: GemmProblem, tile_m: int, tile_n: int) -> int:
    return problem.products * math.prod(problem.grid(tile_m, tile_n))


def _is_worth_winograd(problem: GemmProblem, min_channels: int) -> bool:
    """Tell whether a convolution has enough rows and channels for Winograd's transforms."""
    return (
        is_winograd_conv(problem)
        and is_worth_tiling(problem)
        and problem.m >= MIN_WINOGRAD_ROWS
        and min(problem.n, problem.k_contiguous) >= min_channels
    )


def _fitting_winograd(problem: GemmProblem, tile: T) -> Sequence[T]:
    return [tile] if fits_winograd(problem, tile) else []


def _tiles_by_rule(problem: GemmProblem) -> Sequence[GemmTile]:
    """Return tiles to try, best first."""
    groups = _workgroups(problem, 128, 64)
    for n in SPLIT_K:
        large = GemmTile(128, 64, 16, 8, 8, split_k=n)
        if n * groups >= FULL_OCCUPANCY_128X64 and fits(problem, large):
            return [large]
    groups = _workgroups(problem, 64, 64)
    # Splits up to the first one that fills the GPU, the largest first.
    splits = [n for n in reversed(SPLIT_K[1:]) if (n - 1) * groups < FULL_OCCUPANCY_64X64]
    split = [GemmTile(64, 64, 32, 8, 4, split_k=n) for n in splits if groups < FULL_OCCUPANCY_64X64]
    return [*split, GemmTile(64, 64, 32, 8, 4)]


def _matrix_tiles_by_rule(problem: GemmProblem) -> Sequence[SubgroupMatrixTile]:
    """Return the preferred tile; behind one of 40 kB of shared memory, one of at most 20 kB."""
    large = SubgroupMatrixTile(128, 256, 32, 2, 4)
    tiles = [SubgroupMatrixTile(64, 64, 64, 2, 2), _FALLBACK_MATRIX_TILE]
    groups = _workgroups(problem, 128, 128)
    is_tall = problem.grid(64, 64)[1] > MAX_WORKGROUPS
    if groups >= MIN_WORKGROUPS_128X128 and (problem.k >= MIN_K_128X128 or is_tall):
        tiles.insert(0, SubgroupMatrixTile(128, 128, 32, 2, 2))
    elif _workgroups(problem, 64, 64) >= MIN_WORKGROUPS_64X64_K32:
        tiles.reverse()
    fitting = [tile for tile in tiles if problem.k_contiguous % tile.k == 0][:1]
    is_long = problem.k >= MIN_K_128X256 and groups <= MAX_WORKGROUPS_128X256
    if fitting and is_long and problem.n % large.n == 0 and problem.m >= MIN_M_128X256:
        fitting.insert(0, large)
    return fitting


def _split(problem: GemmProblem, tile: SubgroupMatrixTile) -> SubgroupMatrixTile:
    """Return a tile with the largest split of K that does not exceed full occupancy."""
    groups = _workgroups(problem, tile.m, tile.n)
    splits = [
        n
        for n in SPLIT_K[1:]
        if n * groups <= FULL_OCCUPANCY_64X64
        and n * MIN_STEPS_PER_SPLIT <= problem.k // tile.k
        and can_split(problem, tile.k, n)
    ]
    return replace(tile, split_k=max(splits, default=1))
