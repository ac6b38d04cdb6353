"""GEMM on subgroup matrices whose loads, stores and products overlap.

The WGSL and its roofline are in ``templates/gemm/matrix_pipelined.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsd.kernels.gemm.loads import TileLoads
from wsd.kernels.gemm.split_k import gemm_variant
from wsd.kernels.gemm.subgroup_matrix import PADDING
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, SUBGROUP_MATRIX, SUBGROUPS, Variant

_W_TYPES = {"float32": "vec4<f32>", "float16": "vec2<u32>", "int8": "u32"}
_UNIT = 16
_SUBGROUP_SIZE = 32


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
        padding: float16 values between the rows of a tile.
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
    padding: int = PADDING
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
        return self.subgroups * _SUBGROUP_SIZE

    @property
    def fragments_m(self) -> int:
        """Return the fragments of the result that a subgroup makes along m."""
        return self.m // self.subgroups_m // _UNIT

    @property
    def fragments_n(self) -> int:
        """Return the fragments of the result that a subgroup makes along n."""
        return self.n // self.subgroups_n // _UNIT

    @property
    def row_values(self) -> int:
        """Return the float16 values of a row of a tile in shared memory, padding included."""
        return self.k + self.padding

    @property
    def w_direct(self) -> bool:
        """Tell whether matrices of W are loaded from memory."""
        return self.w_in_place or self.w_packed

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes."""
        rows = self.m + (0 if self.w_direct else self.n)
        staging = 4 * self.subgroups * _UNIT * self.staged * _UNIT
        return 2 * self.buffers * self.row_values * rows + staging


def fits_pipelined(problem: GemmProblem, tile: PipelinedTile) -> bool:
    """Tell whether a tile's steps divide k (of a convolution each tap), and threads have loads."""
    vectors = tile.k // 4
    return (
        problem.k_contiguous % tile.k == 0
        and problem.k // tile.k % tile.split_k == 0
        and tile.m * vectors % tile.threads == 0
        and (tile.w_direct or tile.n * vectors % tile.threads == 0)
        and tile.threads % vectors == 0
        and tile.fragments_n % tile.staged == 0
        and not (tile.w_direct and problem.n % (tile.n // tile.subgroups_n))
        and not (tile.w_direct and problem.weights != "float16")
    )


def pipelined_gemm(problem: GemmProblem, tile: PipelinedTile) -> Variant:
    """Return the kernel of a problem that the tile fits (:func:`fits_pipelined`)."""
    loads = replace(
        TileLoads.of(problem, tile),
        a_type="vec2<u32>" if tile.a_is_f16 else "vec4<f32>",
        w_type=_W_TYPES[problem.weights],
        raw_weights=True,
        batched=tile.batch > 1,
        w_direct=tile.w_direct,
    )
    return replace(
        gemm_variant("gemm/matrix_pipelined.wgsl.j2", problem, tile, loads),
        features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
        subgroup_matrix=(_UNIT, _UNIT, _UNIT),
        subgroup_size=(_SUBGROUP_SIZE, _SUBGROUP_SIZE),
    )
