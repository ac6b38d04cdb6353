"""The tiles that tuning tries for a GEMM problem."""

from __future__ import annotations

import math
from collections.abc import Iterator

from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile
from wsd.kernels.gemm.tiled import GemmTile
from wsd.kernels.problem import GemmProblem

# (M, N and K of a tile, then the results of one thread along M and N.)
_TILES_F32 = (
    (64, 64, 32, 8, 4),
    (64, 64, 16, 8, 4),
    (64, 64, 16, 8, 8),
    (128, 64, 16, 8, 8),
    (32, 64, 32, 4, 4),
    (128, 128, 16, 16, 8),
    (32, 32, 16, 4, 4),
)
_SPLIT_K = (1, 2, 3, 4, 8)
# (M, N and K of a tile, then the subgroups along M and N.)
_SUBGROUP_MATRIX_TILES = (
    (128, 128, 32, 2, 2),
    (128, 128, 32, 4, 2),
    (128, 128, 64, 2, 2),
    (128, 256, 32, 2, 4),
    (128, 64, 32, 4, 2),
    (128, 64, 64, 2, 2),
    (64, 64, 32, 2, 2),
    (64, 64, 64, 2, 2),
    (64, 32, 64, 2, 2),
    (32, 64, 64, 2, 2),
)
# Split-K is tried while the workgroups do not exceed the second number; fewer workgroups than
# the first leave most of a GPU idle, unless K is split as often as the third says.
_MIN_WORKGROUPS, _MAX_WORKGROUPS = 64, 1600
_LARGE_SPLIT_K = 6


def tiles_f32(problem: GemmProblem) -> Iterator[GemmTile]:
    """Yield tiles of the f32 kernel; not all of them fit the problem."""
    for edges in _TILES_F32:
        workgroups = math.prod(problem.grid(edges[0], edges[1]))
        for split_k in _SPLIT_K:
            if split_k > 1 and workgroups * split_k > _MAX_WORKGROUPS:
                continue
            if workgroups * split_k >= _MIN_WORKGROUPS or split_k >= _LARGE_SPLIT_K:
                yield GemmTile(*edges, split_k=split_k)


def subgroup_matrix_tiles(_problem: GemmProblem) -> Iterator[SubgroupMatrixTile]:
    """Yield tiles of the subgroup matrix kernel; not all of them fit the problem."""
    for edges in _SUBGROUP_MATRIX_TILES:
        yield SubgroupMatrixTile(*edges)
