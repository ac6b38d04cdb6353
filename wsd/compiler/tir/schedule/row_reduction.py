"""Reductions by row: many independent sums or maxima, each over its own numbers.

dlight gives each row a workgroup and a tree of barriers. With many rows, one
thread a row fills the GPU just as well, and needs no barrier at all.

Plug point: the schedule rule ``RowReduction``, tried before dlight's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from wsd.compiler.tir.stages import ROW_REDUCTION
from wsd.compiler.tvm_compat import Schedule, dlight, normalize_prim_func, opaque_attributes

_THREADS = 64
# From this many rows on, a thread takes a row; below, a workgroup does.
_MANY_ROWS = 64


def emit_row_reduction(builder: Any, name: str, reduction: Callable[..., Any], *inputs: Any) -> Any:
    """Emit a TE stage named ``ROW_REDUCTION`` as a kernel of its own, of this name.

    A sum of products looks like a matmul to FuseOps; fused with what follows, it
    would lose its schedule.
    """
    return builder.emit_te(
        reduction, *inputs, primfunc_name_hint=name,
        primfunc_attrs=opaque_attributes(),
    )  # fmt: skip


class RowReduction(dlight.base.ScheduleRule):
    """Schedule one row reduction: by thread if rows are many, else by workgroup."""

    def apply(self, func: Any, _target: Any, _tunable: bool) -> Any:
        """Return a schedule, or None where the rule does not fit."""
        schedule = Schedule(func)
        blocks = normalize_prim_func(schedule)
        if blocks is None or [b.name for b in blocks] != [ROW_REDUCTION]:
            return None
        block = blocks[0].block_rv
        kinds = blocks[0].dom_kind()
        loops = list(zip(schedule.get_loops(block), kinds, strict=True))
        rows = [loop for loop, kind in loops if kind == "S"] or [schedule.add_unit_loop(block)]
        inner = [loop for loop, kind in loops if kind == "R"]
        count = math.prod(int(schedule.get(loop).extent) for loop in rows)
        fused, numbers = schedule.fuse(*rows), schedule.fuse(*inner)
        if count < _MANY_ROWS:
            schedule.bind(fused, "blockIdx.x")
            _, thread = schedule.split(numbers, [None, _THREADS])
            schedule.bind(thread, "threadIdx.x")
            return schedule
        result = schedule.cache_write(block, 0, "local")
        group, thread = schedule.split(fused, [None, _THREADS])
        schedule.bind(group, "blockIdx.x")
        schedule.bind(thread, "threadIdx.x")
        schedule.reverse_compute_at(result, thread)
        schedule.decompose_reduction(block, numbers)
        return schedule
