"""Schedule small GEMMs and convolutions register-tiled, without shared memory.

dlight's rule gives each workgroup a tile of 32x32 outputs in shared memory, fully unrolled, which
is fast when there are many tiles. On small layers it leaves most of a GPU idle, and a software
adapter spends its time in barriers and in compiling 50 kB of shader for each layer.

With this rule each thread computes a tile of outputs in registers. One edge of the tile lies along
an axis of each operand, so that every value is used several times after it is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wsd.compiler.tir.dequantize import GROUP_SCALES, UNPACKED
from wsd.compiler.tvm_compat import Schedule, ScheduleError, dlight, normalize_prim_func, tir
from wsd.spec.parameter import GROUP

# The most multiply-adds of a GEMM that this rule takes.
_SMALL = 1 << 30
# The fewest outputs that this rule takes; dlight's rules share one sum among several threads.
_MIN_OUTPUTS = 32
_THREADS = 64
_TILE_EDGES = (4, 2)
# Tiles of 8x8 outputs: a thread loads half as many values for each output as with 4x4, and loads
# take nearly all of a software adapter's time. With fewer threads than _MIN_THREADS other GPUs
# would idle. The shader has 50 kB and compiles in 1 s instead of 0.2 s, which a layer of fewer
# multiply-adds than _LARGE_WORK does not win back within one picture. Packed weights take no 8x8
# tiles: with their unpacking, compilation takes minutes.
_LARGE_EDGE = 8
_MIN_THREADS = 256
_LARGE_WORK = 1 << 24
# Names of the stages that compute the first and the second operand.
_LOADS = ("pad_temp", UNPACKED)


@dataclass(frozen=True)
class DirectTile:
    """What a thread computes of a GEMM, and how.

    Attributes:
        first: the tile's edge along the axis that only the first operand has.
        second: the tile's edge along the axis that only the second operand has.
        threads: threads of a workgroup.
        depth: steps of the sum that are unrolled.
    """

    first: int
    second: int
    threads: int = _THREADS
    depth: int = 1


class MatmulDirect(dlight.base.ScheduleRule):
    """Schedule a small matmul or convolution and what is fused after it."""

    def __init__(self, tile: DirectTile | None = None) -> None:
        """Make the rule.

        Args:
            tile: what each thread computes, for tuning; None for the rule's own choice.
        """
        self._tile = tile

    def apply(self, func: Any, _target: Any, _tunable: bool) -> Any:
        """Return a schedule, or None where the rule does not fit."""
        schedule = Schedule(func)
        blocks = normalize_prim_func(schedule)
        if blocks is None:
            return None
        # The blocks for padding and unpacking are not inlined: they become the loads of the
        # first and of the second operand.
        loads = {name: [b for b in blocks if b.name.startswith(name)] for name in _LOADS}
        scales = [block for block in blocks if block.name.startswith(GROUP_SCALES)]
        rest = [b for b in blocks if not b.name.startswith((*_LOADS, GROUP_SCALES))]
        blocks = dlight.base.try_inline(schedule, rest)
        if not blocks or not blocks[0].is_reduction() or len(blocks) > 2 or _several(loads):
            return None
        gemm, *after = blocks
        if after and not after[0].is_injective():
            return None
        if scales and int(gemm.iters[-1].dom) % GROUP:
            # A group goes on from one tap of a convolution to the next.
            schedule.compute_inline(scales.pop().block_rv)
        packed = bool(loads[UNPACKED])
        small = _is_small_gemm(schedule, gemm)
        edges = _tile_edges(schedule, gemm, packed=packed, tile=self._tile) if small else None
        if edges is None:
            return None
        result = after[0].block_rv if after else schedule.cache_write(gemm.block_rv, 0, "global")
        ready = [found[0].block_rv if found else None for found in loads.values()]
        by_group = scales[0].block_rv if scales else None
        threads, depth = (self._tile.threads, self._tile.depth) if self._tile else (_THREADS, 1)
        try:
            _schedule_tiles(schedule, ready, by_group, gemm.block_rv, result, edges, threads, depth)
        except ScheduleError:
            return None  # The axes of the epilogue differ from those of the GEMM.
        return schedule


def _several(loads: dict[str, list[Any]]) -> bool:
    return any(len(found) > 1 for found in loads.values())


def _schedule_tiles(
    schedule: Any, ready: list[Any], scales: Any, block: Any, result: Any, edges: list[int],
    threads: int, depth: int,
) -> None:  # fmt: skip
    """Give each thread one tile of outputs, summed in registers.

    Args:
        schedule: is changed.
        ready: for each operand the block that computes it from what is in memory, or None.
        scales: the block that reads the scales of int4 weights, which a thread does once for all
            values of a group, or None.
        block: the GEMM.
        result: the block that writes the function's result.
        edges: the tile's edge along each output axis of the GEMM.
        threads: threads of a workgroup.
        depth: steps of the innermost sum that are unrolled.

    Raises:
        ScheduleError: if ``depth`` does not divide the innermost sum, or if the axes of the
            epilogue differ from those of the GEMM.
    """
    loops = schedule.get_loops(block)
    spatial, sums = loops[: len(edges)], loops[len(edges) :]
    outer, tile = [], []
    for loop, edge in zip(spatial, edges, strict=True):
        along, within = schedule.split(loop, [None, edge])
        outer.append(along)
        tile.append(within)
    groups = []
    if scales is not None:
        group, sums[-1] = schedule.split(sums[-1], [None, GROUP])
        groups = [group]
    steps = []
    if depth > 1:
        sums[-1], step = schedule.split(sums[-1], [None, depth])
        steps = [step]
    sums[-1:] = [*groups, sums[-1]]
    schedule.reorder(*outer, *sums, *steps, *tile)
    group, thread = schedule.split(schedule.fuse(*outer), [None, threads])
    schedule.bind(group, "blockIdx.x")
    schedule.bind(thread, "threadIdx.x")
    schedule.set_scope(block, 0, "local")
    schedule.reverse_compute_at(result, thread, preserve_unit_loops=True)
    _unroll(schedule, schedule.get_loops(result)[2:])
    for index, made in enumerate(ready):
        loaded = schedule.cache_read(block, index, "local") if made is None else made
        schedule.set_scope(loaded, 0, "local")
        schedule.compute_at(loaded, sums[-1], preserve_unit_loops=True)
        _unroll(schedule, schedule.get_loops(loaded)[2 + len(sums) :])
    if scales is not None:
        schedule.set_scope(scales, 0, "local")
        schedule.compute_at(scales, groups[0], preserve_unit_loops=True)
        _unroll(schedule, schedule.get_loops(scales)[1 + len(sums) :])
    _unroll(schedule, [*steps, *tile])
    start = schedule.decompose_reduction(block, sums[0])
    _unroll(schedule, schedule.get_loops(start)[2:])


def _unroll(schedule: Any, loops: list[Any]) -> None:
    for loop in loops:
        schedule.unroll(loop)


def _is_small_gemm(schedule: Any, block: Any) -> bool:
    """Tell whether a reduction reads two tensors and is of a size that this rule takes."""
    extents = [iterator.dom for iterator in block.iters]
    kinds = block.dom_kind()
    if not all(isinstance(extent, int) for extent in extents):
        return False
    outputs = math.prod(e for e, kind in zip(extents, kinds, strict=True) if kind == "S")
    reads = len(schedule.get(block.block_rv).reads)
    return reads == 2 and outputs >= _MIN_OUTPUTS and math.prod(extents) <= _SMALL


def _tile_edges(
    schedule: Any, block: Any, packed: bool, tile: DirectTile | None
) -> list[int] | None:
    """Return the edge of a thread's tile along each output axis; None if a given tile fits none.

    The tile spans the last axis that only the first operand has and the last that only the second
    has: M and N of a GEMM, pixels and channels of a convolution.
    """
    statement = schedule.get(block.block_rv)
    operands = [
        {str(used.name) for part in read.region for used in tir.analysis.undefined_vars(part.min)}
        for read in statement.reads
    ]
    spatial = [
        (iterator.var.name, int(iterator.dom.extent))
        for iterator, kind in zip(statement.iter_vars, block.dom_kind(), strict=True)
        if kind == "S"
    ]
    axes = []
    for own, other in (operands, operands[::-1]):
        for axis, (name, extent) in reversed(list(enumerate(spatial))):
            if name in own and name not in other and extent > 1:
                axes.append(axis)
                break
    extents = [extent for _, extent in spatial]
    if tile is not None:
        return _given_edges(extents, axes, block, tile)
    large = (
        not packed
        and len(axes) == 2
        and all(extents[axis] % _LARGE_EDGE == 0 for axis in axes)
        and math.prod(extents) >= _MIN_THREADS * _LARGE_EDGE**2
        and math.prod(iterator.dom for iterator in block.iters) >= _LARGE_WORK
    )
    edges = [1] * len(spatial)
    for axis in axes:
        smaller = next((e for e in _TILE_EDGES if extents[axis] % e == 0), 1)
        edges[axis] = _LARGE_EDGE if large else smaller
    return edges


def _given_edges(
    extents: list[int], axes: list[int], block: Any, tile: DirectTile
) -> list[int] | None:
    """Return the edges of a tile that was given; None if it does not divide the GEMM."""
    if len(axes) != len((tile.first, tile.second)):
        return None
    sums = [i.dom for i, kind in zip(block.iters, block.dom_kind(), strict=True) if kind == "R"]
    wanted = dict(zip(axes, (tile.first, tile.second), strict=True))
    if int(sums[-1]) % tile.depth or any(extents[axis] % edge for axis, edge in wanted.items()):
        return None
    return [wanted.get(axis, 1) for axis in range(len(extents))]
