"""Whole pictures of tiny-sd15 along the browser's coefficients, against diffusers' pipeline."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scheduling import follow
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import find_family
from wsd.models.schedulers import describe_noise_schedule, describe_scheduler
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.progress import Quiet

PROMPT = "a large red circle"
GUIDANCE = 7.0


@pytest.fixture(scope="module")
def tiny():
    """Return tiny-sd15's checkpoint, and diffusers' pipeline of it."""
    family = find_family("tiny-sd15")
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    return checkpoint, load_pipeline(checkpoint)


def guided_denoiser(pipeline):
    """Return the denoiser of a prompt with guidance, from float64 to float64 latents."""
    with torch.no_grad():
        text, nothing = pipeline.encode_prompt(
            PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
        )[:2]

    def denoise(latents, timestep):
        both = torch.from_numpy(latents).float().repeat(2, 1, 1, 1)
        with torch.no_grad():
            texts = torch.cat([nothing, text])
            without, wanted = pipeline.unet(both, torch.tensor(timestep), texts).sample.chunk(2)
        return (without + GUIDANCE * (wanted - without)).double().numpy()

    return denoise


@pytest.mark.slow
def test_a_reference_draws_with_the_default_scheduler_unless_one_is_named(tiny):
    checkpoint, pipeline = tiny
    other = replace(checkpoint, default_scheduler="dpm_2m")

    def draw(chosen, name):
        wanted = GenerationRequest(PROMPT, steps=3, scheduler=name, guidance_scale=1.0)
        return draw_reference(chosen, pipeline, wanted, Quiet())[1]

    default = draw(other, None)
    np.testing.assert_array_equal(default, draw(checkpoint, "dpm_2m"))
    np.testing.assert_array_equal(draw(other, "unipc"), draw(checkpoint, "unipc"))
    assert not np.array_equal(default, draw(checkpoint, None))


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param("heun", 9, marks=pytest.mark.full),
        ("lms", 2**64 - 1),
        pytest.param("dpmpp_sde_karras", -3, marks=pytest.mark.exhaustive),
        *(pytest.param(n, 5, marks=pytest.mark.exhaustive) for n in ("ddpm", "tcd", "dpmpp_sde")),
    ],
)
def test_a_picture_equals_diffusers(javascript, tiny, name, seed):
    checkpoint, pipeline = tiny
    steps, eta = 3, 0.3
    wanted = GenerationRequest(
        PROMPT, seed=seed, steps=steps, scheduler=name, guidance_scale=GUIDANCE, eta=eta
    )
    (expected,), latents = draw_reference(checkpoint, pipeline, wanted, Quiet())
    noise = describe_noise_schedule(checkpoint.scheduler)
    config = describe_scheduler(checkpoint.scheduler, name, noise.alphas_cumprod)
    width, height = checkpoint.family.sizes[0]
    factor = pipeline.vae_scale_factor
    shape = (1, pipeline.unet.config.in_channels, height // factor, width // factor)
    denoise = guided_denoiser(pipeline)
    _, found = follow(javascript, noise, config, steps, eta, shape, denoise=denoise, seed=seed)
    assert relative_error(found.ravel(), latents) < LATENTS_TOLERANCE
    with torch.no_grad():
        scaled = torch.from_numpy(found).float() / pipeline.vae.config.scaling_factor
        (drawn,) = pipeline.image_processor.postprocess(pipeline.vae.decode(scaled).sample, "np")
    assert psnr((drawn * 255).round().astype(np.uint8), expected) > PICTURE_PSNR
    assert expected.std() > 5
