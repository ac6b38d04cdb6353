"""Match the TIR functions that compute norm statistics."""

from __future__ import annotations

import math
from typing import Any

from wsd.compiler.tir.legalize.group_layer_norm import _SPREAD, _TOTAL, GROUP, LAYER
from wsd.compiler.tvm_compat import buffers_of, name_of
from wsd.kernels.problem import NormSumsProblem


def match_norm_sums(name: str, function: Any) -> NormSumsProblem | None:
    """Return the sums that a function of this name takes, or None if it takes none."""
    kind, _, what = name.partition("_")
    if kind not in (GROUP, LAYER) or not what.startswith((_TOTAL, _SPREAD)):
        return None
    x, *totals, result = buffers_of(function)
    *outer, channels = (int(extent) for extent in x.shape)
    names = tuple(name_of(buffer) for buffer in (result, x, *totals))
    if kind == LAYER:
        return NormSumsProblem(math.prod(outer), 1, 1, channels, bool(totals), names)
    batch, groups = (int(extent) for extent in result.shape)
    width = channels // groups
    return NormSumsProblem(batch, math.prod(outer) // batch, groups, width, bool(totals), names)
