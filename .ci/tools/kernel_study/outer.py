"""GEMM by outer products of registers, tiles transposed in shared memory; f16 or f32.

The WGSL, its accuracy and its roofline are in ``templates/outer.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tools.kernel_study.candidate import (
    F16_LIMIT,
    F32_LIMIT,
    Candidate,
    Launch,
    describe_tile,
)
from tools.kernel_study.gemm import gemm_launches, partial_sums, study_loads
from wsd.kernels.gemm.split_k import can_split
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, VECTOR

# What A is divided by when it is rounded to float16, as in gemm/f16.wgsl.j2.
A_DIVISOR = 16


@dataclass(frozen=True)
class OuterTile:
    """What one workgroup makes, and what each of its threads makes.

    Attributes:
        m: rows of the result in the workgroup's tile.
        n: columns of the result in the workgroup's tile.
        k: values of k that one step takes.
        thread_m: results that a thread makes along m, a multiple of 4.
        thread_n: results that a thread makes along n, a multiple of 4.
        is_f16: whether products are float16.
        flush: values of k that are summed in float16.
        buffers: tiles of each operand in shared memory, 1 or 2.
        split_k: how many workgroups share the sum of one result.
        batch: products of one size, one after another in memory.
        a_is_f16: whether A is stored as float16, divided by 16.
    """

    m: int
    n: int
    k: int
    thread_m: int
    thread_n: int
    is_f16: bool = True
    flush: int = 16
    buffers: int = 1
    split_k: int = 1
    batch: int = 1
    a_is_f16: bool = False

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
    def stride_m(self) -> int:
        """Return the vectors from one k to the next in the tile of A, one of padding included."""
        return self.m // VECTOR + 1

    @property
    def stride_n(self) -> int:
        """Return the vectors from one k to the next in the tile of W, one of padding included."""
        return self.n // VECTOR + 1

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes, padding included."""
        size = 2 if self.is_f16 else 4
        return size * VECTOR * self.buffers * self.k * (self.stride_m + self.stride_n)


def fits_outer(problem: GemmProblem, tile: OuterTile) -> bool:
    """Tell whether a tile's steps divide k (of a convolution each tap), and threads have loads."""
    block = VECTOR * VECTOR * tile.threads
    return (
        problem.k_contiguous % tile.k == 0
        and can_split(problem, tile.k, tile.split_k)
        and tile.k * tile.m % block == 0
        and tile.k * tile.n % block == 0
        and tile.threads % (tile.k // VECTOR) == 0
        and tile.k % tile.flush == 0
    )


def outer_launches(problem: GemmProblem, tile: OuterTile) -> tuple[Launch, ...]:
    """Return the launches of a problem that the tile fits (:func:`fits_outer`)."""
    loads = study_loads(problem, tile, blocks=True)
    return gemm_launches("outer.wgsl.j2", problem, tile, loads)


def outer_candidate(problem: GemmProblem, tile: OuterTile) -> Candidate:
    """Return the candidate of a problem that the tile fits (:func:`fits_outer`)."""
    return Candidate(
        f"outer {'f16' if tile.is_f16 else 'f32'} {describe_tile(tile)}",
        outer_launches(problem, tile),
        tile.threads,
        tile.shared_bytes,
        F16_LIMIT if tile.is_f16 else F32_LIMIT,
        (F16,) if tile.is_f16 else (),
        partial_sums(problem, tile.split_k),
    )
