"""What an attention is, to whoever writes a kernel for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

# What hides a score from the softmax: exp of it is 0, and it is a finite float32.
HIDDEN = "-3.0e38f"


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    Attributes:
        batch: pictures.
        queries: of each.
        keys: of each.
        heads: of each.
        width: numbers of a query, a key or a value in one head.
        scale: of the scores.
        causal: whether a query sees only keys up to its own place.
        buffers: names of the result and the queries (batch, queries, heads, width),
            of the keys and the values (batch, keys, heads, width).
    """

    batch: int
    queries: int
    keys: int
    heads: int
    width: int
    scale: float
    causal: bool = False
    buffers: tuple[str, ...] = ("result", "q", "k", "v")

    @property
    def operations(self) -> int:
        """Return the floating-point operations of both products."""
        return 4 * self.batch * self.heads * self.queries * self.keys * self.width


def attention_head(attention: Attention, result: str = "vec4<f32>") -> str:
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
