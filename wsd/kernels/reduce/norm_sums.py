"""The sums of layer and group normalisation, spread over a GPU.

The sum of a layer norm runs over one row: 64 threads share it, or fewer where rows are short and
many, as in the RMS norms of queries and keys. The sum of a group norm runs over all pixels and a
few channels of each: a workgroup takes some pixels and all of their channels, so that it reads
contiguous memory; a second launch adds the workgroups' partial sums.
The variance is summed around the mean (:mod:`wsd.compiler.tir.legalize.group_layer_norm`), so
each norm sums twice: the values, then the squares of their deviations from the mean.

Roofline: bound by reading the input, twice.
"""

from __future__ import annotations

import math
from dataclasses import replace

from wsd.kernels.problem import NormSumsProblem
from wsd.kernels.reduce.workgroup_sum import WorkgroupSum
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import VECTOR, Launch, Variant

_THREADS = 256
_THREADS_PER_ROW = 64
# Number of the scratch buffer of the partial sums.
_PARTIAL_SUMS = 0
# From so many rows on, 16 rows a workgroup make enough workgroups to fill a GPU, so that no thread
# is kept for what a short row does not have. With fewer rows the launch takes longer than the sum.
_MANY_ROWS = 1 << 12
_MAX_PARTIAL_SUMS = 1024
# Loads of a thread that are under way at a time: a GPU waits hundreds of cycles for each.
_LOADS_AT_ONCE = 8
_PIXELS_AT_ONCE = 4
# One launch is faster than two for groups of at most so many values, if there are enough groups
# to fill the GPU.
_MAX_VALUES_ONE_LAUNCH = 1 << 14
_MIN_GROUPS_ONE_LAUNCH = 32


def row_sums(problem: NormSumsProblem, subgroups: bool = False) -> Variant:
    """Return the kernel that sums rows: a layer norm, where pixels and groups are 1.

    Args:
        problem: the sums; ``channels_per_group`` is a multiple of 4.
        subgroups: whether the GPU's subgroups add.
    """
    reduction = WorkgroupSum(_THREADS, _threads_per_row(problem), subgroups)
    head, body = render_head_and_body(
        "reduce/layer_norm_sums.wgsl.j2", problem=problem, reduction=reduction
    )
    grid = (-(-problem.batch // reduction.sums), 1, 1)
    return reduction.variant(Launch(head, body, grid, problem.buffers))


def _threads_per_row(problem: NormSumsProblem) -> int:
    """Return how many threads share a row, a power of two: of many short rows, a vec4 each."""
    vectors = problem.channels_per_group // VECTOR
    if problem.batch < _MANY_ROWS or vectors >= _THREADS_PER_ROW:
        return _THREADS_PER_ROW
    return 1 << (vectors.bit_length() - 1)


def group_sums(problem: NormSumsProblem, subgroups: bool = False) -> Variant:
    """Return the kernel that sums the groups of a group norm.

    Args:
        problem: the sums; ``channels`` is a multiple of 4.
        subgroups: whether the GPU's subgroups add.
    """
    if (
        problem.values_per_sum <= _MAX_VALUES_ONE_LAUNCH
        and problem.batch * problem.groups >= _MIN_GROUPS_ONE_LAUNCH
    ):
        return _group_sums_in_one_launch(problem, subgroups)
    return _group_sums_in_two_launches(problem, subgroups)


def _group_sums_in_one_launch(problem: NormSumsProblem, subgroups: bool) -> Variant:
    """Return the kernel for small groups: one workgroup makes each sum."""
    reduction = WorkgroupSum(_THREADS, _THREADS, subgroups)
    head, body = render_head_and_body(
        "reduce/group_norm_sums.wgsl.j2",
        problem=problem,
        reduction=reduction,
        at_once=_LOADS_AT_ONCE,
    )
    return reduction.variant(
        Launch(head, body, (problem.groups, problem.batch, 1), problem.buffers)
    )


def _group_sums_in_two_launches(problem: NormSumsProblem, subgroups: bool) -> Variant:
    """Return the kernel for large groups: partial sums by pixels, then their sum."""
    result, *inputs = problem.buffers
    # As timed on an H200, of images from 16 x 16 to 512 x 512.
    partial_sums = min(_MAX_PARTIAL_SUMS, 4 * math.isqrt(problem.pixels))
    pixel_rows = max(1, _THREADS // (problem.channels // VECTOR))
    head, body = render_head_and_body(
        "reduce/group_norm_partial_sums.wgsl.j2",
        problem=problem,
        partial_sums=partial_sums,
        pixels_per_workgroup=-(-problem.pixels // partial_sums),
        pixel_rows=pixel_rows,
        threads=_THREADS,
        at_once=_PIXELS_AT_ONCE,
    )
    partial = Launch(head, body, (partial_sums, problem.batch, 1), (_PARTIAL_SUMS, *inputs))
    reduction = WorkgroupSum(_THREADS_PER_ROW, _THREADS_PER_ROW, subgroups)
    head, body = render_head_and_body(
        "reduce/add_partial_sums.wgsl.j2", partial_sums=partial_sums, reduction=reduction
    )
    added = reduction.variant(
        Launch(head, body, (problem.batch * problem.groups, 1, 1), (result, _PARTIAL_SUMS))
    )
    return replace(
        added,
        launches=(partial, *added.launches),
        threads=_THREADS,
        shared_bytes=4 * pixel_rows * problem.channels,
        scratch_bytes=(4 * partial_sums * problem.batch * problem.groups,),
    )
