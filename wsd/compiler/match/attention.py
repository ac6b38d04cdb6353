"""Match the two TIR functions of attention."""

from __future__ import annotations

from typing import Any

from wsd.compiler.tvm_compat import (
    Schedule,
    block_named,
    buffers_of,
    name_of,
    node_kind,
    normalize_prim_func,
)
from wsd.kernels.problem import AttentionProblem


def match_attention(function: Any) -> tuple[str, AttentionProblem] | None:
    """Return which of the two kernels a PrimFunc is, and of what attention.

    The kernels are ``statistics`` and ``mix``.
    """
    schedule = Schedule(function)
    names = [str(block.name) for block in normalize_prim_func(schedule) or ()]
    kinds = {("scores", "scaled", "statistics"): "statistics",
             ("scores", "scaled", "weights", "mix"): "mix"}  # fmt: skip
    kind = kinds.get(tuple(names))
    if kind is None:
        return None
    buffers = buffers_of(function)
    query, key = (tuple(int(extent) for extent in buffer.shape) for buffer in buffers[:2])
    scaled = schedule.get(block_named(schedule, "scaled")).body.value
    causal = node_kind(scaled) == "Select"
    factor = (scaled.true_value if causal else scaled).b
    order = (buffers[-1], *buffers[:3])
    batch, queries, heads, width = query
    attention = AttentionProblem(
        batch, queries, key[1], heads, width, float(factor.value), causal,
        tuple(name_of(buffer) for buffer in order),
    )  # fmt: skip
    return kind, attention
