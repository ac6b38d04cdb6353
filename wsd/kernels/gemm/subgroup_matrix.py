"""GEMM on a GPU's matrix units, where the browser offers subgroup matrices (experimental).

The WGSL, its accuracy and its roofline are in ``templates/gemm/subgroup_matrix.wgsl.j2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from wsd.kernels.gemm.loads import TileLoads
from wsd.kernels.gemm.split_k import can_split, describe_tile, gemm_variant
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, SUBGROUP_MATRIX, SUBGROUPS, VECTOR, Variant

# float16 values of padding per row of a tile in shared memory, so that rows begin in different
# memory banks.
PADDING = 8


@dataclass(frozen=True)
class SubgroupMatrixTile:
    """What one workgroup makes, and how it is divided among subgroups.

    Attributes:
        m: rows of the result in the workgroup's tile.
        n: columns of the result in the workgroup's tile.
        k: values of k that one step takes.
        subgroups_m: subgroups along m.
        subgroups_n: subgroups along n.
        fragment: (M, N, K) of one operation of a matrix unit.
        subgroup_size: threads of a subgroup.
        split_k: how many workgroups share the sum of one result.
    """

    m: int
    n: int
    k: int
    subgroups_m: int
    subgroups_n: int
    fragment: tuple[int, int, int] = (16, 16, 16)
    subgroup_size: int = 32
    split_k: int = 1

    @property
    def label(self) -> str:
        """Return the tile in words, for reports."""
        return describe_tile(self, f"{self.subgroups_m}x{self.subgroups_n} subgroups")

    @property
    def subgroups(self) -> int:
        """Return the subgroups of a workgroup."""
        return self.subgroups_m * self.subgroups_n

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.subgroups * self.subgroup_size

    @property
    def fragment_m(self) -> int:
        """Return the rows of the result of one matrix operation."""
        return self.fragment[0]

    @property
    def fragment_n(self) -> int:
        """Return the columns of the result of one matrix operation."""
        return self.fragment[1]

    @property
    def fragment_k(self) -> int:
        """Return the values of k of one matrix operation."""
        return self.fragment[2]

    @property
    def rows_m(self) -> int:
        """Return the rows of the result that a subgroup makes."""
        return self.m // self.subgroups_m

    @property
    def rows_n(self) -> int:
        """Return the columns of the result that a subgroup makes."""
        return self.n // self.subgroups_n

    @property
    def fragments_m(self) -> int:
        """Return the fragments of the result that a subgroup makes along m."""
        return self.rows_m // self.fragment_m

    @property
    def fragments_n(self) -> int:
        """Return the fragments of the result that a subgroup makes along n."""
        return self.rows_n // self.fragment_n

    @property
    def row_values(self) -> int:
        """Return the float16 values of a row of a tile in shared memory, padding included."""
        return self.k + PADDING

    @property
    def part_rows(self) -> int:
        """Return the rows of A or W in one array in shared memory, a multiple of a fragment's.

        As many columns of results pass through one such array at a time.
        """
        return math.gcd(self.rows_m, self.rows_n)

    @property
    def stage_row(self) -> int:
        """Return the float32 values of a row of results in shared memory, padding included."""
        return self.part_rows + PADDING

    @property
    def part_vectors(self) -> int:
        """Return the vectors of four float16 values of one array in shared memory."""
        operand = self.part_rows * self.row_values
        return max(operand, 2 * self.fragment_m * self.stage_row) // VECTOR

    @property
    def parts(self) -> int:
        """Return the arrays in shared memory: of the operands, and later one for each subgroup.

        The latter are more for 2x4 subgroups: that tile of 128x256 takes 40 kB, its operands 30.
        """
        return max((self.m + self.n) // self.part_rows, self.subgroups)

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes."""
        return 2 * VECTOR * self.part_vectors * self.parts


def fits_subgroup_matrix(problem: GemmProblem, tile: SubgroupMatrixTile) -> bool:
    """Tell whether a tile's steps divide k (of a convolution each tap), and k can be split."""
    return problem.k_contiguous % tile.k == 0 and can_split(problem, tile.k, tile.split_k)


def subgroup_matrix_gemm(problem: GemmProblem, tile: SubgroupMatrixTile) -> Variant:
    """Return the kernel of a problem that the tile fits, float32 sums of float16 operands."""
    for rows in (TileLoads.of(problem, tile).row_stride, tile.fragment_m, tile.fragment_n):
        assert tile.part_rows % rows == 0, f"what {tile} loads is in no single array"
    return replace(
        gemm_variant("gemm/subgroup_matrix.wgsl.j2", problem, tile, packs_w=True),
        features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
        subgroup_matrix=tile.fragment,
        subgroup_size=(tile.subgroup_size, tile.subgroup_size),
    )
