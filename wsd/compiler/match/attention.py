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
    buffer_of,
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
        buffers of the first are those of no kernel. A bias must be the same for all of the batch.
    """
    schedule = Schedule(function)
    stages = tuple(str(block.name) for block in normalize_prim_func(schedule) or ())
    result = _RESULTS.get(stages)
    buffers = buffers_of(function)
    if result is None or any(str(buffer.dtype) != "float32" for buffer in buffers):
        return None
    query, key = (tuple(int(extent) for extent in buffer.shape) for buffer in buffers[:2])
    batch, queries, heads, head_dim = query
    score = schedule.get(block_named(schedule, SCALED_SCORES)).body.value
    causal = node_kind(score) == "Select"
    if causal:
        score = score.true_value
    biases = []
    if node_kind(score) == "Add":
        score, added = score.a, buffer_of(score.b)
        if [int(extent) for extent in added.shape] != [1, heads, queries, key[1]]:
            return None
        biases = [added]
    # TVM drops a factor of 1.
    scale = float(score.b.value) if node_kind(score) == "Mul" else 1.0
    problem = AttentionProblem(
        batch, queries, key[1], heads, head_dim, scale, causal, bool(biases),
        tuple(name_of(buffer) for buffer in (buffers[-1], *buffers[:3], *biases)),
    )  # fmt: skip
    return result, problem
