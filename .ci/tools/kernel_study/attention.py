"""Attention with products in float16, for GPUs without subgroup matrices.

The WGSL is in ``templates/flash_f16.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import astuple

from tools.kernel_study.candidate import Candidate, Launch
from tools.kernel_study.template import render
from wsd.kernels.attention.flash import FlashBlock
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.variant import F16, SUBGROUPS, VECTOR

# Sums of products in float16 are less exact than those of subgroup matrices.
_FLASH_F16_LIMIT = 6e-3


def flash_f16_candidate(problem: AttentionProblem, block: FlashBlock) -> Candidate:
    """Return flash attention in float16.

    Args:
        problem: the attention.
        block: one that meets the preconditions of the template for the problem's head_dim.
    """
    head_dim = problem.head_dim
    score_threads_x = block.keys // block.score_thread_tile[1]
    q_stride = head_dim // VECTOR | 1
    kv_row, kv_rows = max(block.key_stride, block.value_stride), max(block.keys, head_dim)
    shader = render(
        "flash_f16.wgsl.j2",
        problem=problem,
        block=block,
        head_dim=head_dim,
        masks_keys=problem.keys % block.keys != 0,
        q_stride=q_stride,
        kv_row=kv_row,
        kv_rows=kv_rows,
        shuffles=[1 << bit for bit in range(score_threads_x.bit_length() - 1)],
    )
    vectors = kv_row * kv_rows + block.queries * (block.score_stride + q_stride)
    grid = (-(-problem.queries // block.queries), problem.heads, problem.batch)
    return Candidate(
        f"flash f16 {astuple(block)}",
        (Launch(shader, grid, problem.buffers, "attention"),),
        block.threads,
        2 * VECTOR * vectors + 4 * block.queries,
        _FLASH_F16_LIMIT,
        (F16, SUBGROUPS),
    )
