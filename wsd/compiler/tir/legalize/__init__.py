"""WSD's legalizers: lower a Relax operator to TIR, one family of operators in each file.

``LEGALIZERS`` maps a Relax operator to its legalizer (:mod:`wsd.compiler.passes.legalize`). TVM
lowers the operators that are not in it.
"""

from __future__ import annotations

from typing import Any

from wsd.compiler.tir.legalize import (
    attention,
    conv2d,
    embedding,
    group_layer_norm,
    matmul,
    mean,
    sincos,
)

LEGALIZERS: dict[str, Any] = {
    "relax.matmul": matmul.legalize_matmul,
    "relax.nn.conv2d": conv2d.legalize_conv2d,
    "relax.strided_slice": conv2d.keep_crop,
    "relax.take": embedding.legalize_take,
    "relax.nn.attention": attention.legalize_attention,
    "relax.nn.attention_bias": attention.legalize_attention,
    "relax.nn.group_norm": group_layer_norm.legalize_group_norm,
    "relax.nn.layer_norm": group_layer_norm.legalize_layer_norm,
    "relax.mean": mean.legalize_mean,
    "relax.cos": sincos.legalize_cos,
    "relax.sin": sincos.legalize_sin,
}
