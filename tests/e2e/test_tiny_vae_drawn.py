"""A tiny autoencoder as a bundle's decoder and encoder, in the browser against diffusers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from paged import assert_drawn, open_in_page
from speck import TINY_VAE
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.evaluate.parity import compare
from wsd.models.registry import find_family
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

PROMPT = "a large red circle left of a small blue square"
TRAINED = Path(__file__).parents[1] / "fixtures" / "taesd-tiny-sd15"
DRAWING = GenerationRequest(PROMPT, seed=2, steps=4, scheduler="euler_a")


@pytest.fixture(scope="module")
def model(open_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-vae")
    with open_in_page(TINY_VAE, "f32", PROMPT, folder, open_model) as found:
        yield found


def make_picture(edge, strength=0.6, *, masked=False):
    draw = np.random.default_rng(3)
    slope = np.linspace(40, 215, edge)[None, :, None] + np.zeros((edge, 1, 3))
    image = (slope + draw.integers(-40, 41, (edge, edge, 3))).astype(np.uint8)
    mask = draw.integers(0, 256, (edge, edge), np.uint8)
    return GivenPicture(image, strength, mask if masked else None)


@pytest.mark.exhaustive
def test_its_stages(model):
    (latents,) = model.inputs("vae_decoder", 1).values()
    with torch.no_grad():
        expected = model.pipeline.vae.decode(latents / 1.0).sample
        image = make_picture(32).image
        given = 2 * torch.tensor(image / 255).float().permute(2, 0, 1)[None] - 1
        encoded = model.pipeline.vae.encode(given).latents
    assert relative_error(model.renderer.decode_latents(latents.numpy()), expected.numpy()) < 1e-4
    assert relative_error(model.renderer.encode_image(image), encoded.numpy()) < 1e-4


@pytest.mark.exhaustive
@pytest.mark.parametrize("given", ["text", "picture", "mask"])
def test_pictures_are_drawn_as_diffusers_draws(model, given):
    """From a picture no random numbers are drawn for a posterior, which there is none of."""
    picture = None if given == "text" else make_picture(32, masked=given == "mask")
    assert_drawn(model, DRAWING, picture)


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["f16", "w8a16"])
def test_its_stored_weights_are_those_of_the_reference(dtype, open_model, tmp_path):
    with open_in_page(TINY_VAE, dtype, PROMPT, tmp_path, open_model) as found:
        assert_drawn(found, DRAWING)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Build tiny-sd15 with the tiny autoencoder that was distilled from its VAE."""
    family = find_family("tiny-sd15")
    checkpoint = open_checkpoint(family.weights, family, vae=TRAINED)
    library = compile_library(checkpoint.family, family.sizes, "f32", Quiet())
    out = tmp_path_factory.mktemp("trained") / "bundle"
    return build_bundle(checkpoint, library, out, Quiet()), checkpoint


@pytest.mark.exhaustive
@pytest.mark.parametrize("given", ["text", "picture"])
def test_parity_of_a_trained_one(trained, open_host, given):
    """Every stage, whole and in tiles, and the memory that is planned."""
    bundle, checkpoint = trained
    picture = make_picture(128) if given == "picture" else None
    found = compare(bundle, checkpoint, DRAWING, open_host, Quiet(), picture=picture)
    assert [each for each in found.findings if not each.good] == []
    whats = {each.what for each in found.findings}
    assert "VAE decode" in whats
    assert any("tiles: encoded" in what for what in whats) == (given == "picture")


@pytest.mark.full
@pytest.mark.slow
def test_a_trained_one_draws_nearly_the_vaes_pictures(family, shipped, pipeline):
    """By diffusers alone; docs/checkpoints.md has the figure."""
    checkpoint = open_checkpoint(family.weights, family, vae=TRAINED)
    request = GenerationRequest(PROMPT, seed=2)
    images, latents = draw_reference(shipped, pipeline, request, Quiet())
    other = load_pipeline(checkpoint)
    tiny, same = draw_reference(checkpoint, other, request, Quiet())
    # The denoiser does not see its decoder.
    np.testing.assert_array_equal(same, latents)
    # It has 26.6 dB; a picture of one colour would have 12.3.
    assert psnr(tiny[0], images[0]) > 22
