"""What the study's GEMMs share: how threads load tiles, and split-K.

They differ from :mod:`wsd.kernels.gemm` in how operands may be stored and in who loads them. The
WGSL is in ``templates/operands.wgsl.j2`` and ``templates/loads.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

from tools.kernel_study.candidate import FLAT_THREADS, SCRATCH, Launch, flat_grid
from tools.kernel_study.template import render
from wsd.kernels.gemm.loads import TileLoads
from wsd.kernels.gemm.split_k import SplitKTile
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import VECTOR

F32_VECTOR = "vec4<f32>"
F16_VECTOR = "vec2<u32>"
# WGSL types of four values of W, as they lie in memory.
_W_TYPES = {"float32": F32_VECTOR, "float16": F16_VECTOR, "int8": "u32"}


class StudyTile(SplitKTile, Protocol):
    """A tile of a GEMM of the study."""

    @property
    def batch(self) -> int:
        """Return the products of one size, one after another in memory."""

    @property
    def a_is_f16(self) -> bool:
        """Tell whether A is stored as float16, divided."""


@dataclass(frozen=True)
class StudyLoads(TileLoads):
    """How the rows of a tile of A and of one of W are shared among threads.

    Attributes:
        a_type: WGSL type of an element of A's buffer.
        w_type: the same of W's; "f16" if subgroup matrices are loaded from it.
        blocks: whether a thread loads blocks of 4 rows, which it can transpose, instead of rows
            that are ``row_stride`` apart.
    """

    a_type: str = F32_VECTOR
    w_type: str = F32_VECTOR
    blocks: bool = False

    def row(self, i: int) -> str:
        """Return the WGSL of the row of the tile that a thread's i-th vector is in."""
        if self.blocks:
            block, row = divmod(i, VECTOR)
            return f"(load_row + {block * self.row_stride}u) * {VECTOR}u + {row}u"
        return f"load_row + {i * self.row_stride}u"

    @property
    def w_vectors(self) -> int:
        """Return how many vectors of W a thread loads in a step."""
        return 0 if self.w_type == "f16" else super().w_vectors


def study_loads(
    problem: GemmProblem, tile: StudyTile, *, blocks: bool = False, w_direct: bool = False
) -> StudyLoads:
    """Return how the threads of a problem's workgroups load.

    Args:
        problem: what is computed.
        tile: what one workgroup makes.
        blocks: whether a thread loads blocks of 4 rows.
        w_direct: whether subgroup matrices are loaded from W's buffer, past shared memory.
    """
    return StudyLoads(
        **{**asdict(TileLoads.of(problem, tile)), "batched": tile.batch > 1},
        a_type=F16_VECTOR if tile.a_is_f16 else F32_VECTOR,
        w_type="f16" if w_direct else _W_TYPES[problem.weights],
        blocks=blocks,
    )


def gemm_launches(
    template: str, problem: GemmProblem, tile: StudyTile, loads: StudyLoads
) -> tuple[Launch, ...]:
    """Return the launches of a GEMM template that makes one tile a workgroup.

    Args:
        template: file in ``templates/``; it takes ``problem``, ``tile`` and ``loads``.
        problem: what is computed, with the names of the buffers that are bound.
        tile: what one workgroup makes, and into how many slices k is split.
        loads: how its threads load.
    """
    result, a, w, *epilogue = problem.buffers
    shader = render(template, problem=problem, tile=tile, loads=loads)
    grid = problem.grid(tile.m, tile.n)
    if tile.split_k == 1:
        return (Launch(shader, (*grid, tile.batch), problem.buffers, "products"),)
    reduce = render(
        "gemm/split_k_reduce.wgsl.j2", problem=problem, split_k=tile.split_k, threads=FLAT_THREADS
    )
    return (
        Launch(shader, (*grid, tile.split_k), (SCRATCH, a, w), "products"),
        Launch(reduce, flat_grid(problem.m * problem.n), (result, SCRATCH, *epilogue), "sums"),
    )


def partial_sums(problem: GemmProblem, split_k: int) -> dict[str, int]:
    """Return the buffer of partial sums with its bytes; none if k is not split."""
    return {SCRATCH: 4 * split_k * problem.m * problem.n} if split_k > 1 else {}
