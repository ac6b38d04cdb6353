"""Match the TIR functions that compute the sums of layer, group and RMS norms."""

from __future__ import annotations

import math
import re
from typing import Any

from wsd.compiler.tir.stages import (
    GROUP_NORM,
    LAYER_NORM,
    ROW_REDUCTION,
    ROW_TOTAL,
    SQUARED_DEVIATIONS,
    SUMS,
    norm_sums_name,
)
from wsd.compiler.tvm_compat import Schedule, buffers_of, name_of, normalize_prim_func
from wsd.kernels.problem import NormSumsProblem

_NORMS = {
    norm_sums_name(norm, sums): norm
    for norm in (GROUP_NORM, LAYER_NORM)
    for sums in (SUMS, SQUARED_DEVIATIONS)
} | {ROW_TOTAL: LAYER_NORM}
# TVM numbers functions of one name.
_NAME = re.compile(rf"({'|'.join(_NORMS)})_?\d*")


def match_norm_sums(name: str, function: Any) -> NormSumsProblem | None:
    """Return the sums that a function computes, or None if no norm needs them.

    A norm's functions are recognised by their names and their only stage: see
    :mod:`wsd.compiler.tir.legalize.group_layer_norm`. Their arguments are the input, of squared
    deviations also the sums of the values, and the result. What an RMS norm sums
    (:mod:`wsd.compiler.tir.legalize.mean`) is summed as the values of a layer norm are.

    Args:
        name: the function's name in its module.
        function: its TIR, after fusion and before scheduling.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    blocks = normalize_prim_func(Schedule(function)) or ()
    buffers = buffers_of(function)
    if [str(block.name) for block in blocks] != [ROW_REDUCTION]:
        return None
    if any(str(buffer.dtype) != "float32" for buffer in buffers):
        return None
    x, *sums, result = buffers
    *outer, channels = (int(extent) for extent in x.shape)
    names = tuple(name_of(buffer) for buffer in (result, x, *sums))
    if _NORMS[found[1]] == LAYER_NORM:
        return NormSumsProblem(math.prod(outer), 1, 1, channels, bool(sums), names)
    batch, groups = (int(extent) for extent in result.shape)
    pixels = math.prod(outer) // batch
    return NormSumsProblem(batch, pixels, groups, channels // groups, bool(sums), names)
