"""Further tiles of a problem, among which ``tune`` chooses on a visitor's GPU.

The tiles that run by default were measured on an H200: many of them split K among hundreds of
workgroups. A further tile suits another GPU. The large ones load fewest values for each product,
but take 14 to 20 kB of shared memory and 64 or 128 sums in the registers of each thread. The small
ones take 5 kB and 16 sums, in workgroups of 64 threads. K is not split: a GPU of few cores has
work for all of them without the second launch. llama.cpp's Vulkan kernels have tiles of the same
sizes (ggml-vulkan.cpp: 128x128x16, 64x64x16 and 32x32x16). None was timed on the GPUs that they
are for, so that none runs unless tuning on that GPU found it to be faster.

On matrix units the larger tile, of 128x256, takes 40 kB of shared memory. Where a device allows a
workgroup less, the rule ``shared-memory`` (:mod:`wsd.spec.selection`) refuses it, and tuning has
the other one, with 20 kB and 32 sums in the registers of each thread.

Most of them have the K of a tile that runs by default. So they share its head in ``kernels.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from wsd.kernels import heuristics
from wsd.kernels.attention.flash import FlashBlock, further_flash_blocks
from wsd.kernels.attention.one_pass import OnePassBlock
from wsd.kernels.attention.subgroup_matrix import (
    SubgroupMatrixBlock,
    further_subgroup_matrix_blocks,
)
from wsd.kernels.conv.winograd import winograd_products
from wsd.kernels.gemm.f16 import F16Tile
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile
from wsd.kernels.gemm.tiled import GemmTile
from wsd.kernels.problem import AttentionProblem, GemmProblem, NormSumsProblem

T = TypeVar("T", GemmTile, F16Tile, SubgroupMatrixTile)

# Operations below which a problem has no further tiles: a GPU of 1 TFLOP/s computes them in 1 ms.
# The problems above have 98 % of the operations of each large model. The small models have none
# above: they wait for launches, not for arithmetic.
MIN_FURTHER_OPERATIONS = 1 << 30
# Most further tiles of one kind for a problem: tuning should be done within seconds.
MOST_FURTHER = 3
# A tile of more results than 64x64 needs so many workgroups, or cores of most GPUs are idle.
MIN_LARGE_WORKGROUPS = 32
# How many times as many results as the problem has may be computed: the edges of tiles are idle.
MAX_PADDING = 4 / 3

TILES_F32 = (
    GemmTile(128, 128, 16, 16, 8),
    GemmTile(128, 64, 16, 8, 8),
    GemmTile(32, 32, 16, 4, 4),
)
# The first is as large as the largest that runs by default, but has half as many threads, so that
# each value that one reads from shared memory is multiplied more often. The second is for problems
# that have a larger or a smaller tile by default, or one that splits K.
TILES_F16 = (F16Tile(128, 64, 32, 8, 8), F16Tile(64, 64, 32, 8, 4), F16Tile(32, 32, 32, 4, 4))
# On an H200 the first was the fastest for large products (8192x6144x1536: 0.89 ms; 128x128 by 2x2
# subgroups: 0.92 ms), the second was often within 5 % of the fastest.
TILES_MATRIX = (SubgroupMatrixTile(128, 256, 32, 2, 4), SubgroupMatrixTile(128, 64, 32, 4, 2))

# By default a workgroup is one subgroup of 32 queries, with 16 keys at a time. On an H200 two
# subgroups took 1.03 to 1.07 times as long, 32 keys 1.00 to 1.26 times. On another GPU they may
# win: two subgroups load the same keys at about the same time, and 32 keys need half as many
# barriers.
BLOCKS_ONE_PASS = (OnePassBlock(2, 2, 16), OnePassBlock(1, 2, 32))


def is_negligible(problem: GemmProblem | AttentionProblem | NormSumsProblem) -> bool:
    """Tell whether a problem has too few operations for tuning to try further tiles."""
    operations = 0 if isinstance(problem, NormSumsProblem) else problem.operations
    return operations < MIN_FURTHER_OPERATIONS


# Of a convolution that Winograd's products compute, a GEMM has no further tiles: it has 2.25
# times as many products, which no tile makes up for.


def further_f32(problem: GemmProblem) -> Iterable[GemmTile]:
    """Yield tiles for float32 sums."""
    return () if heuristics.choose_winograd_f32(problem) else _suitable(problem, TILES_F32)


def further_f16(problem: GemmProblem) -> Iterable[F16Tile]:
    """Yield tiles for float16 products."""
    return () if heuristics.choose_winograd_f16(problem) else _suitable(problem, TILES_F16)


def further_subgroup_matrix(problem: GemmProblem) -> Iterable[SubgroupMatrixTile]:
    """Yield tiles for matrix units."""
    by_winograd = heuristics.choose_winograd_subgroup_matrix(problem)
    return () if by_winograd else _suitable(problem, TILES_MATRIX)


def further_winograd_f32(problem: GemmProblem) -> Iterable[GemmTile]:
    """Yield tiles of Winograd's products in float32."""
    return _suitable(winograd_products(problem, is_f16=False), TILES_F32)


def further_winograd_f16(problem: GemmProblem) -> Iterable[F16Tile]:
    """Yield tiles of Winograd's products in float16."""
    return _suitable(winograd_products(problem, is_f16=True), TILES_F16)


def further_winograd_matrix(problem: GemmProblem) -> Iterable[SubgroupMatrixTile]:
    """Yield tiles of Winograd's products on matrix units."""
    return _suitable(winograd_products(problem, is_f16=True), TILES_MATRIX)


def further_flash(problem: AttentionProblem) -> Iterable[FlashBlock]:
    """Return blocks for flash attention."""
    return further_flash_blocks(problem.head_dim)


def further_one_pass(_problem: AttentionProblem) -> Iterable[OnePassBlock]:
    """Return blocks for attention on matrix units in one pass."""
    return BLOCKS_ONE_PASS


def further_matrix_attention(problem: AttentionProblem) -> Iterable[SubgroupMatrixBlock]:
    """Return blocks for attention on matrix units."""
    return further_subgroup_matrix_blocks(problem)


def _suitable(problem: GemmProblem, tiles: Iterable[T]) -> Iterator[T]:
    """Yield the tiles that leave few cores and few threads idle."""
    for tile in tiles:
        across, down = problem.grid(tile.m, tile.n)
        is_large = tile.m * tile.n > 64 * 64
        if is_large and problem.products * across * down < MIN_LARGE_WORKGROUPS:
            continue
        if across * tile.n * down * tile.m <= MAX_PADDING * problem.n * problem.m:
            yield tile
