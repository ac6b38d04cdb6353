"""Flash attention in float32: blocks and the kernel ``attention/flash.wgsl.j2``.

The template's header has the equation, the layouts and the roofline.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsd.kernels.problem import AttentionProblem
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import VECTOR, Launch, Variant


@dataclass(frozen=True)
class FlashBlock:
    """What one workgroup computes at a time.

    Attributes:
        queries: queries of a workgroup.
        keys: keys at a time.
        slice: values of head_dim at a time, for the scores.
        value_keys: keys whose values lie in shared memory at a time.
        score_thread_tile: scores that a thread computes, along (queries, keys).
        result_thread_tile: results that a thread computes, along (queries, head_dim).
    """

    queries: int
    keys: int
    slice: int
    value_keys: int
    score_thread_tile: tuple[int, int]
    result_thread_tile: tuple[int, int]

    @property
    def label(self) -> str:
        """Return the block in words, for reports."""
        return f"{self.queries} queries, {self.keys} keys, {self.threads} threads"

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        rows, columns = self.score_thread_tile
        return self.queries * self.keys // (rows * columns)

    @property
    def key_stride(self) -> int:
        """Return the vec4 of shared memory from one key to the next."""
        return _odd_vectors(self.slice)

    @property
    def value_stride(self) -> int:
        """Return the vec4 of shared memory from one value of head_dim to the next."""
        return _odd_vectors(self.value_keys)

    @property
    def score_stride(self) -> int:
        """Return the vec4 of shared memory from one query's scores to the next."""
        return _odd_vectors(self.keys)

    def kv_tile_vectors(self, head_dim: int) -> int:
        """Return the vec4 of shared memory for a slice of keys, or for values after it."""
        return max(self.keys * self.key_stride, head_dim * self.value_stride)

    def shared_bytes(self, head_dim: int) -> int:
        """Return the shared memory of a workgroup in bytes."""
        vectors = self.kv_tile_vectors(head_dim) + self.queries * self.score_stride
        return 16 * vectors + 4 * self.queries


def _odd_vectors(values: int) -> int:
    """Return how many vec4 hold some values, made odd so that rows begin in different banks."""
    return values // VECTOR | 1


# By head_dim, best first, as timed on an H200.
_TIMED = {
    40: (
        FlashBlock(256, 32, 40, 32, (8, 4), (8, 5)),
        FlashBlock(64, 32, 40, 32, (4, 4), (4, 5)),
    ),
    64: (FlashBlock(128, 32, 32, 16, (4, 4), (8, 4)),),
    80: (
        FlashBlock(128, 64, 40, 32, (4, 8), (4, 10)),
        FlashBlock(64, 64, 16, 16, (4, 8), (8, 5)),
    ),
    160: (FlashBlock(32, 64, 40, 16, (4, 4), (8, 5)),),
    512: (
        FlashBlock(32, 64, 64, 8, (2, 4), (8, 8)),
        FlashBlock(32, 32, 64, 4, (2, 4), (4, 32)),
    ),
}
_MAX_SLICE = 40
# Beyond this head_dim only what was timed.
_MAX_UNTIMED_HEAD_DIM = 256


def flash_blocks(head_dim: int) -> list[FlashBlock]:
    """Return blocks for a head_dim, best first; none if there is no kernel for it.

    The last block needs no more threads and shared memory than every WebGPU adapter has.
    """
    timed = _TIMED.get(head_dim, ())
    if not _has_untimed_blocks(head_dim):
        return list(timed)
    return [*timed, _block(head_dim, 32, (4, 4))]


def further_flash_blocks(head_dim: int) -> list[FlashBlock]:
    """Return blocks for tuning alone, beside those of :func:`flash_blocks`.

    The first has half as many results in each thread, for GPUs of few registers; the second has
    twice as many queries, which share the keys that are loaded, for GPUs of large workgroups.
    """
    if not _has_untimed_blocks(head_dim):
        return []
    return [_block(head_dim, 32, (2, 4)), _block(head_dim, 64, (4, 4))]


def _has_untimed_blocks(head_dim: int) -> bool:
    return head_dim % 8 == 0 and head_dim <= _MAX_UNTIMED_HEAD_DIM


def _block(head_dim: int, queries: int, scores: tuple[int, int]) -> FlashBlock:
    """Return a block of 32 keys, by its queries and the scores of a thread.

    A thread computes scores of 4 keys, and results in as many rows: an eighth of each.
    """
    slices = (n for n in range(VECTOR, _MAX_SLICE + 1, VECTOR) if head_dim % n == 0)
    value_keys = 32 if head_dim <= 40 else 16 if head_dim <= 128 else 8 if head_dim <= 160 else 4
    results = (scores[0], head_dim // 8)
    return FlashBlock(queries, 32, max(slices), value_keys, scores, results)


def flash_attention(problem: AttentionProblem, block: FlashBlock) -> Variant:
    """Return the flash attention kernel of a problem.

    Args:
        problem: the attention.
        block: one of :func:`flash_blocks` of its ``head_dim``, or another that meets the
            preconditions of the template.
    """
    head, body = render_head_and_body(
        "attention/flash.wgsl.j2",
        problem=problem,
        block=block,
        head_dim=problem.head_dim,
        masks_keys=problem.keys % block.keys != 0,
        causal=problem.causal,
        bias=problem.bias,
    )
    grid = (-(-problem.queries // block.queries), problem.heads, problem.batch)
    return Variant(
        launches=(Launch(head, body, grid, problem.buffers),),
        threads=block.threads,
        shared_bytes=block.shared_bytes(problem.head_dim),
        operations=problem.operations,
    )
