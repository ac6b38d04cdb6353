"""Attention as scores, softmax and mix, read in the layout they come in.

TVM lowers it to five kernels that share one schedule and copy their operands
into another layout first. As kernels of their own, each has the schedule that suits it.
The scores are still stored whole; a kernel that never stores them comes next.

Plug point: ``LegalizeOps({"relax.nn.attention": legalize_attention})``.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import te

from wsd.kernels.rows import ROW_REDUCTION, emit_row_reduction
from wsd.tvm_compat import shape_of, tir

_HIDDEN = -3.0e38  # exp of it is 0, and it is a finite float32


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

    def mix(p: te.Tensor, v: te.Tensor) -> te.Tensor:
        batch, heads, rows, columns = p.shape
        over = te.reduce_axis((0, columns), name="t")
        return te.compute(
            (batch, rows, heads, v.shape[3]),
            lambda b, s, n, d: te.sum(p[b, n, s, over] * v[b, over, n, d], axis=over),
            name="mix",
        )

    logits = builder.emit_te(scores, query, key, primfunc_name_hint="attention_scores")
    largest = emit_row_reduction(builder, _row_max, logits)
    total = emit_row_reduction(builder, _row_sum, logits, largest)
    weights = builder.emit_te(_softmax, logits, largest, total, primfunc_name_hint="softmax")
    return builder.call_te(mix, weights, value, primfunc_name_hint="attention_mix")


def _over(x: te.Tensor) -> Any:
    return te.reduce_axis((0, x.shape[-1]), name="t")


def _row_max(x: te.Tensor) -> te.Tensor:
    t = _over(x)
    return te.compute(x.shape[:-1], lambda *row: te.max(x(*row, t), axis=t), name=ROW_REDUCTION)


def _row_sum(x: te.Tensor, largest: te.Tensor) -> te.Tensor:
    t = _over(x)
    return te.compute(
        x.shape[:-1],
        lambda *row: te.sum(te.exp(x(*row, t) - largest(*row)), axis=t),
        name=ROW_REDUCTION,
    )


def _softmax(x: te.Tensor, largest: te.Tensor, total: te.Tensor) -> te.Tensor:
    return te.compute(
        x.shape,
        lambda *at: te.exp(x(*at) - largest(*at[:-1])) / total(*at[:-1]),
        name="softmax",
    )
