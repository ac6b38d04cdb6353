"""Attention on subgroup matrices: blocks and the kernel ``attention/subgroup_matrix.wgsl.j2``.

The template's header has the equation, the layouts and the roofline.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsd.kernels.problem import AttentionProblem
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import F16, SUBGROUP_MATRIX, SUBGROUPS, VECTOR, Launch, Variant

# M, N and K of one subgroup matrix operation.
_UNIT = 16
_SUBGROUP_SIZE = 32
# Elements of padding after a row in shared memory: the next row begins in another bank, and
# rows stay aligned to 16 bytes.
_PADDING_F16 = 8
_PADDING_F32 = 4
_MAX_HEAD_DIM = 160


@dataclass(frozen=True)
class MatrixBlock:
    """What one workgroup of an attention on subgroup matrices computes at a time.

    Attributes:
        subgroups: subgroups of a workgroup.
        row_units: queries of a subgroup, in units of 16: 1 or 2.
        keys: keys at a time, a multiple of 16.
    """

    subgroups: int
    row_units: int
    keys: int

    @property
    def label(self) -> str:
        """Return the block in words, for reports."""
        rows = self.row_units * _UNIT
        return f"{self.subgroups} subgroups of {rows} queries, {self.keys} keys"

    @property
    def queries(self) -> int:
        """Return the queries of a workgroup."""
        return self.subgroups * self.row_units * _UNIT

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.subgroups * _SUBGROUP_SIZE


@dataclass(frozen=True)
class SubgroupMatrixBlock(MatrixBlock):
    """A block of the attention in two passes."""

    @property
    def score_stride(self) -> int:
        """Return how many f32 values lie from one query's scores to the next in shared memory."""
        return self.keys + _PADDING_F32

    @property
    def probability_stride(self) -> int:
        """Return how many f16 values lie from one query's probabilities to the next."""
        return self.keys + _PADDING_F16

    def kv_stride(self, head_dim: int) -> int:
        """Return how many f16 values lie from one query, key or value to the next."""
        return _padded(head_dim) + _PADDING_F16

    def kv_tile_f16(self, head_dim: int) -> int:
        """Return how many f16 values shared memory holds of queries, later of keys and values."""
        return max(2 * self.keys, self.queries) * self.kv_stride(head_dim)

    def shared_bytes(self, head_dim: int) -> int:
        """Return the shared memory of a workgroup in bytes."""
        f16_values = self.kv_tile_f16(head_dim) + self.queries * self.probability_stride
        return 2 * f16_values + 4 * self.queries * (self.score_stride + 1)


def _padded(head_dim: int) -> int:
    """Return a head_dim filled up to a multiple of the unit."""
    return -(-head_dim // _UNIT) * _UNIT


def subgroup_matrix_block(problem: AttentionProblem) -> SubgroupMatrixBlock | None:
    """Return the block for a problem, or None if the kernel cannot compute it.

    It takes no bias. T5, which has one, does not scale its scores: they are sqrt(head_dim) times
    as large as others, and so is what the rounding of queries and keys to f16 adds to exponents.
    """
    if problem.causal or problem.bias:
        return None
    if problem.head_dim % VECTOR or problem.head_dim > _MAX_HEAD_DIM:
        return None
    return SubgroupMatrixBlock(4, 1, 32)


def further_subgroup_matrix_blocks(problem: AttentionProblem) -> list[SubgroupMatrixBlock]:
    """Return blocks for tuning alone, beside that of :func:`subgroup_matrix_block`.

    The first loads each matrix of keys for 32 queries, the second takes little shared memory.
    """
    if subgroup_matrix_block(problem) is None:
        return []
    return [SubgroupMatrixBlock(2, 2, 32), SubgroupMatrixBlock(2, 1, 32)]


def subgroup_matrix_attention(problem: AttentionProblem, block: SubgroupMatrixBlock) -> Variant:
    """Return the subgroup matrix kernel of an attention without a causal mask and a bias.

    Args:
        problem: the attention; ``head_dim`` is a multiple of 4.
        block: :func:`subgroup_matrix_block`, or another.
    """
    head, body = render_head_and_body(
        "attention/subgroup_matrix.wgsl.j2",
        problem=problem,
        block=block,
        head_dim=problem.head_dim,
        padded_head_dim=_padded(problem.head_dim),
        masks_keys=problem.keys % block.keys != 0,
        UNIT=_UNIT,
        SUBGROUP_SIZE=_SUBGROUP_SIZE,
    )
    grid = (-(-problem.queries // block.queries), problem.heads, problem.batch)
    return Variant(
        launches=(Launch(head, body, grid, problem.buffers),),
        features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
        threads=block.threads,
        shared_bytes=block.shared_bytes(problem.head_dim),
        subgroup_matrix=(_UNIT, _UNIT, _UNIT),
        subgroup_size=(_SUBGROUP_SIZE, _SUBGROUP_SIZE),
        operations=problem.operations,
    )
