"""Small products: a few outputs a thread, sums in registers, no shared memory.

dlight's tiled rule gives each workgroup 32x32 outputs through shared memory,
fully unrolled. That pays when there are many tiles. On the small layers of any
model, and on every layer of the tiny ones, it leaves a GPU mostly idle and costs
a software adapter its time in barriers and in compiling 50 kB of shader a layer.

Here each thread makes a tile of outputs, one edge of it along an axis of each
operand, so that every value it loads is used several times.

Plug point: a dlight schedule rule, tried before dlight's own.
"""

from __future__ import annotations

import math
from typing import Any

from wsd.tvm_compat import Schedule, dlight, free_variables, normalize_prim_func

# Multiply-adds up to which a product counts as small.
_SMALL = 1 << 29
# Fewer outputs than this are left to rules that share one sum among threads.
_LEAST_OUTPUTS = 256
_THREADS = 64
_TILE_EDGES = (4, 2)


class DirectProduct(dlight.base.ScheduleRule):  # type: ignore[misc]
    """Schedule a small matmul or convolution and what is fused after it."""

    def apply(self, func: Any, target: Any, tunable: bool) -> Any:
        """Return a schedule, or None where the rule does not fit."""
        schedule = Schedule(func)
        blocks = normalize_prim_func(schedule)
        if blocks is None:
            return None
        # Padding stays a block of its own: it becomes the load of the first operand.
        pads = [block for block in blocks if block.name.startswith("pad_temp")]
        rest = [block for block in blocks if not block.name.startswith("pad_temp")]
        blocks = dlight.base.try_inline(schedule, rest)
        if not blocks or not blocks[0].is_reduction() or len(blocks) > 2 or len(pads) > 1:
            return None
        product, *after = blocks
        if after and not after[0].is_injective():
            return None
        if not _is_small_product(schedule, product):
            return None
        block = product.block_rv
        edges = _tile_edges(schedule, product)
        outputs = _extents(schedule, block)[: len(edges)]
        result = after[0].block_rv if after else schedule.cache_write(block, 0, "global")
        found = _extents(schedule, result)
        extra = len(found) - len(edges)
        if extra >= 0 and found[extra:] == outputs:
            result_edges = [1] * extra + edges
        else:  # what follows has axes of its own, a reshape for instance
            result_edges = [1] * len(found)
        pad = pads[0].block_rv if pads else None
        _schedule_tiles(schedule, pad, block, result, result_edges, len(edges))
        return schedule


def _extents(schedule: Any, block: Any) -> list[int]:
    return [int(schedule.get(loop).extent) for loop in schedule.get_loops(block)]


def _schedule_tiles(
    schedule: Any, pad: Any, block: Any, result: Any, edges: list[int], spatial: int
) -> None:
    """Give each thread one tile of ``result`` and compute ``block`` in registers for it.

    Args:
        schedule: what is changed.
        pad: the block that pads the first operand, or None.
        block: the product; its first ``spatial`` loops are its outputs.
        result: the block that writes the function's result.
        edges: the tile's edge along each of ``result``'s loops.
        spatial: number of the product's output axes.
    """
    outer, inner = [], []
    for loop, edge in zip(schedule.get_loops(result), edges, strict=True):
        along, within = schedule.split(loop, [None, edge])
        outer.append(along)
        inner.append(within)
    schedule.reorder(*outer, *inner)
    group, thread = schedule.split(schedule.fuse(*outer), [None, _THREADS])
    schedule.bind(group, "blockIdx.x")
    schedule.bind(thread, "threadIdx.x")
    for loop in inner:
        schedule.unroll(loop)
    schedule.compute_at(block, thread, preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    loops = schedule.get_loops(block)[2:]
    tile, sums = loops[:spatial], loops[spatial:]
    schedule.reorder(*sums, *tile)
    first = schedule.cache_read(block, 0, "local") if pad is None else pad
    schedule.set_scope(first, 0, "local")
    for loaded in (first, schedule.cache_read(block, 1, "local")):
        schedule.compute_at(loaded, sums[-1], preserve_unit_loops=True)
        for loop in schedule.get_loops(loaded)[2 + len(sums) :]:
            schedule.unroll(loop)
    for loop in tile:
        schedule.unroll(loop)
    start = schedule.decompose_reduction(block, sums[0])
    for loop in schedule.get_loops(start)[2:]:
        schedule.unroll(loop)


def _is_small_product(schedule: Any, block: Any) -> bool:
    """Tell a small sum of products over two tensors from other reductions."""
    extents = [iterator.dom for iterator in block.iters]
    kinds = block.dom_kind()
    if not all(isinstance(extent, int) for extent in extents):
        return False
    outputs = math.prod(e for e, kind in zip(extents, kinds, strict=True) if kind == "S")
    reads = len(schedule.get(block.block_rv).reads)
    return reads == 2 and outputs >= _LEAST_OUTPUTS and math.prod(extents) <= _SMALL


def _tile_edges(schedule: Any, block: Any) -> list[int]:
    """Return the edge of a thread's tile along each output axis.

    The tile spans the last axis that only the first operand has and the last
    that only the second has (pixels and channels, or rows and columns).
    """
    statement = schedule.get(block.block_rv)
    operands = [
        {name for part in read.region for name in free_variables(part.min)}
        for read in statement.reads
    ]
    spatial = [
        (iterator.var.name, int(iterator.dom.extent))
        for iterator, kind in zip(statement.iter_vars, block.dom_kind(), strict=True)
        if kind == "S"
    ]
    edges = [1] * len(spatial)
    for own, other in (operands, operands[::-1]):
        for axis, (name, extent) in reversed(list(enumerate(spatial))):
            if name in own and name not in other and extent > 1:
                edges[axis] = next((e for e in _TILE_EDGES if extent % e == 0), 1)
                break
    return edges
