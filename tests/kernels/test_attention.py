"""Attention in WGSL against PyTorch in float64."""

import numpy as np
import pytest
import torch

from wsd.accuracy import relative_error
from wsd.wgsl.attention import Attention, block_for, streamed

CASES = [
    Attention(2, 100, 77, 2, 40, 40**-0.5),
    Attention(1, 77, 77, 3, 64, 0.125, causal=True),
    Attention(1, 64, 64, 2, 80, 80**-0.5),
    Attention(1, 40, 33, 2, 128, 128**-0.5),
    Attention(1, 33, 64, 2, 160, 160**-0.5),
    Attention(1, 48, 48, 1, 512, 512**-0.5),
]


@pytest.mark.parametrize("attention", CASES, ids=lambda case: str(case.width))
def test_attention(kernel_host, attention):
    draw = np.random.default_rng(0)
    kept = (attention.heads, attention.width)
    # Scores of a few tens: a softmax that overflows without its largest score.
    q = 6 * draw.standard_normal((attention.batch, attention.queries, *kept)).astype(np.float32)
    k = draw.standard_normal((attention.batch, attention.keys, *kept)).astype(np.float32)
    v = draw.standard_normal((attention.batch, attention.keys, *kept)).astype(np.float32)
    operands = [torch.from_numpy(x).double().transpose(1, 2) for x in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *operands, is_causal=attention.causal
    )
    expected = expected.transpose(1, 2).numpy()
    variant = streamed(attention, block_for(attention))
    assert kernel_host.supports(variant)
    found, _ = kernel_host.run(variant, {"q": q, "k": k, "v": v}, expected.size)
    assert relative_error(found, expected) < 2e-6
