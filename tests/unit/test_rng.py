"""The browser's random numbers against PyTorch's, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = [(1,), (5,), (15,), (16,), (17,), (1, 4, 16, 16), (3, 333)]


def draw(javascript, seed, counts):
    answer = javascript({"call": "randn", "seed": seed, "counts": counts})
    return [np.array(values, np.float64).astype(np.float32) for values in answer]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_randn_equals_torch(javascript, shape):
    count = int(np.prod(shape))
    for seed in [*range(50), 2**31, 2**32 - 1]:
        expected = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()
        (found,) = draw(javascript, seed, [count])
        np.testing.assert_array_equal(found, expected.ravel(), err_msg=f"seed {seed}")


def test_one_generator_continues_as_torchs_does(javascript):
    generator = torch.Generator().manual_seed(3)
    counts = [1024, 7, 16, 100, 1]
    expected = [torch.randn(count, generator=generator).numpy() for count in counts]
    for found, wanted in zip(draw(javascript, 3, counts), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 300))
def test_any_seed_and_count(javascript, seed, count):
    expected = torch.randn(count, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_array_equal(draw(javascript, seed, [count])[0], expected)
