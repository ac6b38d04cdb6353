"""Match the two TIR functions of attention."""

from __future__ import annotations

from typing import Any

from wsd.compiler.tir.stages import (
    ATTENTION_STAGES,
    SCALED_SCORES,
    SOFTMAX_STATISTICS,
    STATISTICS_STAGES,
    WEIGHTED_VALUES,
)
from wsd.compiler.tvm_compat import (
    Schedule,
    block_named,
    buffers_of,
    name_of,
    node_kind,
    normalize_prim_func,
)
from wsd.kernels.problem import AttentionProblem

_RESULTS = {STATISTICS_STAGES: SOFTMAX_STATISTICS, ATTENTION_STAGES: WEIGHTED_VALUES}


def match_attention(function: Any) -> tuple[str, AttentionProblem] | None:
    """Return what a function of attention computes, or None if it is none.

    Attention is two functions (:mod:`wsd.compiler.tir.legalize.attention`), which are recognised
    by the names of their stages.

    Args:
        function: TIR, after fusion and before scheduling.

    Returns:
        (``SOFTMAX_STATISTICS`` or ``WEIGHTED_VALUES``, the attention that the function is a
        part of). A kernel that replaces the second function computes the statistics itself; the
        buffers of the first are those of no kernel.
    """
    schedule = Schedule(function)
    stages = tuple(str(block.name) for block in normalize_prim_func(schedule) or ())
    result = _RESULTS.get(stages)
    buffers = buffers_of(function)
    if result is None or any(str(buffer.dtype) != "float32" for buffer in buffers):
        return None
    query, key = (tuple(int(extent) for extent in buffer.shape) for buffer in buffers[:2])
    scaled = schedule.get(block_named(schedule, SCALED_SCORES)).body.value
    causal = node_kind(scaled) == "Select"
    scale = (scaled.true_value if causal else scaled).b
    batch, queries, heads, head_dim = query
    problem = AttentionProblem(
        batch, queries, key[1], heads, head_dim, float(scale.value), causal,
        tuple(name_of(buffer) for buffer in (buffers[-1], *buffers[:3])),
    )  # fmt: skip
    return result, problem
