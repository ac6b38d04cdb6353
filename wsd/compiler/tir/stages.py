"""Names by which schedule rules and matchers recognise what the legalizers emit.

TVM keeps the name of a TE stage as the name of its block in TIR, and a hint as the beginning of a
function's name. A legalizer, the schedule rule for its kernels and the matcher in
:mod:`wsd.compiler.match` take the names from here, so that none of them can be renamed alone.
"""

from __future__ import annotations

# Stages of attention: Q K^T; scaled and masked; each row's (maximum, sum of exponentials);
# the softmax; its product with V.
SCORES = "scores"
SCALED_SCORES = "scaled"
SOFTMAX_STATISTICS = "statistics"
SOFTMAX = "weights"
WEIGHTED_VALUES = "mix"
# Attention is two functions. The first computes the statistics, the second the result.
STATISTICS_STAGES = (SCORES, SCALED_SCORES, SOFTMAX_STATISTICS)
ATTENTION_STAGES = (SCORES, SCALED_SCORES, SOFTMAX, WEIGHTED_VALUES)

# The one stage of a function that sums over rows.
ROW_REDUCTION = "row_reduction"

# Norm statistics: names of the functions are norm_sums_name(norm, sums).
GROUP_NORM, LAYER_NORM = "group", "layer"
SUMS, SQUARED_DEVIATIONS = "total", "spread"
# Sums of rows, of which RMS norms take the mean of squares.
ROW_TOTAL = "row_total"


def norm_sums_name(norm: str, sums: str) -> str:
    """Return the name of the function that computes a norm's sums.

    Args:
        norm: ``GROUP_NORM`` or ``LAYER_NORM``.
        sums: ``SUMS`` or ``SQUARED_DEVIATIONS``.
    """
    return f"{norm}_{sums}"
