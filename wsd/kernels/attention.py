"""Attention that never stores its scores: two kernels, one thread a query.

The first finds each row's largest score and the sum of the exponentials, both in
one pass (Milakov and Gimelshein 2018, "Online normalizer calculation for
softmax"); the second computes the scores again and mixes the values. A picture of
1024x1024 has 16384 queries at its decoder's attention: their scores would take a
gigabyte, a thread of these two kernels keeps eight of them at a time.

Plug points: ``LegalizeOps({"relax.nn.attention": legalize_attention})`` and the
schedule rule ``RowAttention``, tried before dlight's own.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import relax, te

from wsd.kernels.rows import OPAQUE
from wsd.tvm_compat import (
    Schedule,
    block_named,
    buffers_of,
    dlight,
    name_of,
    normalize_prim_func,
    shape_of,
    tir,
)
from wsd.wgsl.attention import Attention

_HIDDEN = -3.0e38  # exp of it is 0, and it is a finite float32
_THREADS = 64
# Keys whose scores a thread holds at once.
_KEYS = 8


def legalize_attention(builder: Any, call: Any) -> Any:
    """Lower scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    Shapes: query (b, s, heads, d), key and value (b, t, heads, d), result
    (b, s, heads, d), float32; the causal mask lets position s see t ≤ s.
    """
    query, key, value = call.args
    attrs = call.attrs
    width = shape_of(query)[-1]
    scale = 1 / math.sqrt(width) if attrs.scale is None else float(attrs.scale)
    # The importers say "TopLeft" for is_causal.
    causal = attrs.causal_mask is not None

    def scores(q: te.Tensor, k: te.Tensor) -> te.Tensor:
        batch, rows, heads, _ = q.shape
        over = te.reduce_axis((0, width), name="d")
        products = te.compute(
            (batch, heads, rows, k.shape[1]),
            lambda b, n, s, t: te.sum(q[b, s, n, over] * k[b, t, n, over], axis=over),
            name="scores",
        )

        def scaled(b: Any, n: Any, s: Any, t: Any) -> Any:
            value = products[b, n, s, t] * tir.const(scale, "float32")
            return tir.Select(t <= s, value, tir.const(_HIDDEN, "float32")) if causal else value

        return te.compute(products.shape, scaled, name="scaled")

    def statistics(q: te.Tensor, k: te.Tensor) -> list[te.Tensor]:
        logits = scores(q, k)
        t = te.reduce_axis((0, logits.shape[3]), name="t")
        one = tir.const(1.0, "float32")
        largest, total = te.compute(
            logits.shape[:3],
            lambda b, n, s: _join((logits[b, n, s, t], one), axis=t),
            name="statistics",
        )
        return [largest, total]

    def mix(
        q: te.Tensor, k: te.Tensor, v: te.Tensor, largest: te.Tensor, total: te.Tensor
    ) -> te.Tensor:
        logits = scores(q, k)
        weights = te.compute(
            logits.shape,
            lambda b, n, s, t: te.exp(logits[b, n, s, t] - largest[b, n, s]) / total[b, n, s],
            name="weights",
        )
        t = te.reduce_axis((0, logits.shape[3]), name="t")
        return te.compute(
            (*q.shape[:3], v.shape[3]),
            lambda b, s, n, d: te.sum(weights[b, n, s, t] * v[b, t, n, d], axis=t),
            name="mix",
        )

    attributes = {"op_pattern": OPAQUE}
    found = builder.emit_te(
        statistics, query, key, primfunc_name_hint="attention_statistics",
        primfunc_attrs=attributes,
    )  # fmt: skip
    largest, total = (builder.emit(relax.TupleGetItem(found, index)) for index in (0, 1))
    return builder.call_te(
        mix, query, key, value, largest, total, primfunc_name_hint="attention",
        primfunc_attrs=attributes,
    )  # fmt: skip


def find_attention(function: Any) -> tuple[str, Attention] | None:
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
    causal = type(scaled).__name__ == "Select"
    factor = (scaled.true_value if causal else scaled).b
    order = (buffers[-1], *buffers[:3])
    batch, queries, heads, width = query
    attention = Attention(
        batch, queries, key[1], heads, width, float(factor.value), causal,
        tuple(name_of(buffer) for buffer in order),
    )  # fmt: skip
    return kind, attention


def _combine(left: Any, right: Any) -> Any:
    """Join two parts' (largest score, sum of exponentials relative to it)."""
    largest = te.max(left[0], right[0])
    total = left[1] * te.exp(left[0] - largest) + right[1] * te.exp(right[0] - largest)
    return largest, total


def _nothing(first: Any, second: Any) -> Any:
    return tir.const(_HIDDEN, first), tir.const(0.0, second)


_join = te.comm_reducer(_combine, _nothing, name="join")


class RowAttention(dlight.base.ScheduleRule):
    """Schedule both kernels: a thread a query, its scores in registers."""

    def apply(self, func: Any, _target: Any, _tunable: bool) -> Any:
        """Return a schedule, or None where the rule does not fit."""
        schedule = Schedule(func)
        named = {block.name: block.block_rv for block in normalize_prim_func(schedule) or ()}
        if list(named) not in (
            ["scores", "scaled", "statistics"],
            ["scores", "scaled", "weights", "mix"],
        ):
            return None
        heads = int(buffers_of(func)[0].shape[2])
        _schedule_rows(schedule, named, heads)
        return schedule


def _schedule_rows(schedule: Any, named: dict[str, Any], heads: int) -> None:
    """Give each thread one query; it walks over the keys, ``_KEYS`` at a time."""
    *held, result = (name for name in named if name != "scaled")
    schedule.compute_inline(named["scaled"])
    *rows, keys = schedule.get_loops(named[result])
    across = []
    if result == "mix":
        across = [rows.pop()]
        # Threads side by side take the same head, so that they read the same keys;
        # a loop of one head (or batch) is not there.
        if heads > 1:
            rows.insert(-1, rows.pop())
    stored = [
        schedule.cache_write(named[result], index, "local")
        for index in range(len(schedule.get(named[result]).writes))
    ]
    count = int(schedule.get(keys).extent)
    at_once = next(n for n in range(_KEYS, 0, -1) if count % n == 0)
    outer, inner = schedule.split(keys, [None, at_once])
    schedule.reorder(*rows, outer, *across, inner)
    if across:
        schedule.unroll(inner)
    queries = int(schedule.get(rows[-1]).extent)
    fused = schedule.fuse(*rows)
    threads = _threads(int(schedule.get(fused).extent), queries)
    group, thread = schedule.split(fused, [None, threads])
    schedule.bind(group, "blockIdx.x")
    schedule.bind(thread, "threadIdx.x")
    for block in stored:
        schedule.reverse_compute_at(block, thread, preserve_unit_loops=True)
    for name in reversed(held):
        schedule.set_scope(named[name], 0, "local")
        schedule.compute_at(named[name], outer, preserve_unit_loops=True)
    query = schedule.cache_read(named["scores"], 0, "local")
    schedule.compute_at(query, thread, preserve_unit_loops=True)
    *_, each_key, width = schedule.get_loops(named["scores"])
    schedule.reorder(width, each_key)
    schedule.unroll(each_key)
    schedule.decompose_reduction(named["scores"], width)
    # Looked up again: v0.21 loses a block with two results on the way.
    schedule.decompose_reduction(block_named(schedule, result), outer)


def _threads(rows: int, queries: int) -> int:
    """Return how many rows a workgroup takes, so that none is left over where possible.

    Rows are queries, head after head. TVM does not always follow the indices of a workgroup
    that ends amid a head, having begun in another.
    """
    counts = range(_THREADS, 0, -1)
    exact = [n for n in counts if rows % n == 0]
    aligned = next(n for n in exact if n % queries == 0 or queries % n == 0)
    if 2 * aligned >= _THREADS:
        return aligned
    whole = [n for n in counts if n <= queries or n % queries == 0]
    nearly = next(n for n in whole if rows % n == 0)
    return nearly if 2 * nearly >= _THREADS or whole[0] < _THREADS else _THREADS
