"""Decoding in tiles: each tile as PyTorch decodes it, and no seam between them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput

from speck import SPECK
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.evaluate.tiled_decode import decode_tiles, encode_tiles, tile_starts, tile_weights
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

DRAWING = GenerationRequest("a large red circle left of a small blue square", seed=2, steps=1)


@pytest.fixture(scope="module")
def tiling(open_model, speck):
    with open_model(speck[0], tiling=True) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def drawn(speck_renderer):
    return speck_renderer.draw(DRAWING)


def decode_in_tiles(family, pipeline, latents):
    def decode(cut):
        scaled = torch.tensor(cut[None]) / pipeline.vae.config.scaling_factor
        with torch.no_grad():
            return pipeline.vae.decode(scaled).sample[0].numpy()

    factor = family.latent_space.scale_factor
    return decode_tiles(decode, latents.reshape(4, 16, 16), family.tile, factor)


@pytest.mark.exhaustive
def test_tiles_are_decoded_and_blended(tiling, drawn, speck):
    assert len(tile_starts(16, SPECK.tile)) == 2
    expected = decode_in_tiles(SPECK, load_pipeline(speck[1]), drawn.latents)
    assert relative_error(tiling.decode_latents(drawn.latents), expected.image) < 1e-4


@pytest.mark.exhaustive
def test_tiles_of_a_picture_are_encoded_and_blended(tiling, speck):
    vae = load_pipeline(speck[1]).vae

    def encode(tile):
        with torch.no_grad():
            return vae.encode(torch.tensor(tile[None])).latent_dist.parameters[0].numpy()

    image = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    scaled = 2 * (np.moveaxis(image, -1, 0).astype(np.float32) / 255) - 1
    expected = encode_tiles(encode, scaled, SPECK.tile, SPECK.latent_space.scale_factor)
    assert relative_error(tiling.encode_image(image), expected) < 1e-4
    assert relative_error(encode(scaled), expected) > 1e-3


@pytest.mark.full
def test_drawing_begins_with_a_picture_of_tiles(tiling, speck):
    pipeline = load_pipeline(speck[1])
    encode_whole = pipeline.vae.encode
    picture = GivenPicture(np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8), 0.4)
    request = replace(DRAWING, steps=5)

    def encode_as_tiles(image):
        def encode(tile):
            return encode_whole(torch.tensor(tile[None])).latent_dist.parameters[0].numpy()

        factor = SPECK.latent_space.scale_factor
        moments = encode_tiles(encode, image[0].numpy(), SPECK.tile, factor)
        posterior = DiagonalGaussianDistribution(torch.tensor(moments[None], dtype=torch.float32))
        return AutoencoderKLOutput(latent_dist=posterior)

    pipeline.vae.encode = encode_as_tiles
    _, expected = draw_reference(speck[1], pipeline, request, Quiet(), picture=picture)
    pipeline.vae.encode = encode_whole
    _, whole = draw_reference(speck[1], pipeline, request, Quiet(), picture=picture)
    found = tiling.draw(request, picture=picture).latents
    assert relative_error(found, expected) < 1e-3
    assert relative_error(found, whole) > 5 * relative_error(found, expected)


def test_no_seam(family, shipped, pipeline):
    _, latents = draw_reference(shipped, pipeline, DRAWING, Quiet())
    assert 0 < decode_in_tiles(family, pipeline, latents).seam < 1


def test_a_seam_is_seen(monkeypatch):
    # Two halves of different brightness, cut where one tile ends.
    def decode(cut):
        return np.full((3, 96, 96), 0.5 if cut[0, 0, 0] else 0.4)

    latents = np.zeros((4, 12, 16))
    latents[:, :, :4] = 1
    assert decode_tiles(decode, latents, 96, 8).seam < 1

    def cut_off(starts, tile):
        return np.floor(tile_weights(starts, tile) + 0.5)

    monkeypatch.setattr("wsd.evaluate.tiled_decode.tile_weights", cut_off)
    assert decode_tiles(decode, latents, 96, 8).seam == pytest.approx(12.75)


@pytest.mark.full
def test_a_picture_of_tiles(tiling, drawn, speck):
    again = tiling.draw(DRAWING)
    np.testing.assert_array_equal(again.latents, drawn.latents)
    assert not np.array_equal(again.images, drawn.images)
    expected = decode_in_tiles(SPECK, load_pipeline(speck[1]), drawn.latents).image
    shown = np.moveaxis(np.clip(127.5 * expected + 127.5, 0, 255), 0, -1)
    assert psnr(again.images[0], shown) > 40
