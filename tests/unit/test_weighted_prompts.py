"""Embeddings of prompts with weights: the page computes what the reference does."""

import numpy as np
import pytest
import torch

from wsd.checkpoint.tokenizer import load_tokenizer, tokenizer_file
from wsd.evaluate.metrics import relative_error
from wsd.evaluate.weighted_prompts import tokenize, weigh_states
from wsd.models.stable_diffusion.clip import CLIP_TOKENIZER
from wsd.runtime.prompt_syntax import parse_weights

TEXTS = [
    "",
    "a large red circle",
    "a (large:1.4) [red] circle",
    r"((two)) small \(blue\) squares (left:0.6) of [[a star",
    # The parts of each weight are tokenized by themselves.
    "circ(le:1.2)s",
    "(red:0) (blue:-1)",
    "red " * 70 + "(circle:1.5) " * 10,
    "(red " * 5,
]
WIDTH = 12


@pytest.fixture(scope="module")
def tokenizer(family):
    [entry] = family.tokenizers
    return load_tokenizer(CLIP_TOKENIZER, entry.fallback)


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20] or "empty")
@pytest.mark.parametrize("before", [0, 5])
def test_the_page_weighs_as_the_reference(javascript, tokenizer, text, before):
    """Of joined states, those of the encoders before stay as they are."""
    data, entry = tokenizer_file(tokenizer)
    ids, weights = tokenize(tokenizer, parse_weights(text, "prompt"))
    states = torch.randn((77, before + WIDTH), generator=torch.Generator().manual_seed(1)) + 0.1
    found = javascript(
        {"call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": text,
         "states": states.flatten().tolist(), "from": before}
    )  # fmt: skip
    assert found["ids"] == ids
    assert found["weights"] == np.float32(weights).tolist()
    expected = states.clone()
    expected[:, before:] = weigh_states(states[None, :, before:], torch.tensor(weights))[0]
    assert relative_error(np.float32(found["states"]), expected.numpy().ravel()) < 1e-5
    weighted = any(weight != 1 for weight in weights)
    assert torch.equal(expected, states) != weighted
    means = [tensor[:, before:].mean().item() for tensor in (expected, states)]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


@pytest.mark.slow
def test_the_words_that_are_cut_are_named(javascript, tokenizer):
    data, entry = tokenizer_file(tokenizer)
    text = "red " * 75 + "(large blue:1.2) star"
    found = javascript(
        {"call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": text,
         "states": [0.0] * 77, "from": 0}
    )  # fmt: skip
    assert (found["count"], found["words"]) == (78, "large blue star")


def test_a_mean_of_zero_is_left_alone():
    states = torch.tensor([[[1.0], [-1.0], [1.0]]])
    weighted = weigh_states(states, torch.tensor([1.0, 2.0, 1.0]))
    assert weighted.flatten().tolist() == [1.0, -2.0, 1.0]
