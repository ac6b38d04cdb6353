"""Split-K: each workgroup sums a slice of K, and a second launch adds the partial sums.

It serves GEMMs with too few tiles to fill a GPU. The second launch also applies the epilogue.
The WGSL is in ``templates/gemm/split_k.wgsl.j2`` and ``split_k_reduce.wgsl.j2``.
"""

from __future__ import annotations

from typing import Protocol

from wsd.kernels.gemm.loads import TileLoads, WorkgroupTile
from wsd.kernels.problem import GemmProblem
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import MAX_WORKGROUPS, Launch, Variant

_REDUCE_THREADS = 256
_MAX_SCRATCH_BYTES = 64 << 20
# Number of the scratch buffer of the partial sums.
_PARTIAL_SUMS = 0


class SplitKTile(WorkgroupTile, Protocol):
    """A tile whose k may be split among workgroups."""

    @property
    def split_k(self) -> int:
        """Return how many workgroups share the sum of one result; 1 for no split."""

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes."""


def describe_tile(tile: SplitKTile, shared: str) -> str:
    """Return a tile in words: M x N x K, how its results are shared, and whether K is split.

    Args:
        tile: what one workgroup makes.
        shared: what a thread or a subgroup makes of it.
    """
    split = f", split-K {tile.split_k}" if tile.split_k > 1 else ""
    return f"{tile.m}x{tile.n}x{tile.k}, {shared}{split}"


def can_split(problem: GemmProblem, tile_k: int, split_k: int) -> bool:
    """Tell whether k can be split into equal numbers of steps, with partial sums of at most 64 MiB.

    Args:
        problem: what is computed.
        tile_k: values of k that one step takes.
        split_k: how many workgroups share the sum of one result.
    """
    steps = problem.k // tile_k
    return steps % split_k == 0 and _scratch_bytes(problem, split_k) <= _MAX_SCRATCH_BYTES


def _scratch_bytes(problem: GemmProblem, split_k: int) -> int:
    """Return the size of the partial sums in bytes; 0 if k is not split."""
    return 4 * split_k * problem.m * problem.n if split_k > 1 else 0


def gemm_variant(
    template: str, problem: GemmProblem, tile: SplitKTile, *, packs_w: bool = False
) -> Variant:
    """Return the variant of a GEMM template that makes one tile a workgroup.

    Args:
        template: file below ``templates/``; it takes ``problem``, ``tile`` and ``loads``.
        problem: what is computed.
        tile: what one workgroup makes, and into how many slices k is split; of a batch into one.
        packs_w: see :class:`wsd.kernels.gemm.loads.TileLoads`.
    """
    assert problem.products == 1 or tile.split_k == 1
    loads = TileLoads.of(problem, tile, packs_w=packs_w)
    head, body = render_head_and_body(template, problem=problem, tile=tile, loads=loads)
    is_split = tile.split_k > 1
    launch = Launch(
        head=head,
        body=body,
        grid=(*problem.grid(tile.m, tile.n), max(problem.products, tile.split_k)),
        buffers=(_PARTIAL_SUMS, *problem.operands) if is_split else problem.buffers,
    )
    return Variant(
        launches=(launch, _reduce(problem, tile.split_k)) if is_split else (launch,),
        threads=max(tile.threads, _REDUCE_THREADS if is_split else 0),
        shared_bytes=tile.shared_bytes,
        scratch_bytes=(_scratch_bytes(problem, tile.split_k),) if is_split else (),
        operations=problem.operations,
    )


def _reduce(problem: GemmProblem, split_k: int) -> Launch:
    """Return the launch that adds the partial sums and applies the epilogue."""
    head, body = render_head_and_body(
        "gemm/split_k_reduce.wgsl.j2", problem=problem, split_k=split_k, threads=_REDUCE_THREADS
    )
    workgroups = -(-problem.m * problem.n // _REDUCE_THREADS)
    width = min(workgroups, MAX_WORKGROUPS)
    return Launch(
        head=head,
        body=body,
        grid=(width, -(-workgroups // width), 1),
        buffers=(problem.buffers[0], _PARTIAL_SUMS, *problem.epilogue_operands),
    )
