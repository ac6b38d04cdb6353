"""The problems that are studied: layers in which models spend most of their time."""

from __future__ import annotations

from dataclasses import replace

from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, Weights

StudyProblem = GemmProblem | AttentionProblem

_BUFFERS = ("result", "a", "w", "bias", "residual")
_EPILOGUE = "(e1[at] + (value + e0[n]))"


def linear(m: int, n: int, k: int, weights: Weights = "float16") -> GemmProblem:
    """Return a linear layer with a bias and a residual."""
    return GemmProblem(m, n, k, weights, None, _BUFFERS, _EPILOGUE)


def conv3x3(
    batch: int, size: int, channels: int, n: int, *, stride: int = 1, weights: Weights = "float16"
) -> GemmProblem:
    """Return a convolution of 3 x 3 of a square image, with a bias and a residual.

    Args:
        batch: images.
        size: height and width of an image.
        channels: of the image.
        n: channels of the result.
        stride: pixels between two windows.
        weights: how they are stored.
    """
    out = size // stride
    conv = Conv2d(batch, size, size, channels, out, out, 3, stride, 1)
    return GemmProblem(batch * out * out, n, 9 * channels, weights, conv, _BUFFERS, _EPILOGUE)


def attention(batch: int, queries: int, keys: int, heads: int, head_dim: int) -> AttentionProblem:
    """Return an attention with the usual scale."""
    return AttentionProblem(batch, queries, keys, heads, head_dim, head_dim**-0.5)


def growing(problem: AttentionProblem) -> AttentionProblem:
    """Return an attention whose scores are twice as large, so that larger ones keep coming.

    An online softmax then scales its sums down often, which it seldom does with the usual scale.
    """
    return replace(problem, scale=2 * problem.scale)


# Those that take most time first: a run that ends early has measured them.
PROBLEMS: dict[str, StudyProblem] = {
    "sd35 attention joint": attention(2, 4429, 4429, 24, 64),
    "sd35 mlp up": linear(8192, 6144, 1536, "int8"),
    "sd15 conv 64x64x320": conv3x3(2, 64, 320, 320),
    "sd15 attention 64x64": attention(2, 4096, 4096, 8, 40),
    "sd15 ff up 64x64": linear(8192, 2560, 320),
    "sd15 conv 16x16x1280": conv3x3(2, 16, 1280, 1280),
    "decoder conv 256x256x512->256": conv3x3(1, 256, 512, 256),
    "sd15 conv 32x32x640": conv3x3(2, 32, 640, 640),
    "sd15 attention 32x32": attention(2, 1024, 1024, 8, 80),
    "sd15 ff down 32x32": linear(2048, 640, 2560),
    "decoder conv 512x512x128": conv3x3(1, 512, 128, 128),
    "sdxl attention 64x64": attention(2, 4096, 4096, 10, 64),
    "sdxl ff down 32x32": linear(2048, 1280, 5120, "int8"),
    "sd15 qkv 64x64": linear(8192, 320, 320),
    "sd15 conv 8x8x1280": conv3x3(2, 8, 1280, 1280),
    "sd15 cross 64x64": attention(2, 4096, 77, 8, 40),
    "decoder conv 128x128x512": conv3x3(1, 128, 512, 512),
    "sd15 attention 16x16": attention(2, 256, 256, 8, 160),
    "sd15 ff up 16x16": linear(512, 10240, 1280),
    "sdxl conv 64x64x640 int8": conv3x3(2, 64, 640, 640, weights="int8"),
    "sdxl attention 32x32": attention(2, 1024, 1024, 20, 64),
    "sd35 qkv": linear(8192, 1536, 1536),
    "sd15 conv 64x64x640->320": conv3x3(2, 64, 640, 320),
    "sd15 attention 64x64 growing": growing(attention(2, 4096, 4096, 8, 40)),
    "sd15 conv stride 2": conv3x3(2, 64, 320, 320, stride=2),
}
# How many of them get every tile.
THOROUGH = 8
