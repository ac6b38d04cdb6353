"""How a picture becomes latents, step by step: random numbers, first level, start, blending.

The same is written here as the page has to compute it, and compared with diffusers' pipelines.
"""

import numpy as np
import pytest
import torch

from speck import SPECK
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.models.schedulers import build_scheduler
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

EDGE = 16
STEPS = 4


@pytest.fixture(scope="module")
def opened():
    checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK)
    return checkpoint, load_pipeline(checkpoint)


def make_picture(strength, *, masked):
    image = np.random.default_rng(0).integers(0, 256, (EDGE, EDGE, 3), np.uint8)
    mask = np.zeros((EDGE, EDGE), np.uint8)
    mask[4:, :8] = 255
    return GivenPicture(image, strength, mask if masked else None)


def level(scheduler, index):
    """Return the factors of clean latents and of noise where an evaluation begins."""
    if not hasattr(scheduler, "sigmas"):
        product = scheduler.alphas_cumprod[scheduler.timesteps[index]]
        return product**0.5, (1 - product) ** 0.5
    sigma = scheduler.sigmas[index]
    if type(scheduler).__name__.startswith("DPMSolverMultistep"):
        signal = 1 / (sigma**2 + 1) ** 0.5
        return signal, sigma * signal
    return 1, sigma


def draw(checkpoint, pipeline, request, picture):
    """Return the final latents of all pictures, as the page computes them."""
    scheduler = build_scheduler(checkpoint.scheduler, request.scheduler)
    scheduler.set_timesteps(request.steps)
    begin = (request.steps - picture.count_steps(request.steps)) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    random = torch.Generator().manual_seed(request.seed)

    # First the numbers of the posterior's sample: one picture's, however many are drawn.
    image = torch.from_numpy(picture.image).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    moments = pipeline.vae.encode(image).latent_dist.parameters
    mean, log_variance = moments.chunk(2, dim=1)
    std = torch.exp(0.5 * log_variance.clamp(-30, 20))
    clean = SPECK.latent_space.scaling_factor * (
        mean + std * torch.randn(mean.shape, generator=random)
    )
    # Then the noise of all pictures at once.
    noise = torch.randn((request.images, *mean.shape[1:]), generator=random)
    mask = None
    if picture.mask is not None:
        # Then those of the picture without what is masked, which only 9-channel UNets read.
        torch.randn(mean.shape, generator=random)
        mask = torch.from_numpy(picture.mask >= 128)[None, None].float()
    signal, share = level(scheduler, begin)
    sample = signal * clean + share * noise
    if mask is not None and picture.strength == 1:
        sample = scheduler.init_noise_sigma * noise

    text = pipeline.encode_prompt(request.prompt, "cpu", 1, True)
    texts = torch.cat([text[1], text[0]])
    takes_generator = "generator" in scheduler.step.__code__.co_varnames
    options = {"generator": random} if takes_generator else {}
    if "eta" in scheduler.step.__code__.co_varnames:
        options["eta"] = request.eta
    timesteps = scheduler.timesteps[begin:]
    for index, timestep in enumerate(timesteps):
        scaled = scheduler.scale_model_input(sample, timestep)
        predicted = []
        for one in scaled:
            both = pipeline.unet(torch.stack([one, one]), timestep, texts).sample
            predicted.append(both[0] + request.guidance_scale * (both[1] - both[0]))
        sample = scheduler.step(torch.stack(predicted), timestep, sample, **options).prev_sample
        if mask is not None:
            last = index == len(timesteps) - 1
            signal, share = (1, 0) if last else level(scheduler, begin + index + 1)
            sample = (1 - mask) * (signal * clean + share * noise) + mask * sample
    return sample


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize(
    "scheduler",
    [
        "euler_a",
        pytest.param("heun", marks=pytest.mark.full),
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("ddim", "dpmpp_2m_sde")),
    ],
)
def test_the_page_has_to_compute_it_so(opened, scheduler, strength, masked):
    checkpoint, pipeline = opened
    request = GenerationRequest(
        "a star", steps=STEPS, seed=2, guidance_scale=3.0, scheduler=scheduler, eta=1.0, images=2
    )
    picture = make_picture(strength, masked=masked)
    _, expected = draw_reference(checkpoint, pipeline, request, Quiet(), picture=picture)
    with torch.no_grad():
        found = draw(checkpoint, pipeline, request, picture)
    assert found.shape == (2, 4, EDGE, EDGE)
    expected = torch.from_numpy(expected).reshape(found.shape)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert (found[0] - found[1]).norm() > 1e-2 * expected.norm()
