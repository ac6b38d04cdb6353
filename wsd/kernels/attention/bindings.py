"""What an attention is, to whoever writes a kernel for it."""

from __future__ import annotations

import math

from wsd.kernels.problem import AttentionProblem

# What hides a score from the softmax: exp of it is 0, and it is a finite float32.
HIDDEN = "-3.0e38f"


def attention_head(attention: AttentionProblem, result: str = "vec4<f32>") -> str:
    """Return what an attention kernel takes for granted: bindings and constants."""
    return "\n".join(
        [
            f"@group(0) @binding(0) var<storage, read_write> result : array<{result}>;",
            *(
                f"@group(0) @binding({binding}) var<storage, read> {name} : array<vec4<f32>>;"
                for binding, name in enumerate("qkv", start=1)
            ),
            f"const QUERIES = {attention.queries}u;",
            f"const KEYS = {attention.keys}u;",
            f"const HEADS = {attention.heads}u;",
            # Powers of 2 are cheaper than powers of e.
            f"const SCALE = {attention.scale * math.log2(math.e)!r}f;",
            "",
        ]
    )
