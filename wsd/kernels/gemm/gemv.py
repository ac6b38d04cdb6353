"""GEMM of a few rows (GEMV): linear layers whose weights are read once and not reused.

The WGSL, its roofline included, is in ``templates/gemm/gemv.wgsl.j2``.
"""

from __future__ import annotations

from wsd.kernels.problem import GemmProblem
from wsd.kernels.reduce.workgroup_sum import WorkgroupSum
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import Launch, Variant

_THREADS = 256
_THREADS_PER_RESULT = 64


def gemv(problem: GemmProblem, subgroups: bool = False) -> Variant:
    """Return the kernel of a linear layer whose k is a multiple of 4.

    Args:
        problem: a linear layer; each row of the result is a row of workgroups.
        subgroups: whether the GPU's subgroups add, instead of a tree in shared memory.
    """
    reduction = WorkgroupSum(_THREADS, _THREADS_PER_RESULT, subgroups)
    head, body = render_head_and_body("gemm/gemv.wgsl.j2", problem=problem, reduction=reduction)
    launch = Launch(
        head=head,
        body=body,
        grid=(-(-problem.n // reduction.sums), problem.m, 1),
        buffers=problem.buffers,
    )
    return reduction.variant(launch, problem.operations)
