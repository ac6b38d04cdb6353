"""What a product is, to whoever writes a kernel for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Weights = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class Conv2d:
    """How rows are gathered from an image (batch, height, width, channels).

    Attributes:
        times: how often each pixel is repeated, down and across, before it is padded.
    """

    batch: int
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    kernel: int
    stride: int
    padding: int
    times: int = 1


@dataclass(frozen=True)
class GemmProblem:
    """result[m, n] = finish(Σ a[m, k] w[n, k]).

    Attributes:
        rows: extent of m.
        columns: extent of n.
        depth: extent of k; of a convolution (ky, kx, c), c innermost.
        weights: how w is stored.
        conv: how the rows of a are gathered, if they are not stored.
        buffers: names of result, a, w and what ``finish`` reads.
        finish: WGSL of the result, of ``value``, ``m``, ``n``, ``at`` and e0, e1 …
    """

    rows: int
    columns: int
    depth: int
    weights: Weights = "float32"
    conv: Conv2d | None = None
    buffers: tuple[str, ...] = ("result", "a", "w")
    finish: str = "value"

    @property
    def operations(self) -> int:
        """Return the floating-point operations: a multiplication and an addition a term."""
        return 2 * self.rows * self.columns * self.depth

    @property
    def along(self) -> int:
        """Return how many values of k lie one after another: all, or those of one tap."""
        return self.conv.channels if self.conv else self.depth

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Return how many tiles of this size cover the result, along n and along m."""
        return -(-self.columns // columns), -(-self.rows // rows)


def read_gemm_problem(entry: dict[str, Any]) -> GemmProblem:
    """Return a product from what ``dataclasses.asdict`` made of it."""
    conv = None if entry["conv"] is None else Conv2d(**entry["conv"])
    return GemmProblem(**{**entry, "conv": conv, "buffers": tuple(entry["buffers"])})


@dataclass(frozen=True)
class NormSumsProblem:
    """Sums of an input (batch, pixels, groups x width) over pixels and width.

    Attributes:
        batch: independent inputs; of a layer norm all rows.
        pixels: rows of each; of a layer norm 1.
        groups: sums of each.
        width: channels of a group.
        centred: whether squares of distances from the mean are summed, not values.
        buffers: names of the result (batch, groups), of the input, and of the sums of
            the values if ``centred``.
    """

    batch: int
    pixels: int
    groups: int
    width: int
    centred: bool
    buffers: tuple[str, ...] = ("result", "x")

    @property
    def channels(self) -> int:
        """Return the channels of a pixel."""
        return self.groups * self.width


@dataclass(frozen=True)
class AttentionProblem:
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
