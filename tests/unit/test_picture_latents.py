"""What the page makes of a given picture's moments and mask, against diffusers and PyTorch."""

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import (
    retrieve_latents,
)
from PIL import Image

SHAPE = (1, 4, 6, 5)
SCALE = 0.18215
# diffusers' StableDiffusionXLImg2ImgPipeline normalises channels where a VAE has both.
MEAN, STD = [-1.2, 0.3, 0.0, 2.5], [5.1, 7.0, 1.0, 0.4]


@pytest.fixture
def moments():
    drawn = torch.randn((1, 2 * SHAPE[1], *SHAPE[2:]), generator=torch.Generator().manual_seed(4))
    # Some of the logarithms of the variances are beyond what diffusers clamps to.
    drawn[:, SHAPE[1] :] *= 20
    return drawn


@pytest.mark.parametrize("sampled", [False, True])
def test_latents_are_shifted_before_they_are_scaled(javascript, moments, sampled):
    """As diffusers' StableDiffusion3Img2ImgPipeline does it."""
    scale, shift = 1.5305, 0.0609
    posterior = DiagonalGaussianDistribution(moments)
    taken = posterior.sample(torch.Generator().manual_seed(5)) if sampled else posterior.mode()
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)).flatten().tolist()
    found = javascript(
        {
            "call": "take_latents",
            "output": "moments",
            "planes": moments.flatten().tolist(),
            "noise": noise if sampled else None,
            "space": {"channels": SHAPE[1], "scaling_factor": scale, "shift_factor": shift},
        }
    )
    expected = (taken - shift) * scale
    np.testing.assert_allclose(found, expected.flatten(), rtol=5e-7, atol=5e-7)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("sampled", [False, True])
def test_latents_are_taken_from_moments(javascript, moments, sampled, normalised):
    posterior = DiagonalGaussianDistribution(moments)
    taken = posterior.sample(torch.Generator().manual_seed(5)) if sampled else posterior.mode()
    if normalised:
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (MEAN, STD))
        expected = (taken - mean) * SCALE / std
    else:
        expected = SCALE * taken
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)).flatten().tolist()
    space = {"channels": SHAPE[1], "scale_factor": 8, "scaling_factor": SCALE, "shift_factor": 0}
    found = javascript(
        {
            "call": "take_latents",
            "output": "moments",
            "planes": moments.flatten().tolist(),
            "noise": noise if sampled else None,
            "space": {**space, "mean": MEAN, "std": STD} if normalised else space,
        }
    )
    # PyTorch's float32 exponential may be a unit in the last place off.
    np.testing.assert_allclose(found, expected.flatten(), rtol=5e-7, atol=5e-7)


@pytest.mark.parametrize("sampled", [False, True])
def test_latents_of_a_tiny_autoencoder_are_taken_as_they_are(javascript, moments, sampled):
    """Whether or not a sample is asked for, no random number changes them."""
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    output = AutoencoderTinyOutput(latents=moments)
    expected = retrieve_latents(output, generator, "sample" if sampled else "argmax") * SCALE
    assert torch.equal(generator.get_state(), before)
    found = javascript(
        {
            "call": "take_latents",
            "output": "latents",
            "planes": moments.flatten().tolist(),
            "noise": [1.0] * moments.numel() if sampled else None,
            "space": {"channels": 2 * SHAPE[1], "scaling_factor": SCALE, "shift_factor": 0},
        }
    )
    np.testing.assert_array_equal(np.float32(found), expected.flatten())


def _draw_mask(width, height):
    return np.random.default_rng(6).integers(0, 256, (height, width), np.uint8)


@pytest.mark.parametrize(("width", "height", "factor"), [(40, 56, 8), (24, 16, 4), (7, 5, 1)])
def test_a_mask_shrinks_to_that_of_the_latents(javascript, width, height, factor):
    mask = _draw_mask(width, height)
    binary = _process_mask(mask)
    expected = torch.nn.functional.interpolate(binary, size=(height // factor, width // factor))
    found = javascript(
        {
            "call": "shrink_mask",
            "mask": mask.flatten().tolist(),
            "size": [width, height],
            "factor": factor,
        }
    )
    np.testing.assert_array_equal(found, expected.flatten())


def test_a_denoiser_that_takes_the_mask_sees_grey_under_it(javascript):
    width, height = 12, 9
    mask = _draw_mask(width, height)
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 4), np.uint8)
    processor = VaeImageProcessor(vae_scale_factor=1)
    image = processor.preprocess(Image.fromarray(pixels[..., :3]))
    expected = image * (_process_mask(mask) < 0.5)
    found = javascript(
        {
            "call": "cover_masked",
            "pixels": pixels.flatten().tolist(),
            "mask": mask.flatten().tolist(),
            "size": [width, height],
        }
    )
    np.testing.assert_array_equal(np.float32(found), expected.flatten())


def _process_mask(mask):
    """Return a mask as diffusers' inpainting pipelines process it, (1, 1, height, width)."""
    processor = VaeImageProcessor(
        vae_scale_factor=1, do_normalize=False, do_binarize=True, do_convert_grayscale=True
    )
    return processor.preprocess(Image.fromarray(mask))
