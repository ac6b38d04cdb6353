"""SDXL's code path against diffusers: two text encoders, pooled text, time ids, zeros."""

import numpy as np
import pytest
import torch

from speck import SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

PROMPT = "a large red circle left of a small blue square"
UNWANTED = {
    negative: GenerationRequest(PROMPT, negative_prompt=negative, seed=2, steps=2)
    for negative in (None, "")
}


@pytest.fixture(scope="module")
def checkpoint():
    return open_checkpoint(choose_checkpoint(SPECK_XL, None, 0), SPECK_XL)


@pytest.fixture(scope="module")
def renderer(open_model, checkpoint, tmp_path_factory):
    library = compile_library(SPECK_XL, SPECK_XL.sizes, "f32", Quiet())
    out = tmp_path_factory.mktemp("bundle") / "xl"
    with open_model(build_bundle(checkpoint, library, out, Quiet())) as opened:
        yield opened


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return load_pipeline(checkpoint)


@pytest.mark.parametrize("prompt", ["", PROMPT, "red " * 200])
def test_text_embeddings(renderer, pipeline, prompt):
    with torch.no_grad():
        states, _, pooled, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
    found = renderer.encode_text(prompt)
    assert relative_error(found["text_embeddings"], states.numpy()) < 1e-4
    assert relative_error(found["pooled_text"], pooled.numpy()) < 1e-4


def test_one_unet_step(renderer, pipeline):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, 16, 16, generator=generator)
    text = torch.randn(1, 77, 32, generator=generator)
    pooled = torch.randn(1, 16, generator=generator)
    time_ids = torch.tensor([[512.0, 640.0, 8.0, 16.0, 16.0, 16.0]])
    with torch.no_grad():
        expected = pipeline.unet(
            latents, 700, text, added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids}
        ).sample
    found = renderer.predict_noise(
        {
            "latents": latents.numpy(),
            "timestep": np.array([700]),
            "text_embeddings": text.numpy(),
            "pooled_text": pooled.numpy(),
            "time_ids": time_ids.numpy(),
        }
    )
    assert relative_error(found, expected.numpy()) < 1e-4


def test_vae_decode(renderer, pipeline):
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = pipeline.vae.decode(latents / 0.13025).sample
    assert relative_error(renderer.decode_latents(latents.numpy()), expected.numpy()) < 1e-4


@pytest.mark.parametrize(
    "drawing",
    [
        UNWANTED[None],
        GenerationRequest(PROMPT, negative_prompt="blue, green", seed=2, steps=1),
        UNWANTED[""],
        GenerationRequest(PROMPT, guidance_scale=1.0, seed=4, steps=2, scheduler="euler"),
    ],
    ids=["no-negative", "negative", "empty-negative", "unguided"],
)
def test_whole_pictures(renderer, checkpoint, pipeline, drawing):
    images, latents = draw_reference(checkpoint, pipeline, drawing, Quiet())
    drawn = renderer.draw(drawing)
    assert drawn.images.std() > 5
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40


def test_an_empty_negative_prompt_is_not_the_same_as_none(checkpoint, pipeline):
    """So that whoever draws both as diffusers does tells them apart."""
    without, empty = (
        draw_reference(checkpoint, pipeline, UNWANTED[negative], Quiet())[1]
        for negative in (None, "")
    )
    assert relative_error(without, empty) > 2e-3
