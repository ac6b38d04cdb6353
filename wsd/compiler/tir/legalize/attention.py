"""Legalize attention as two kernels that never write the scores to memory.

The first kernel computes the statistics of each query's softmax, the largest score and the sum of
exponentials, in one pass (Milakov and Gimelshein 2018, "Online normalizer calculation for
softmax"). The second computes the scores again and multiplies the weights by the values. The
decoder of a 1024x1024 picture has 16384 queries: their scores would take a gigabyte. With the
schedule rule :class:`wsd.compiler.tir.schedule.attention.RowAttention` a thread takes one query
and holds eight scores at a time.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import relax, te

from wsd.compiler.tir import stages
from wsd.compiler.tvm_compat import (
    opaque_attributes,
    operator_name,
    shape_of,
    tir,
)

_defaults = {
    name: tvm.ir.Op.get(name).get_attr("FLegalize")
    for name in ("relax.nn.attention", "relax.nn.attention_bias")
}

# Score of a masked position: a finite float32 whose exponential is 0.
_HIDDEN = -3.0e38


def legalize_attention(builder: Any, call: Any) -> Any:
    """Lower scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    Shapes: query (b, s, heads, d), key and value (b, t, heads, d), result
    (b, s, heads, d), float32; the causal mask lets position s see t ≤ s. A bias (b, heads, s, t),
    of which all but t may be 1, is added to the scaled scores. A value whose shape is not the
    key's is left to TVM.
    """
    query, key, value, *biases = call.args
    attrs = call.attrs
    if shape_of(value) != shape_of(key):
        return _defaults[operator_name(call)](builder, call)
    width = shape_of(query)[-1]
    scale = 1 / math.sqrt(width) if attrs.scale is None else float(attrs.scale)
    # The importers say "TopLeft" for is_causal.
    causal = attrs.causal_mask is not None

    def scores(q: te.Tensor, k: te.Tensor, *added: te.Tensor) -> te.Tensor:
        batch, rows, heads, _ = q.shape
        over = te.reduce_axis((0, width), name="d")
        products = te.compute(
            (batch, heads, rows, k.shape[1]),
            lambda b, n, s, t: te.sum(q[b, s, n, over] * k[b, t, n, over], axis=over),
            name=stages.SCORES,
        )

        def scaled(b: Any, n: Any, s: Any, t: Any) -> Any:
            value = products[b, n, s, t] * tir.const(scale, "float32")
            for bias in added:
                at = zip(bias.shape, (b, n, s, t), strict=True)
                value += bias(*(0 if int(extent) == 1 else index for extent, index in at))
            return tir.Select(t <= s, value, tir.const(_HIDDEN, "float32")) if causal else value

        return te.compute(products.shape, scaled, name=stages.SCALED_SCORES)

    def statistics(q: te.Tensor, k: te.Tensor, *added: te.Tensor) -> list[te.Tensor]:
        logits = scores(q, k, *added)
        t = te.reduce_axis((0, logits.shape[3]), name="t")
        one = tir.const(1.0, "float32")
        largest, total = te.compute(
            logits.shape[:3],
            lambda b, n, s: _join((logits[b, n, s, t], one), axis=t),
            name=stages.SOFTMAX_STATISTICS,
        )
        return [largest, total]

    def mix(
        q: te.Tensor,
        k: te.Tensor,
        v: te.Tensor,
        largest: te.Tensor,
        total: te.Tensor,
        *added: te.Tensor,
    ) -> te.Tensor:
        logits = scores(q, k, *added)
        weights = te.compute(
            logits.shape,
            lambda b, n, s, t: te.exp(logits[b, n, s, t] - largest[b, n, s]) / total[b, n, s],
            name=stages.SOFTMAX,
        )
        t = te.reduce_axis((0, logits.shape[3]), name="t")
        return te.compute(
            (*q.shape[:3], v.shape[3]),
            lambda b, s, n, d: te.sum(weights[b, n, s, t] * v[b, t, n, d], axis=t),
            name=stages.WEIGHTED_VALUES,
        )

    found = builder.emit_te(
        statistics, query, key, *biases, primfunc_name_hint="attention_statistics",
        primfunc_attrs=opaque_attributes(),
    )  # fmt: skip
    largest, total = (builder.emit(relax.TupleGetItem(found, index)) for index in (0, 1))
    return builder.call_te(
        mix, query, key, value, largest, total, *biases, primfunc_name_hint="attention",
        primfunc_attrs=opaque_attributes(),
    )  # fmt: skip


def _combine(left: Any, right: Any) -> Any:
    """Combine the statistics of two sets of keys: (largest score, sum of exp(score - largest))."""
    largest = te.max(left[0], right[0])
    total = left[1] * te.exp(left[0] - largest) + right[1] * te.exp(right[0] - largest)
    return largest, total


def _nothing(first: Any, second: Any) -> Any:
    return tir.const(_HIDDEN, first), tir.const(0.0, second)


_join = te.comm_reducer(_combine, _nothing, name="join")
