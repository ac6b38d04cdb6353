"""SDXL's code path against diffusers: two text encoders, pooled text, time ids, zeros."""

import numpy as np
import pytest
import torch

from wsd.accuracy import psnr, relative_error
from wsd.checkpoint import Checkpoint, choose_checkpoint
from wsd.drawing import Drawing
from wsd.progress import Quiet
from wsd.reference import draw_reference, load_pipeline
from wsd.zoo import find_family

FAMILY = find_family("tiny-sdxl")
PROMPT = "a large red circle left of a small blue square"
UNWANTED = {
    negative: Drawing(PROMPT, negative_prompt=negative, seed=2, steps=2) for negative in (None, "")
}


@pytest.fixture(scope="module")
def xl_pipeline():
    return load_pipeline(Checkpoint(choose_checkpoint(FAMILY, None, None), FAMILY))


@pytest.mark.parametrize("prompt", ["", PROMPT, "red " * 200])
def test_text_embeddings(xl_renderer, xl_pipeline, prompt):
    with torch.no_grad():
        states, _, pooled, _ = xl_pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
    found = xl_renderer.encode_text(prompt)
    assert relative_error(found["text_embeddings"], states.numpy()) < 1e-4
    assert relative_error(found["pooled_text"], pooled.numpy()) < 1e-4


def test_one_unet_step(xl_renderer, xl_pipeline):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, 24, 24, generator=generator)
    text = torch.randn(1, 77, 192, generator=generator)
    pooled = torch.randn(1, 96, generator=generator)
    time_ids = torch.tensor([[512.0, 640.0, 8.0, 16.0, 192.0, 192.0]])
    with torch.no_grad():
        expected = xl_pipeline.unet(
            latents, 700, text, added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids}
        ).sample
    found = xl_renderer.predict_noise(
        {
            "latents": latents.numpy(),
            "timestep": np.array([700]),
            "text_embeddings": text.numpy(),
            "pooled_text": pooled.numpy(),
            "time_ids": time_ids.numpy(),
        }
    )
    assert relative_error(found, expected.numpy()) < 1e-4


def test_vae_decode(xl_renderer, xl_pipeline):
    latents = torch.randn(1, 4, 24, 24, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = xl_pipeline.vae.decode(latents / 0.13025).sample
    assert relative_error(xl_renderer.decode_latents(latents.numpy()), expected.numpy()) < 1e-4


@pytest.mark.parametrize(
    "drawing",
    [
        UNWANTED[None],
        Drawing(PROMPT, negative_prompt="blue, green", seed=2, steps=1),
        UNWANTED[""],
        Drawing(PROMPT, guidance_scale=1.0, seed=4, steps=2, scheduler="euler"),
    ],
    ids=["no-negative", "negative", "empty-negative", "unguided"],
)
def test_whole_pictures(xl_renderer, xl_pipeline, drawing):
    images, latents = draw_reference(FAMILY, xl_pipeline, drawing, Quiet())
    drawn = xl_renderer.draw(drawing)
    assert drawn.images.std() > 5
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40


def test_an_empty_negative_prompt_is_not_the_same_as_none(xl_pipeline):
    """So that whoever draws both as diffusers does tells them apart."""
    without, empty = (
        draw_reference(FAMILY, xl_pipeline, UNWANTED[negative], Quiet())[1]
        for negative in (None, "")
    )
    assert relative_error(without, empty) > 2e-3
