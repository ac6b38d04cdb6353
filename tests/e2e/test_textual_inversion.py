"""Textual inversions in the page: what diffusers encodes and draws with the same vectors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from speck import SPECK, SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import RenderError, UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import relative_error
from wsd.evaluate.weighted_prompts import encode_prompt
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE
from wsd.util.progress import Quiet

pytestmark = pytest.mark.full

PROMPT = "a red <toy> left of a blue <toy>"
REQUEST = GenerationRequest(PROMPT, "a <toy>", steps=2, seed=3, guidance_scale=4.0)


@pytest.fixture(scope="module")
def model(request, open_model, tmp_path_factory):
    """Return a checkpoint, how a bundle of it stores its weights, and a page with the bundle."""
    family, dtype = request.param
    checkpoint = open_checkpoint(choose_checkpoint(family, None, 0), family)
    library = compile_library(family, family.sizes, dtype, Quiet())
    folder = tmp_path_factory.mktemp("bundle") / "inverted"
    bundle = build_bundle(checkpoint, library, folder, Quiet())
    storages = read_manifest(find_manifest(bundle, None)).storages()
    with open_model(bundle) as renderer:
        yield checkpoint, storages, renderer


def vectors(pipeline, count, seed):
    """Return learned vectors of each text encoder, by the names of SDXL's files."""
    generator = torch.Generator().manual_seed(seed)
    encoders = {
        "clip_l": pipeline.text_encoder,
        "clip_g": getattr(pipeline, "text_encoder_2", None),
    }
    return {
        name: 0.1 * torch.randn((count, encoder.config.hidden_size), generator=generator)
        for name, encoder in encoders.items()
        if encoder is not None
    }


def load_into(pipeline, learned, token):
    """Load vectors as diffusers does."""
    pipeline.load_textual_inversion(learned["clip_l"], token=token)
    if "clip_g" in learned:
        pipeline.load_textual_inversion(
            learned["clip_g"], token=token, text_encoder=pipeline.text_encoder_2,
            tokenizer=pipeline.tokenizer_2,
        )  # fmt: skip


def file_of(learned):
    return save(learned if "clip_g" in learned else {"emb_params": learned["clip_l"]})


MODELS = [
    pytest.param((SPECK, "f32"), id="sd15"),
    pytest.param((SPECK_XL, "f32"), id="sdxl", marks=pytest.mark.exhaustive),
    pytest.param((SPECK_XL, "w8a16"), id="sdxl-w8a16", marks=pytest.mark.exhaustive),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_it_draws_as_diffusers_does_and_leaves_nothing_behind(model):
    checkpoint, storages, renderer = model
    first = renderer.draw(REQUEST)
    for count in (1, 3):
        pipeline = load_pipeline(checkpoint)
        learned = vectors(pipeline, count, seed=count)
        load_into(pipeline, learned, "<toy>")
        # The learned vectors too: they are stored as the table is.
        round_weights(pipeline, storages)
        _, latents = draw_reference(checkpoint, pipeline, REQUEST, Quiet())
        loaded = renderer.load_textual_inversion(file_of(learned), "<toy>")
        assert (loaded["token"], loaded["vectors"]) == ("<toy>", count)
        drawn = renderer.draw(REQUEST)
        assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
        assert relative_error(first.latents, latents) > 10 * LATENTS_TOLERANCE
        assert "textual inversion <toy>" in drawn.settings[0]
        # Capital letters mean the same, as in the web UI.
        capitals = renderer.draw(replace(REQUEST, prompt=PROMPT.upper()))
        assert np.array_equal(capitals.latents, drawn.latents)
        renderer.unload_textual_inversion("<toy>")
        again = renderer.draw(REQUEST)
        assert np.array_equal(again.latents, first.latents)


of_both = pytest.mark.parametrize("model", MODELS[:2], indirect=True)


@pytest.mark.exhaustive
@of_both
def test_two_at_once_with_weights(model):
    """The longer word is found first; a part of a prompt may be cut; vectors have weights too."""
    checkpoint, storages, renderer = model
    pipeline = load_pipeline(checkpoint)
    one, two = vectors(pipeline, 2, seed=5), vectors(pipeline, 1, seed=6)
    load_into(pipeline, one, "toy")
    load_into(pipeline, two, "toys")
    round_weights(pipeline, storages)
    # The states of random weights have a mean of 0 behind a layer norm, as in SD 1.5, which cannot
    # be restored. SDXL's are taken before one.
    weighted = "clip_g" in one
    prompt = ("(toys:1.4) and a [toy] " if weighted else "toys and a toy ") + "red " * 74
    syntax = "a1111" if weighted else "plain"
    renderer.load_textual_inversion(file_of(one), "toy")
    renderer.load_textual_inversion(file_of(two), "toys")
    try:
        ours = renderer.encode_prompt(prompt, None, {"promptSyntax": syntax})["promptEmbeds"]
    finally:
        renderer.unload_textual_inversion()
    # diffusers has a token for each vector.
    words = prompt.replace("a toy ", "a toy toy_1 ").replace("[toy]", "[toy toy_1]")
    conditioning = checkpoint.family.conditioning
    theirs = encode_prompt(pipeline, conditioning, (words, words), syntax=syntax).embeddings
    assert relative_error(ours, theirs.detach().numpy()) < 1e-4


@pytest.mark.exhaustive
@of_both
def test_what_does_not_fit_is_refused(model):
    checkpoint, _, renderer = model
    pipeline = load_pipeline(checkpoint)
    learned = vectors(pipeline, 1, seed=1)
    good = file_of(learned)
    with pytest.raises(RenderError, match="pickle"):
        renderer.load_textual_inversion(b"\x80\x02" + good, "a")
    with pytest.raises(RenderError, match="torch.save"):
        renderer.load_textual_inversion(b"PK\x03\x04" + good, "a")
    with pytest.raises(RenderError, match="LoraError"):
        renderer.load_textual_inversion(good[:-5], "a")
    with pytest.raises(RenderError, match="no textual inversion"):
        renderer.load_textual_inversion(save({"a": torch.zeros(4, 4), "b": torch.zeros(4)}), "a")
    odd = {name: tensor[:, :-1].contiguous() for name, tensor in learned.items()}
    with pytest.raises(RenderError, match="features"):
        renderer.load_textual_inversion(file_of(odd), "a")
    nan = {name: tensor * float("nan") for name, tensor in learned.items()}
    with pytest.raises(RenderError, match="infinite or not numbers"):
        renderer.load_textual_inversion(file_of(nan), "a")
    many = {name: tensor.repeat(76, 1) for name, tensor in learned.items()}
    with pytest.raises(RenderError, match="76 vectors"):
        renderer.load_textual_inversion(file_of(many), "a")
    other = {"emb_params": learned["clip_l"]} if "clip_g" in learned else {
        "clip_l": learned["clip_l"], "clip_g": learned["clip_l"].clone()
    }  # fmt: skip
    with pytest.raises(RenderError, match="is a textual inversion of"):
        renderer.load_textual_inversion(save(other), "a")
    with pytest.raises(UsageError, match="token is"):
        renderer.load_textual_inversion(good, "two words")
    renderer.load_textual_inversion(good, "a")
    with pytest.raises(UsageError, match="loaded already"):
        renderer.load_textual_inversion(good, "A")
    renderer.unload_textual_inversion("A")
    with pytest.raises(UsageError, match="is loaded"):
        renderer.unload_textual_inversion("a")
