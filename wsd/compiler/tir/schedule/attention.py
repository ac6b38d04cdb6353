"""Schedule both attention kernels: one thread for each query, its scores in registers."""

from __future__ import annotations

import math
from typing import Any

from wsd.compiler.tir import stages
from wsd.compiler.tvm_compat import (
    Schedule,
    block_named,
    buffers_of,
    dlight,
    normalize_prim_func,
)

_THREADS = 64
# Keys whose scores a thread holds in registers at a time.
_KEYS = 8


class RowAttention(dlight.base.ScheduleRule):
    """Schedule both kernels: a thread for each query, its scores in registers."""

    def __init__(self, threads: int = _THREADS, keys: int = _KEYS) -> None:
        """Make the rule; other numbers than its own are for tuning.

        Args:
            threads: the most threads of a workgroup.
            keys: the most keys whose scores a thread holds in registers at a time.
        """
        self._threads = threads
        self._keys = keys

    def apply(self, func: Any, _target: Any, _tunable: bool) -> Any:
        """Return a schedule, or None where the rule does not fit."""
        schedule = Schedule(func)
        named = {block.name: block.block_rv for block in normalize_prim_func(schedule) or ()}
        if tuple(named) not in (stages.STATISTICS_STAGES, stages.ATTENTION_STAGES):
            return None
        heads = int(buffers_of(func)[0].shape[2])
        _schedule_rows(schedule, named, heads, self._threads, self._keys)
        return schedule


def _schedule_rows(
    schedule: Any, named: dict[str, Any], heads: int, most_threads: int, most_keys: int
) -> None:
    """Give each thread one query, whose keys it takes ``most_keys`` at a time."""
    *held, result = (name for name in named if name != stages.SCALED_SCORES)
    schedule.compute_inline(named[stages.SCALED_SCORES])
    *rows, keys = schedule.get_loops(named[result])
    across = []
    if result == stages.WEIGHTED_VALUES:
        across = [rows.pop()]
        # Neighbouring threads take the same head, so that they read the same keys. A loop over
        # a single head (or batch) does not exist.
        if heads > 1:
            rows.insert(-1, rows.pop())
    stored = [
        schedule.cache_write(named[result], index, "local")
        for index in range(len(schedule.get(named[result]).writes))
    ]
    count = int(schedule.get(keys).extent)
    at_once = next(n for n in range(most_keys, 0, -1) if count % n == 0)
    outer, inner = schedule.split(keys, [None, at_once])
    schedule.reorder(*rows, outer, *across, inner)
    if across:
        schedule.unroll(inner)
    extents = [int(schedule.get(loop).extent) for loop in rows]
    threads = _threads(math.prod(extents), extents[-1], most_threads)
    if len(rows) == 3 and not _fits_heads(threads, *extents[1:]):
        # TVM cannot simplify the indices of workgroups that begin in one item of the batch and end
        # in another, so that the batch gets a dimension of the grid for itself.
        schedule.bind(rows.pop(0), "blockIdx.y")
        threads = _threads(math.prod(extents[1:]), extents[-1], most_threads)
    fused = schedule.fuse(*rows)
    group, thread = schedule.split(fused, [None, threads])
    schedule.bind(group, "blockIdx.x")
    schedule.bind(thread, "threadIdx.x")
    for block in stored:
        schedule.reverse_compute_at(block, thread, preserve_unit_loops=True)
    for name in reversed(held):
        schedule.set_scope(named[name], 0, "local")
        schedule.compute_at(named[name], outer, preserve_unit_loops=True)
    query = schedule.cache_read(named[stages.SCORES], 0, "local")
    schedule.compute_at(query, thread, preserve_unit_loops=True)
    *_, each_key, width = schedule.get_loops(named[stages.SCORES])
    schedule.reorder(width, each_key)
    schedule.unroll(each_key)
    schedule.decompose_reduction(named[stages.SCORES], width)
    # In TVM v0.21 the handle of a block with two results is invalid by now: look it up again.
    schedule.decompose_reduction(block_named(schedule, result), outer)


def _fits_heads(threads: int, heads: int, queries: int) -> bool:
    """Tell whether workgroups are a part of one head, or whole heads of one item of the batch."""
    if threads < queries:
        return queries % threads == 0
    return threads % queries == 0 and heads % (threads // queries) == 0


def _threads(rows: int, queries: int, most: int = _THREADS) -> int:
    """Return how many rows a workgroup takes, so that no thread is idle where that is possible.

    Rows are queries, those of one head after those of the other. Workgroups that begin in one head
    and end inside another are avoided: TVM cannot always simplify their indices.
    """
    counts = range(most, 0, -1)
    exact = [n for n in counts if rows % n == 0]
    aligned = next(n for n in exact if n % queries == 0 or queries % n == 0)
    if 2 * aligned >= most:
        return aligned
    whole = [n for n in counts if n <= queries or n % queries == 0]
    nearly = next(n for n in whole if rows % n == 0)
    return nearly if 2 * nearly >= most or whole[0] < most else most
