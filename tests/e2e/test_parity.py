"""The browser against diffusers: every stage alone, then whole pictures."""

import numpy as np
import pytest
import torch

from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.schedulers import SCHEDULERS
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

PROMPTS = ["a large red circle", "Two small blue squares, left of a star!", "une étoile 你好 👍"]
LONG = "a yellow diamond above a pink heart and " * 25  # 200 words


@pytest.mark.parametrize("prompt", ["", *PROMPTS, LONG])
def test_text_embeddings(renderer, pipeline, prompt):
    ids = pipeline.tokenizer(
        prompt, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        expected = pipeline.text_encoder(ids)[0].numpy()
    found = renderer.encode_text(prompt)["text_embeddings"]
    assert relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("timestep", [999, 500, 1])
def test_one_unet_step(renderer, pipeline, timestep):
    generator = torch.Generator().manual_seed(timestep)
    latents = torch.randn(1, 4, 16, 16, generator=generator)
    text = torch.randn(1, 77, 96, generator=generator)
    with torch.no_grad():
        expected = pipeline.unet(latents, timestep, text).sample.numpy()
    found = renderer.predict_noise(
        {
            "latents": latents.numpy(),
            "timestep": np.array([timestep]),
            "text_embeddings": text.numpy(),
        }
    )
    assert relative_error(found, expected) < 1e-4


def test_vae_decode(renderer, pipeline):
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    assert relative_error(renderer.decode_latents(latents.numpy()), expected.numpy()) < 1e-4


DRAWINGS = [
    GenerationRequest(PROMPTS[0], seed=0, steps=4),
    GenerationRequest(PROMPTS[1], seed=4_000_000_000, steps=2, guidance_scale=7.5),
]
# What does not depend on the model is seen on one of few kernels.
SAMPLING = [
    GenerationRequest(PROMPTS[2], seed=0, steps=2),
    GenerationRequest("", seed=1, steps=1),
    GenerationRequest(LONG, seed=2, steps=1),
    GenerationRequest(PROMPTS[0], negative_prompt="blue, green", seed=3, steps=2),
    GenerationRequest(PROMPTS[0], guidance_scale=1.0, seed=4, steps=2),
    *(GenerationRequest(PROMPTS[1], seed=7, steps=5, scheduler=name) for name in SCHEDULERS),
    GenerationRequest(PROMPTS[0], guidance_scale=7.5, seed=6, steps=20),
    GenerationRequest(PROMPTS[1], seed=8, steps=3, scheduler="ddim", eta=0.8),
    GenerationRequest(PROMPTS[0], seed=9, steps=2, scheduler="euler_a", images=3),
]


def name_of(drawing):
    return f"{drawing.prompt[:12]}-{drawing.seed}-{drawing.steps}-{drawing.scheduler}"


def assert_same_pictures(renderer, pipeline, checkpoint, drawing):
    images, latents = draw_reference(checkpoint, pipeline, drawing, Quiet())
    rendered = renderer.draw(drawing)
    assert rendered.images.shape == images.shape
    assert relative_error(rendered.latents, latents) < 1e-3
    assert min(map(psnr, rendered.images, images)) >= 40
    # A flat picture would agree too easily.
    assert rendered.images.std() > 10


@pytest.mark.parametrize("drawing", DRAWINGS, ids=name_of)
def test_whole_pictures(renderer, pipeline, shipped, drawing):
    assert_same_pictures(renderer, pipeline, shipped, drawing)


@pytest.fixture(scope="module")
def speck_pipeline(speck):
    return load_pipeline(speck[1])


@pytest.mark.parametrize("drawing", SAMPLING, ids=name_of)
def test_every_way_to_sample(speck_renderer, speck, speck_pipeline, drawing):
    assert_same_pictures(speck_renderer, speck_pipeline, speck[1], drawing)


def test_the_prompt_and_the_seed_matter(speck_renderer):
    draw = [
        speck_renderer.draw(GenerationRequest(prompt, seed=seed, steps=1)).latents
        for prompt, seed in [("red", 0), ("blue", 0), ("red", 1)]
    ]
    assert relative_error(draw[0], draw[1]) > 1e-3
    assert relative_error(draw[0], draw[2]) > 1e-1
    again = speck_renderer.draw(GenerationRequest("red", seed=0, steps=1)).latents
    np.testing.assert_array_equal(again, draw[0])
