"""GEMM on subgroup matrices that are loaded from packed operands, without shared memory.

The WGSL and its roofline are in ``templates/matrix_direct.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tools.kernel_study.candidate import F16_LIMIT, Candidate, Launch
from tools.kernel_study.matrix_pipelined import A_DIVISOR, MATRIX_FEATURES, SUBGROUP_SIZE, UNIT
from tools.kernel_study.packing import pack_matrix
from tools.kernel_study.template import render
from wsd.kernels.problem import GemmProblem


@dataclass(frozen=True)
class DirectTile:
    """What one workgroup makes.

    Attributes:
        fragments_m: fragments of the result that a subgroup makes along m.
        fragments_n: fragments of the result that a subgroup makes along n.
        subgroups_m: subgroups along m.
        subgroups_n: subgroups along n.
        staged: fragments along n that pass to the epilogue at once.
    """

    fragments_m: int
    fragments_n: int
    subgroups_m: int
    subgroups_n: int
    staged: int

    @property
    def subgroups(self) -> int:
        """Return the subgroups of a workgroup."""
        return self.subgroups_m * self.subgroups_n


def fits_direct(problem: GemmProblem, tile: DirectTile) -> bool:
    """Tell whether a problem is a linear layer of float16 weights that the tile divides."""
    return (
        problem.conv is None
        and problem.weights == "float16"
        and problem.n % (UNIT * tile.fragments_n) == 0
        and problem.k % UNIT == 0
    )


def direct_candidate(problem: GemmProblem, tile: DirectTile) -> Candidate:
    """Return the candidate of a problem that the tile fits (:func:`fits_direct`)."""
    result, a, w, *epilogue = problem.buffers
    rows = UNIT * tile.fragments_m * tile.subgroups_m
    columns = UNIT * tile.fragments_n * tile.subgroups_n
    width, height = problem.grid(rows, columns)
    padded_m = height * rows
    shader = render("matrix_direct.wgsl.j2", problem=problem, tile=tile)
    buffers = (result, "a_packed", "w_packed", *epilogue)
    return Candidate(
        f"direct f{tile.fragments_m}x{tile.fragments_n} s{tile.subgroups_m}x{tile.subgroups_n} "
        f"st{tile.staged}",
        (
            pack_matrix(w, "w_packed", (problem.n, problem.k), is_f16=True, once=True),
            pack_matrix(
                a,
                "a_packed",
                (problem.m, problem.k),
                padded_rows=padded_m,
                factor=1 / A_DIVISOR,
            ),
            Launch(shader, (width, height, 1), buffers, "products"),
        ),
        SUBGROUP_SIZE * tile.subgroups,
        4 * tile.subgroups * UNIT * UNIT * tile.staged,
        F16_LIMIT,
        MATRIX_FEATURES,
        {"w_packed": 2 * problem.n * problem.k, "a_packed": 2 * padded_m * problem.k},
    )
