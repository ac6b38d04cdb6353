"""Problems that the WGSL generators take: GEMM, norm statistics, attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Weights = Literal["float32", "float16", "int8", "int4"]


@dataclass(frozen=True)
class Conv2d:
    """A 2D convolution whose GEMM operand A is gathered from an image (im2col).

    The image is (batch, height, width, channels) float32; row m of A is the output pixel
    (image, y, x) in row-major order, column k of A is (ky, kx, c).

    Attributes:
        kernel: extent of the square window, in pixels.
        stride: pixels between two windows, the same along both axes.
        padding: zeros before the first row and the first column. As many follow the last ones,
            or as many more as ``out_height`` and ``out_width`` need: what lies beyond the image
            reads as zero.
        upsample: how often each pixel is repeated along both axes before the padding
            (nearest-neighbour upsampling, fused into the gather); 1 for none. The last row or
            column of the upsampled image may be cut off, see :attr:`upsampled`. The stride is
            1 then.
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
    upsample: int = 1

    @property
    def upsampled(self) -> tuple[int, int]:
        """Return (height, width) of the image that is padded, as the result's extents tell them."""
        if self.upsample == 1:
            return self.height, self.width
        border = self.kernel - 1 - 2 * self.padding
        return self.out_height + border, self.out_width + border

    @property
    def is_cropped(self) -> bool:
        """Tell whether the upsampled image lacks its last row or column."""
        return self.upsampled != (self.height * self.upsample, self.width * self.upsample)


@dataclass(frozen=True)
class GemmProblem:
    """GEMM problem (plain, or a convolution as implicit GEMM) that the WGSL generators take.

    result[m, n] = epilogue(sum over k of a[m, k] * w[n, k]). The operand A (m, k) and the
    result (m, n) are float32, row-major; W is (n, k) as PyTorch stores a linear weight.

    Attributes:
        m: rows of A and of the result.
        n: rows of W and columns of the result.
        k: the extent that is summed over; of a convolution (ky, kx, c), c innermost.
        weights: how W is stored. All but float32 are packed into u32 words. The scales of int8
            belong to the epilogue; those of int4 are a buffer of float16, two a word, one for each
            32 values of a row.
        conv: how A is gathered from an image; None if A is stored as it is.
        buffers: names of the PrimFunc's buffers: result, A, W, of int4 the scales of W, then the
            epilogue's operands.
        epilogue: WGSL expression of the result from ``value`` (the sum), ``m``, ``n``, ``at``
            (= m * N + n) and the epilogue's operands, the arrays ``e0``, ``e1`` …
        products: how many are computed of this size, whose operands and results follow one
            another in memory. Several have no epilogue.
        a_dtype: how A is stored: float32, or float16 for kernels that multiply in it.
    """

    m: int
    n: int
    k: int
    weights: Weights = "float32"
    conv: Conv2d | None = None
    buffers: tuple[str, ...] = ("result", "a", "w")
    epilogue: str = "value"
    products: int = 1
    a_dtype: Literal["float32", "float16"] = "float32"

    @property
    def operations(self) -> int:
        """Return the floating-point operations: two for each multiply-add."""
        return 2 * self.products * self.m * self.n * self.k

    @property
    def operands(self) -> tuple[str, ...]:
        """Return the names of the buffers that the sums are made of: A, W, of int4 its scales."""
        return self.buffers[1 : 4 if self.weights == "int4" else 3]

    @property
    def epilogue_operands(self) -> tuple[str, ...]:
        """Return the names of the buffers that the epilogue reads."""
        return self.buffers[1 + len(self.operands) :]

    @property
    def k_contiguous(self) -> int:
        """Return how many values of one row of A along k are contiguous in memory.

        That is k, or the channels of one tap (ky, kx) of a convolution.
        """
        return self.conv.channels if self.conv else self.k

    def grid(self, tile_m: int, tile_n: int) -> tuple[int, int]:
        """Return how many tiles of tile_m x tile_n cover the result, along n and along m."""
        return -(-self.n // tile_n), -(-self.m // tile_m)


def read_gemm_problem(entry: dict[str, Any]) -> GemmProblem:
    """Return a problem from its JSON object, the inverse of ``dataclasses.asdict``."""
    conv = None if entry["conv"] is None else Conv2d(**entry["conv"])
    return GemmProblem(**{**entry, "conv": conv, "buffers": tuple(entry["buffers"])})


@dataclass(frozen=True)
class NormSumsProblem:
    """Sums that a layer norm or a group norm needs, one for each image and group.

    The input is (batch, pixels, groups * channels_per_group) float32, channels last; the result
    (batch, groups) float32. A layer norm over rows is ``batch`` rows with ``pixels`` and
    ``groups`` of 1.

    Attributes:
        batch: images; of a layer norm, rows.
        pixels: pixels of an image; of a layer norm, 1.
        groups: groups of channels; of a layer norm, 1.
        channels_per_group: channels of a group; of a layer norm, the row's length.
        centered: whether squared deviations from the mean are summed instead of the values.
        buffers: names of the result, of the input and, if ``centered``, of the sums of the
            values, (batch, groups).
    """

    batch: int
    pixels: int
    groups: int
    channels_per_group: int
    centered: bool
    buffers: tuple[str, ...] = ("result", "x")

    @property
    def channels(self) -> int:
        """Return the channels of a pixel."""
        return self.groups * self.channels_per_group

    @property
    def values_per_sum(self) -> int:
        """Return how many values one sum runs over."""
        return self.pixels * self.channels_per_group


@dataclass(frozen=True)
class AttentionProblem:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1), float32.

    Attributes:
        batch: images or prompts.
        queries: length of the query sequence.
        keys: length of the key and value sequence.
        heads: attention heads.
        head_dim: length of one head's query, key or value vector.
        scale: factor of the scores, usually 1 / sqrt(head_dim).
        causal: whether query i sees only the keys 0 to i.
        bias: whether a number is added to each scaled score, the same for all of the batch, as
            the relative position bias of T5 (Raffel et al. 2020, section 2.1).
        buffers: names of the result and the query (batch, queries, heads, head_dim), of the key
            and the value (batch, keys, heads, head_dim) and, if ``bias``, of the bias
            (1, heads, queries, keys).
    """

    batch: int
    queries: int
    keys: int
    heads: int
    head_dim: int
    scale: float
    causal: bool = False
    bias: bool = False
    buffers: tuple[str, ...] = ("result", "q", "k", "v")

    @property
    def operations(self) -> int:
        """Return the floating-point operations of both matrix products."""
        return 4 * self.batch * self.heads * self.queries * self.keys * self.head_dim

    @property
    def exp2_scale(self) -> float:
        """Return the factor of the scores for a softmax by powers of 2, which GPUs have."""
        return self.scale * self.exp2_bias_scale

    @property
    def exp2_bias_scale(self) -> float:
        """Return the factor of the bias for the same softmax."""
        return math.log2(math.e)
