"""Embeddings of prompts with weights: the page computes what the reference does."""

import random

import numpy as np
import pytest
import torch

from compel_chunks import encode_by_compel
from lpw_states import bring_back_means, read_lpw_states, reduce_states
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.checkpoint.tokenizer import load_tokenizer, tokenizer_file
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.evaluate.metrics import relative_error
from wsd.evaluate.weighted_prompts import encode_prompt, tokenize, weigh_states
from wsd.models.registry import find_family
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
    [(ids, weights)] = tokenize(tokenizer, parse_weights(text, "prompt"))
    states = torch.randn((77, before + WIDTH), generator=torch.Generator().manual_seed(1)) + 0.1
    found = javascript(
        {"call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": text,
         "states": states.flatten().tolist(), "from": before}
    )  # fmt: skip
    [found] = found["chunks"]
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


LONG_TEXTS = {
    # One chunk that is full, and one token more.
    "red " * 75: [75],
    "red " * 76: [75, 1],
    "red " * 300: [75, 75, 75],
    # A phrase of up to 20 tokens goes with what follows it, a longer one is divided.
    "red " * 60 + ", " + "blue " * 16: [61, 16],
    "red " * 55 + ", " + "blue " * 20: [56, 20],
    "red " * 54 + ", " + "blue " * 21: [75, 1],
    "red " * 53 + ", " + "blue " * 22: [75, 1],
    # The comma itself is the first token that finds no room.
    "red " * 75 + ", blue": [75, 2],
    # In the last chunk nothing is moved.
    "red " * 150 + "red " * 60 + ", " + "blue " * 30: [75, 75, 75],
    "red BREAK blue": [1, 1],
    "red BREAK BREAK (blue:1.2) green": [1, 0, 2],
    "BREAK red": [0, 1],
    "red BREAK": [1],
    "BREAK": [0],
    "(red BREAK blue:1.3) BREAK [green] BREAK yellow BREAK cyan": [1, 1, 1],
}


@pytest.mark.slow
@pytest.mark.parametrize("text", LONG_TEXTS, ids=lambda text: f"{len(text)}-{text[:20]}")
def test_the_page_makes_the_same_chunks(javascript, tokenizer, text):
    data, entry = tokenizer_file(tokenizer)
    found = javascript(
        {"call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": text,
         "states": [0.0] * 77, "from": 0, "most": 3}
    )  # fmt: skip
    expected = tokenize(tokenizer, parse_weights(text, "prompt"), 3)
    assert [chunk["ids"] for chunk in found["chunks"]] == [ids for ids, _ in expected]
    assert [chunk["weights"] for chunk in found["chunks"]] == [
        np.float32(weights).tolist() for _, weights in expected
    ]
    # The text ends where the first end token is.
    assert [chunk["end"] - 1 for chunk in found["chunks"]] == LONG_TEXTS[text]


@pytest.mark.slow
def test_random_prompts_make_the_same_chunks(javascript, tokenizer):
    data, entry = tokenizer_file(tokenizer)
    generator = random.Random(75)
    pieces = ["red", "blue circle", ",", ", ", "(large:1.3)", "[small]", " BREAK ", "star, ", "two"]
    weights = [8, 8, 1, 1, 2, 1, 0.2, 2, 4]
    for _ in range(40):
        text = " ".join(generator.choices(pieces, weights, k=generator.randrange(40, 200)))
        found = javascript(
            {"call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": text,
             "states": [0.0] * 77, "from": 0, "most": 3}
        )  # fmt: skip
        expected = tokenize(tokenizer, parse_weights(text, "prompt"), 3)
        assert [chunk["ids"] for chunk in found["chunks"]] == [ids for ids, _ in expected], text


@pytest.mark.slow
def test_a_plain_text_has_one_chunk(javascript, tokenizer):
    data, entry = tokenizer_file(tokenizer)
    found = javascript(
        {"call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": "red " * 80,
         "states": [0.0] * 77, "from": 0, "most": 3, "syntax": "plain"}
    )  # fmt: skip
    assert len(found["chunks"]) == 1
    assert (found["count"], found["words"]) == (80, "red red red red red")


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["tiny-sd15", pytest.param("tiny-sdxl", marks=pytest.mark.exhaustive)]
)
def test_chunks_are_encoded_and_joined_as_by_compel(model):
    """With trained weights. The page is compared with both in tests/e2e."""
    family = find_family(model)
    pipeline = load_pipeline(open_checkpoint(choose_checkpoint(family, None, None), family))
    # Each word is one token.
    words = ["red", "large", "blue", "circle", "star"] * 45
    for count, chunks in ((0, 1), (75, 1), (76, 2), (150, 2), (151, 3), (225, 3)):
        text = " ".join(words[:count])
        theirs = encode_by_compel(pipeline, family.conditioning, text)
        found = encode_prompt(pipeline, family.conditioning, (text, text), chunks=3).embeddings
        assert found.shape == theirs.shape
        assert found.shape[1] == 77 * chunks
        assert relative_error(found.numpy(), theirs.numpy()) < 1e-5


@pytest.fixture(scope="module")
def pipeline(shipped):
    return load_pipeline(shipped)


LPW_STATES = read_lpw_states()


@pytest.mark.slow
@pytest.mark.parametrize("prompt", LPW_STATES, ids=lambda text: f"{len(text)}-{text[:20]}")
def test_weights_are_those_of_lpw_stable_diffusion(javascript, pipeline, family, prompt):
    """Another program's reading of weights, and what they do to the states of trained weights."""
    theirs = LPW_STATES[prompt]
    encoded = encode_prompt(pipeline, family.conditioning, (prompt, prompt), chunks=3)
    reference = encoded.embeddings[0].numpy()
    data, entry = tokenizer_file(pipeline.tokenizer)
    request = {
        "call": "weigh", "tokenizer": data.decode(), "entry": entry, "text": prompt,
        "states": [0.0] * 77, "from": 0, "most": 3,
    }  # fmt: skip
    page = []
    for index, chunk in enumerate(javascript(request)["chunks"]):
        with torch.no_grad():
            states = pipeline.text_encoder(torch.tensor([chunk["ids"]])).last_hidden_state
        weighed = javascript({**request, "states": states.flatten().tolist()})["chunks"][index]
        page.append(np.float32(weighed["states"]).reshape(states.shape[1:]))
    for found in (reference, np.concatenate(page)):
        ours = reduce_states(found)
        assert ours.shape == theirs.shape
        assert ours[..., 3].mean() == pytest.approx(theirs[..., 3].mean(), rel=1e-4)
        expected = theirs if len(theirs) == 1 else bring_back_means(theirs, ours)
        assert relative_error(ours, expected) < 1e-4


def test_a_mean_of_zero_is_left_alone():
    states = torch.tensor([[[1.0], [-1.0], [1.0]]])
    weighted = weigh_states(states, torch.tensor([1.0, 2.0, 1.0]))
    assert weighted.flatten().tolist() == [1.0, -2.0, 1.0]
