"""Schedule reductions of the rows of a matrix: one thread for each row if there are many.

dlight gives each row a workgroup, whose threads wait for each other at barriers. With many rows,
one thread for each row fills the GPU just as well and needs no barrier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from wsd.compiler.tir.stages import ROW_REDUCTION
from wsd.compiler.tvm_compat import Schedule, dlight, normalize_prim_func, opaque_attributes

_THREADS = 64
# With at least this many rows, one thread sums a row; with fewer, one workgroup does.
_MANY_ROWS = 64


def emit_row_reduction(builder: Any, name: str, reduction: Callable[..., Any], *inputs: Any) -> Any:
    """Emit a TE stage called ``ROW_REDUCTION`` as a TIR function that nothing is fused with.

    FuseOps would take a sum of products for a matmul and join it with the operators after it; the
    rule below would no longer fit the result.
    """
    return builder.emit_te(
        reduction, *inputs, primfunc_name_hint=name,
        primfunc_attrs=opaque_attributes(),
    )  # fmt: skip


class RowReduction(dlight.base.ScheduleRule):
    """Schedule one row reduction: a thread for each row if rows are many, else a workgroup."""

    def __init__(self, threads: int = _THREADS, many_rows: int = _MANY_ROWS) -> None:
        """Make the rule; other numbers than its own are for tuning.

        Args:
            threads: threads of a workgroup.
            many_rows: with at least this many rows, one thread sums a row.
        """
        self._threads = threads
        self._many_rows = many_rows

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
        if count < self._many_rows:
            schedule.bind(fused, "blockIdx.x")
            _, thread = schedule.split(numbers, [None, self._threads])
            schedule.bind(thread, "threadIdx.x")
            return schedule
        result = schedule.cache_write(block, 0, "local")
        group, thread = schedule.split(fused, [None, self._threads])
        schedule.bind(group, "blockIdx.x")
        schedule.bind(thread, "threadIdx.x")
        schedule.reverse_compute_at(result, thread)
        schedule.decompose_reduction(block, numbers)
        return schedule
