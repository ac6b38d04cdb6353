"""Attention on subgroup matrices in one pass: blocks and the kernel ``attention/one_pass.wgsl.j2``.

Three launches pack queries, keys and values as matrices (``attention/pack_heads.wgsl.j2``), one
computes. The templates' headers have the equations, the layouts and the rooflines.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsd.kernels.attention.subgroup_matrix import MatrixBlock, subgroup_matrix_block
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import (
    F16,
    MAX_WORKGROUPS,
    SUBGROUP_MATRIX,
    SUBGROUPS,
    VECTOR,
    Launch,
    Variant,
)

# M, N and K of one subgroup matrix operation.
_UNIT = 16
_SUBGROUP_SIZE = 32
# Elements of padding after a key in shared memory: matrices stay aligned to 16 bytes.
_PADDING_F16 = 8
_PADDING_F32 = 4
# Bytes of the workgroup variable that says whether sums must be scaled down.
_FLAG_BYTES = 16
# Powers of 2 that a score may exceed a row's reference by, before the row's sums are scaled down:
# exponentials stay far below the largest float16.
_THRESHOLD = 8
_PACK_THREADS = 256
# Most bytes of one packed operand: three of them stay below the 192 MiB of scratch buffers that a
# page may spend (:mod:`wsd.kernels.conv.winograd`).
MAX_PACKED_BYTES = 44 << 20


@dataclass(frozen=True)
class OnePassBlock(MatrixBlock):
    """A block of the attention in one pass."""

    @property
    def score_stride(self) -> int:
        """Return how many f32 values lie from one key's scores to the next in shared memory."""
        return self.row_units * _UNIT + _PADDING_F32

    @property
    def probability_stride(self) -> int:
        """Return how many f16 values lie from one key's probabilities to the next."""
        return self.row_units * _UNIT + _PADDING_F16

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes."""
        key_bytes = 4 * self.score_stride + 2 * self.probability_stride
        return self.subgroups * self.keys * key_bytes + _FLAG_BYTES


def fits_one_pass(problem: AttentionProblem, block: OnePassBlock) -> bool:
    """Tell whether the kernel computes a problem, and its packed operands are not too large."""
    if subgroup_matrix_block(problem) is None:
        return False
    return max(_packed_bytes(problem, block)) <= MAX_PACKED_BYTES


def one_pass_attention(problem: AttentionProblem, block: OnePassBlock) -> Variant:
    """Return the attention in one pass of a problem without a causal mask and a bias.

    Args:
        problem: the attention; ``head_dim`` is a multiple of 4.
        block: any; see :func:`fits_one_pass`.
    """
    queries, keys = _padded_rows(problem, block)
    head_dims = {"head_dim": problem.head_dim, "padded_head_dim": _round_up(problem.head_dim)}
    head, body = render_head_and_body(
        "attention/one_pass.wgsl.j2",
        problem=problem,
        block=block,
        query_units=queries // _UNIT,
        key_units=keys // _UNIT,
        masks_keys=keys != problem.keys,
        threshold=_THRESHOLD,
        UNIT=_UNIT,
        SUBGROUP_SIZE=_SUBGROUP_SIZE,
        **head_dims,
    )
    result, q, k, v = problem.buffers
    grid = (queries // block.queries, problem.heads, problem.batch)
    return Variant(
        launches=(
            _pack(problem, (0, q), problem.queries, queries, problem.exp2_scale),
            _pack(problem, (1, k), problem.keys, keys, 1.0),
            _pack(problem, (2, v), problem.keys, keys, 1.0),
            Launch(head, body, grid, (result, 0, 1, 2)),
        ),
        features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
        threads=max(block.threads, _PACK_THREADS),
        shared_bytes=block.shared_bytes,
        subgroup_matrix=(_UNIT, _UNIT, _UNIT),
        subgroup_size=(_SUBGROUP_SIZE, _SUBGROUP_SIZE),
        scratch_bytes=_packed_bytes(problem, block),
        operations=problem.operations,
    )


def _pack(
    problem: AttentionProblem, buffers: tuple[int, str], rows: int, padded_rows: int, factor: float
) -> Launch:
    """Return the launch that packs an operand.

    Args:
        problem: the attention.
        buffers: the scratch buffer that is written, and the operand.
        rows: queries or keys.
        padded_rows: how many the packed operand has.
        factor: what its values are multiplied by before they are rounded.
    """
    padded_head_dim = _round_up(problem.head_dim)
    vectors = problem.batch * problem.heads * padded_rows * padded_head_dim // VECTOR
    head, body = render_head_and_body(
        "attention/pack_heads.wgsl.j2",
        heads=problem.heads,
        rows=rows,
        units=padded_rows // _UNIT,
        vectors=vectors,
        factor=factor,
        head_dim=problem.head_dim,
        padded_head_dim=padded_head_dim,
        threads=_PACK_THREADS,
        UNIT=_UNIT,
    )
    workgroups = -(-vectors // _PACK_THREADS)
    along_y = -(-workgroups // MAX_WORKGROUPS)
    return Launch(head, body, (-(-workgroups // along_y), along_y, 1), buffers)


def _padded_rows(problem: AttentionProblem, block: OnePassBlock) -> tuple[int, int]:
    """Return the queries and the keys, filled up to whole blocks."""
    return _round_up(problem.queries, block.queries), _round_up(problem.keys, block.keys)


def _packed_bytes(problem: AttentionProblem, block: OnePassBlock) -> tuple[int, int, int]:
    """Return the bytes of the packed queries, keys and values."""
    row_bytes = 2 * problem.batch * problem.heads * _round_up(problem.head_dim)
    queries, keys = _padded_rows(problem, block)
    return row_bytes * queries, row_bytes * keys, row_bytes * keys


def _round_up(count: int, multiple: int = _UNIT) -> int:
    return -(-count // multiple) * multiple
