"""GEMM on subgroup matrices whose loads, stores and products overlap.

The WGSL and its roofline are in ``templates/matrix_pipelined.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tools.kernel_study.candidate import F16_LIMIT, Candidate, Launch, describe_tile
from tools.kernel_study.gemm import gemm_launches, partial_sums, study_loads
from tools.kernel_study.packing import convert_to_f16, pack_matrix
from wsd.kernels.gemm.split_k import can_split
from wsd.kernels.gemm.subgroup_matrix import PADDING
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, SUBGROUP_MATRIX, SUBGROUPS, VECTOR

# What A is divided by when it is rounded to float16, as in gemm/subgroup_matrix.wgsl.j2.
A_DIVISOR = 64
# M, N and K of one subgroup matrix operation.
UNIT = 16
SUBGROUP_SIZE = 32
MATRIX_FEATURES = (F16, SUBGROUPS, SUBGROUP_MATRIX)


@dataclass(frozen=True)
class PipelinedTile:
    """What one workgroup makes, and how; see the header of the template.

    Attributes:
        m: rows of the result in the workgroup's tile.
        n: columns of the result in the workgroup's tile.
        k: values of k that one step takes.
        subgroups_m: subgroups along m.
        subgroups_n: subgroups along n.
        buffers: tiles of each operand in shared memory, 1 or 2.
        interleaved: whether values along k are in the order in which threads store them.
        w_in_place: whether W is loaded from memory row by row.
        w_packed: whether W is loaded from memory, packed by matrices.
        staged: fragments along n that pass to the epilogue at once.
        split_k: how many workgroups share the sum of one result.
        batch: products of one size, one after another in memory.
        a_is_f16: whether A is stored as float16, divided by 64.
    """

    m: int
    n: int
    k: int
    subgroups_m: int
    subgroups_n: int
    buffers: int = 1
    interleaved: bool = False
    w_in_place: bool = False
    w_packed: bool = False
    staged: int = 1
    split_k: int = 1
    batch: int = 1
    a_is_f16: bool = False

    @property
    def subgroups(self) -> int:
        """Return the subgroups of a workgroup."""
        return self.subgroups_m * self.subgroups_n

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.subgroups * SUBGROUP_SIZE

    @property
    def fragments_m(self) -> int:
        """Return the fragments of the result that a subgroup makes along m."""
        return self.m // self.subgroups_m // UNIT

    @property
    def fragments_n(self) -> int:
        """Return the fragments of the result that a subgroup makes along n."""
        return self.n // self.subgroups_n // UNIT

    @property
    def row_values(self) -> int:
        """Return the float16 values of a row of a tile in shared memory, padding included."""
        return self.k + PADDING

    @property
    def w_direct(self) -> bool:
        """Tell whether matrices of W are loaded from memory."""
        return self.w_in_place or self.w_packed

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes."""
        rows = self.m + (0 if self.w_direct else self.n)
        staging = 4 * self.subgroups * UNIT * self.staged * UNIT
        return 2 * self.buffers * self.row_values * rows + staging


def fits_pipelined(problem: GemmProblem, tile: PipelinedTile) -> bool:
    """Tell whether a tile's steps divide k (of a convolution each tap), and threads have loads."""
    vectors = tile.k // VECTOR
    direct_fits = problem.weights == "float16" and problem.n % (tile.n // tile.subgroups_n) == 0
    return (
        problem.k_contiguous % tile.k == 0
        and can_split(problem, tile.k, tile.split_k)
        and tile.m * vectors % tile.threads == 0
        and tile.threads % vectors == 0
        and tile.fragments_n % tile.staged == 0
        and (direct_fits if tile.w_direct else tile.n * vectors % tile.threads == 0)
    )


def pipelined_launches(problem: GemmProblem, tile: PipelinedTile) -> tuple[Launch, ...]:
    """Return the launches of a problem that the tile fits (:func:`fits_pipelined`).

    Its buffers must hold the operands as the tile wants them: packed, or rounded to float16.
    """
    loads = study_loads(problem, tile, w_direct=tile.w_direct)
    return gemm_launches("matrix_pipelined.wgsl.j2", problem, tile, loads)


def pipelined_candidate(problem: GemmProblem, tile: PipelinedTile) -> Candidate:
    """Return the candidate of a problem that the tile fits (:func:`fits_pipelined`)."""
    result, a, w, *epilogue = problem.buffers
    before = []
    scratch = partial_sums(problem, tile.split_k)
    if tile.a_is_f16:
        conv = problem.conv
        values = (
            conv.batch * conv.height * conv.width * conv.channels if conv else problem.m * problem.k
        )
        before.append(convert_to_f16(a, "a_f16", values, 1 / A_DIVISOR))
        a, scratch["a_f16"] = "a_f16", 2 * values
    if tile.w_packed:
        before.append(pack_matrix(w, "w_packed", (problem.n, problem.k), is_f16=True, once=True))
        w, scratch["w_packed"] = "w_packed", 2 * problem.n * problem.k
    bound = replace(problem, buffers=(result, a, w, *epilogue))
    return Candidate(
        f"pipelined {describe_tile(tile)}",
        (*before, *pipelined_launches(bound, tile)),
        tile.threads,
        tile.shared_bytes,
        F16_LIMIT,
        MATRIX_FEATURES,
        scratch,
    )
