"""GEMM tiled in shared memory and registers, on any WebGPU adapter; float32 sums.

The WGSL, its roofline included, is in ``templates/gemm/tiled.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsd.kernels.gemm.split_k import can_split, describe_tile, gemm_variant
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import VECTOR, Variant


@dataclass(frozen=True)
class GemmTile:
    """What one workgroup makes, and what each of its threads makes.

    Attributes:
        m: rows of the result in the workgroup's tile.
        n: columns of the result in the workgroup's tile.
        k: values of k that one step takes.
        thread_m: results that a thread makes along m.
        thread_n: results that a thread makes along n.
        split_k: how many workgroups share the sum of one result.
    """

    m: int
    n: int
    k: int
    thread_m: int
    thread_n: int
    split_k: int = 1

    @property
    def label(self) -> str:
        """Return the tile in words, for reports."""
        return describe_tile(self, f"{self.thread_m}x{self.thread_n} a thread")

    @property
    def threads_m(self) -> int:
        """Return the threads of a workgroup along m."""
        return self.m // self.thread_m

    @property
    def threads_n(self) -> int:
        """Return the threads of a workgroup along n."""
        return self.n // self.thread_n

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.threads_m * self.threads_n

    @property
    def row_vectors(self) -> int:
        """Return the vectors of a row of a tile in shared memory, one of padding included."""
        return self.k // VECTOR + 1

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes, padding included."""
        return 4 * VECTOR * self.row_vectors * (self.m + self.n)


def fits(problem: GemmProblem, tile: GemmTile) -> bool:
    """Tell whether a tile's steps divide k (of a convolution each tap), and k can be split."""
    return problem.k_contiguous % tile.k == 0 and can_split(problem, tile.k, tile.split_k)


def tiled_gemm(problem: GemmProblem, tile: GemmTile) -> Variant:
    """Return the tiled kernel of a problem that the tile fits (:func:`fits`)."""
    return gemm_variant("gemm/tiled.wgsl.j2", problem, tile)
