"""Attention in one pass on subgroup matrices, and flash attention in float16.

The WGSL is in ``templates/matrix_one_pass.wgsl.j2`` and ``templates/flash_f16.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from tools.kernel_study.candidate import F16_LIMIT, Candidate, Launch, flat_grid
from tools.kernel_study.matrix_pipelined import MATRIX_FEATURES, SUBGROUP_SIZE, UNIT
from tools.kernel_study.template import render
from wsd.kernels.attention.flash import FlashBlock
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.variant import F16, SUBGROUPS, VECTOR

# Sums of products in float16 are less exact than those of subgroup matrices.
_FLASH_F16_LIMIT = 6e-3
# Powers of 2 that a score may exceed a row's reference by, before the row's sums are scaled down.
_THRESHOLD = 8


@dataclass(frozen=True)
class OnePassBlock:
    """What one workgroup of the attention in one pass computes at a time.

    Attributes:
        subgroups: subgroups of a workgroup.
        row_units: queries of a subgroup, in units of 16: 1 or 2.
        keys: keys at a time, a multiple of 16.
    """

    subgroups: int
    row_units: int
    keys: int

    @property
    def queries(self) -> int:
        """Return the queries of a workgroup."""
        return self.subgroups * self.row_units * UNIT

    @property
    def score_stride(self) -> int:
        """Return how many f32 values lie from one key's scores to the next in shared memory."""
        return self.row_units * UNIT + 4

    @property
    def probability_stride(self) -> int:
        """Return how many f16 values lie from one key's probabilities to the next."""
        return self.row_units * UNIT + 8

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes."""
        key_bytes = 4 * self.score_stride + 2 * self.probability_stride
        return self.subgroups * self.keys * key_bytes + 16


def one_pass_candidate(problem: AttentionProblem, block: OnePassBlock) -> Candidate:
    """Return the attention in one pass: three launches pack the operands, one computes."""
    result, *operands = problem.buffers
    head_dim = _round_up(problem.head_dim, UNIT)
    queries = _round_up(problem.queries, block.queries)
    keys = _round_up(problem.keys, block.keys)
    rows = ((problem.queries, queries), (problem.keys, keys), (problem.keys, keys))
    factors = (problem.exp2_scale, 1.0, 1.0)
    launches, packed = [], []
    scratch = {}
    for name, (unpadded, padded), factor in zip(operands, rows, factors, strict=True):
        values = problem.batch * problem.heads * padded * head_dim
        shader = render(
            "pack_heads.wgsl.j2",
            batch=problem.batch,
            heads=problem.heads,
            rows=unpadded,
            padded_rows=padded,
            head_dim=problem.head_dim,
            padded_head_dim=head_dim,
            factor=factor,
        )
        packed.append(f"{name}_packed")
        launches.append(
            Launch(shader, flat_grid(values // VECTOR), (packed[-1], name), f"pack {name}")
        )
        scratch[packed[-1]] = 2 * values
    shader = render(
        "matrix_one_pass.wgsl.j2",
        problem=problem,
        block=block,
        head_dim=problem.head_dim,
        padded_head_dim=head_dim,
        padded_keys=keys,
        query_units=queries // UNIT,
        masks_keys=keys != problem.keys,
        threshold=_THRESHOLD,
    )
    grid = (queries // block.queries, problem.heads, problem.batch)
    return Candidate(
        f"one pass s{block.subgroups} r{block.row_units} k{block.keys}",
        (*launches, Launch(shader, grid, (result, *packed), "attention")),
        SUBGROUP_SIZE * block.subgroups,
        block.shared_bytes,
        F16_LIMIT,
        MATRIX_FEATURES,
        scratch,
    )


def flash_f16_candidate(problem: AttentionProblem, block: FlashBlock) -> Candidate:
    """Return flash attention in float16.

    Args:
        problem: the attention.
        block: one that meets the preconditions of the template for the problem's head_dim.
    """
    head_dim = problem.head_dim
    score_threads_x = block.keys // block.score_thread_tile[1]
    q_stride = head_dim // VECTOR | 1
    shader = render(
        "flash_f16.wgsl.j2",
        problem=problem,
        block=block,
        head_dim=head_dim,
        masks_keys=problem.keys % block.keys != 0,
        q_stride=q_stride,
        shuffles=[1 << bit for bit in range(score_threads_x.bit_length() - 1)],
    )
    vectors = block.kv_tile_vectors(head_dim) + block.queries * (block.score_stride + q_stride)
    grid = (-(-problem.queries // block.queries), problem.heads, problem.batch)
    return Candidate(
        f"flash f16 {astuple(block)}",
        (Launch(shader, grid, problem.buffers, "attention"),),
        block.threads,
        2 * VECTOR * vectors + 4 * block.queries,
        _FLASH_F16_LIMIT,
        (F16, SUBGROUPS),
    )


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
