"""Attention in WGSL against PyTorch in float64."""

import math

import numpy as np
import pytest
import torch
from emulated import emulated

from wsd.evaluate.metrics import relative_error
from wsd.kernels.attention.flash import Block, blocks_for, streamed
from wsd.kernels.attention.subgroup_matrix import (
    MatrixBlock,
    attention_on_matrix_units,
    matrix_block_for,
)
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES, BASELINE_MAX_THREADS

CASES = [
    AttentionProblem(2, 100, 77, 2, 40, 40**-0.5),
    AttentionProblem(1, 77, 77, 3, 64, 0.125, causal=True),
    AttentionProblem(1, 64, 64, 2, 80, 80**-0.5),
    AttentionProblem(1, 40, 33, 2, 128, 128**-0.5),
    AttentionProblem(1, 33, 64, 2, 160, 160**-0.5),
    AttentionProblem(1, 48, 48, 1, 512, 512**-0.5),
]
# Blocks that want more shared memory than software adapters have, with fewer queries: what one
# thread does is the same.
SMALLER = [
    (CASES[0], Block(64, 32, 40, 32, (8, 4), (8, 5))),
    (CASES[2], Block(64, 64, 40, 32, (4, 8), (4, 10))),
    (CASES[5], Block(16, 64, 64, 8, (2, 4), (8, 8))),
]


def make(attention):
    """Return queries, keys and values."""
    draw = np.random.default_rng(0)
    shapes = [(attention.batch, n, attention.heads, attention.width)
              for n in (attention.queries, attention.keys, attention.keys)]  # fmt: skip
    q, k, v = (draw.standard_normal(shape).astype(np.float32) for shape in shapes)
    # Scores of a few tens: a softmax that overflows without its largest score.
    return 6 * q, k, v


def attend(attention, q, k, v):
    operands = [torch.from_numpy(x).double().transpose(1, 2) for x in (q, k, v)]
    found = torch.nn.functional.scaled_dot_product_attention(*operands, is_causal=attention.causal)
    return found.transpose(1, 2).numpy()


STREAMED = [
    *((case, block) for case in CASES for block in blocks_for(case.width)),
    *SMALLER,
    (AttentionProblem(1, 40, 40, 2, 16, 0.25), blocks_for(16)[0]),
]


def named(value):
    """Return how a case, or a block, is called."""
    if isinstance(value, AttentionProblem):
        return str(value.width)
    return str(getattr(value, "threads", value))


@pytest.mark.parametrize(("attention", "block"), STREAMED, ids=named)
def test_attention(kernel_host, attention, block):
    variant = streamed(attention, block)
    if not kernel_host.supports(variant):
        assert block not in blocks_for(attention.width)[-1:], "no block for every adapter"
        pytest.skip(f"not run: the adapter has less than {variant.shared_bytes} bytes to share")
    q, k, v = make(attention)
    expected = attend(attention, q, k, v)
    found, _ = kernel_host.run(variant, {"q": q, "k": k, "v": v}, expected.size)
    assert relative_error(found, expected) < 2e-6


@pytest.mark.parametrize("width", [8, 16, 24, 32, 40, 48, 64, 72, 80, 96, 128, 160, 256, 512])
def test_every_width_has_a_block_for_every_adapter(width):
    for block in blocks_for(width):
        across, rest = divmod(width, block.sums[1])
        assert rest == 0 == width % block.depth == block.keys % block.values
        # A thread for each part of the result, and one for each row of weights.
        assert block.threads * block.sums[0] == block.queries * across
        assert block.queries <= block.threads <= BASELINE_MAX_THREADS
    assert block.shared_bytes(width) <= BASELINE_MAX_SHARED_BYTES


def rounded(values, factor=1.0):
    """Return values as halves hold them, scaled by a factor."""
    return (values * np.float32(factor)).astype(np.float16).astype(np.float32) / np.float32(factor)


BLOCKS = [(case, matrix_block_for(case)) for case in CASES if matrix_block_for(case)]


def check_matrix_units(host, attention, variant):
    q, k, v = make(attention)
    # What rounding the operands costs is not the kernel's fault.
    scale = attention.scale * math.log2(math.e)
    expected = attend(attention, rounded(q, scale), rounded(k), rounded(v))
    found, _ = host.run(variant, {"q": q, "k": k, "v": v}, expected.size)
    assert relative_error(found, expected) < 1e-3


@pytest.mark.parametrize(
    ("attention", "block"),
    [*BLOCKS, (CASES[0], MatrixBlock(2, 2, 32))],
    ids=lambda value: str(getattr(value, "width", value)),
)
def test_matrix_units(kernel_host, attention, block):
    variant = attention_on_matrix_units(attention, block)
    if not kernel_host.supports(variant):
        pytest.skip("not run: the adapter has no matrix units")
    check_matrix_units(kernel_host, attention, variant)


# Blocks of fewer subgroups, or fewer keys: halves are as long as floats.
@pytest.mark.parametrize(
    ("attention", "block"),
    [
        (CASES[0], MatrixBlock(2, 1, 32)),
        (CASES[0], MatrixBlock(1, 2, 32)),
        (CASES[4], MatrixBlock(2, 1, 16)),
    ],
    ids=lambda value: str(getattr(value, "width", value)),
)
def test_emulated_matrix_units(kernel_host, attention, block):
    variant = emulated(attention_on_matrix_units(attention, block))
    assert kernel_host.supports(variant)
    check_matrix_units(kernel_host, attention, variant)
