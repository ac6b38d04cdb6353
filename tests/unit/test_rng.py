"""The browser's random numbers against PyTorch's, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsd.errors import UsageError
from wsd.runtime.request import GenerationRequest
from wsd.spec.seed import MAX_SEED, MIN_SEED

SHAPES = [(1,), (5,), (15,), (16,), (17,), (1, 4, 16, 16), (3, 333)]
# The ends of what PyTorch takes, and of the words that a seed is read by.
ODD_SEEDS = [
    -1, -2, -(2**31), -(2**32), -(2**32) - 1, -(2**63), -(2**63) + 1, 2**31, 2**32 - 1, 2**32,
    2**32 + 1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1,
]  # fmt: skip


def draw(javascript, seed, counts):
    answer = javascript({"call": "randn", "seed": str(seed), "counts": counts})
    return [np.array(values, np.float64).astype(np.float32) for values in answer]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_randn_equals_torch(javascript, shape):
    count = int(np.prod(shape))
    for seed in [*range(50), *ODD_SEEDS]:
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
@given(seed=st.integers(MIN_SEED, MAX_SEED), count=st.integers(1, 300))
def test_any_seed_and_count(javascript, seed, count):
    expected = torch.randn(count, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_array_equal(draw(javascript, seed, [count])[0], expected)


def takes(make):
    """Return whether a call takes what it is given."""
    try:
        make()
    except (UsageError, ValueError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize(
    "seed",
    [*ODD_SEEDS, 0, -(2**63) - 1, -(2**64), -(2**64) + 1, 2**64, 2**64 + 1, 10**30, -(10**30)],
)
def test_a_request_takes_the_seeds_that_torch_takes(seed):
    by_torch = takes(lambda: torch.Generator().manual_seed(seed))
    assert takes(lambda: GenerationRequest("a star", seed=seed)) == by_torch
