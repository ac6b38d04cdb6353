"""The browser's Brownian tree against torchsde's, and its seeds against numpy's, bit for bit."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler
from hypothesis import given, settings
from hypothesis import strategies as st

LEAST, MOST = 0.029167519882321358, 14.614646911621094  # Stable Diffusion's noise levels
KEYS = st.lists(st.integers(0, 2**32 - 1), max_size=3)
LEVELS = st.floats(LEAST, MOST, width=32).map(np.float32)


def draw(javascript, least, most, seed, count, parts):
    """Return the browser's noise between pairs of noise levels."""
    parts = [[float(first), float(last)] for first, last in parts]
    request = {"range": [float(least), float(most)], "count": count, "parts": parts}
    answer = javascript({"call": "brownian", "seed": str(seed), **request})
    return np.array(answer, np.float64).astype(np.float32)


def expect(least, most, seed, count, parts):
    """Return diffusers' noise between pairs of noise levels.

    The square root is numpy's: that of PyTorch's library, MKL, is often one unit in the last place
    off, and depends on the processor.
    """
    sampler = BrownianTreeNoiseSampler(torch.zeros(1, count), float(least), float(most), seed)
    noise = []
    for first, last in parts:
        increment = sampler.tree(torch.tensor(first), torch.tensor(last))
        noise.append(increment.numpy().ravel() / np.sqrt(np.abs(last - first)))
        whole = sampler(torch.tensor(first), torch.tensor(last))
        np.testing.assert_allclose(whole.numpy().ravel(), noise[-1], rtol=2**-22)
    return np.stack(noise)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(entropy=st.integers(0, 2**128), key=KEYS, pool=st.sampled_from([4, 24]))
def test_seeds_equal_numpys(javascript, entropy, key, pool):
    wanted = np.random.SeedSequence(entropy, spawn_key=key, pool_size=pool).generate_state(30)
    request = {"entropy": str(entropy), "key": key, "pool": pool, "count": 30}
    assert javascript({"call": "seed_words", **request}) == wanted.tolist()


@pytest.mark.parametrize("entropy", [0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1])
def test_seeds_equal_numpys_where_words_end(javascript, entropy):
    for key in ([], [0], [0, 0], [2**24 - 1, 24]):
        wanted = np.random.SeedSequence(entropy, spawn_key=key, pool_size=24).generate_state(4)
        request = {"entropy": str(entropy), "key": key, "pool": 24, "count": 4}
        assert javascript({"call": "seed_words", **request}) == wanted.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 7, 4_000_000_000, 2**32, 2**64 - 1])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_noise_of_a_whole_run_equals_torchsdes(javascript, seed, steps):
    """Each step asks from its level to the middle, then from its level to the next."""
    levels = np.geomspace(MOST, LEAST, 2 * steps + 1).astype(np.float32)
    parts = [(levels[2 * i], levels[2 * i + after]) for i in range(steps) for after in (1, 2)]
    found = draw(javascript, levels[-1], levels[0], seed, 64, parts)
    np.testing.assert_array_equal(found, expect(levels[-1], levels[0], seed, 64, parts))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**64 - 1),
    count=st.integers(1, 40),
    levels=st.lists(LEVELS, min_size=2, max_size=8, unique_by=lambda level: round(float(level), 4)),
)
def test_any_noise_levels_in_any_order(javascript, seed, count, levels):
    parts = list(pairwise(levels))
    found = draw(javascript, np.float32(LEAST), np.float32(MOST), seed, count, parts)
    wanted = expect(np.float32(LEAST), np.float32(MOST), seed, count, parts)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_halves_of_a_digit_round_to_even(javascript):
    """Odd multiples of 2 ** -7 are the only numbers halfway between two of six digits."""
    levels = [np.float32(odd / 128) for odd in range(5, 200, 2)]
    parts = list(pairwise(levels))
    found = draw(javascript, levels[0], levels[-1], 3, 16, parts)
    np.testing.assert_array_equal(found, expect(levels[0], levels[-1], 3, 16, parts))


def test_a_negative_seed_is_its_64_bits(javascript):
    parts = [(np.float32(9.5), np.float32(1.25))]
    negative, positive = (draw(javascript, 1, 10, seed, 16, parts) for seed in (-3, 2**64 - 3))
    np.testing.assert_array_equal(negative, positive)
