"""Decoding in tiles: each tile as PyTorch decodes it, and no seam between them."""

import numpy as np
import pytest
import torch

from wsd.accuracy import psnr, relative_error
from wsd.drawing import Drawing
from wsd.tiles import decode_tiles, tile_starts, tile_weights

DRAWING = Drawing("a large red circle left of a small blue square", seed=2, steps=1)


@pytest.fixture(scope="module")
def tiling(open_model, bundle):
    with open_model(bundle, tiling=True) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def drawn(renderer):
    return renderer.draw(DRAWING)


@pytest.fixture(scope="module")
def expected(pipeline, family, drawn):
    def decode(cut):
        scaled = torch.tensor(cut[None]) / pipeline.vae.config.scaling_factor
        with torch.no_grad():
            return pipeline.vae.decode(scaled).sample[0].numpy()

    latents = drawn.latents.reshape(4, 16, 16)
    return decode_tiles(decode, latents, family.tile, family.vae_scale_factor)


def test_tiles_are_decoded_and_blended(tiling, drawn, expected):
    assert len(tile_starts(16, 12)) == 2
    assert relative_error(tiling.decode_latents(drawn.latents), expected.image) < 1e-4


def test_no_seam(expected):
    assert 0 < expected.seam < 1


def test_a_seam_is_seen(monkeypatch):
    # Two halves of different brightness, cut where one tile ends.
    def decode(cut):
        return np.full((3, 96, 96), 0.5 if cut[0, 0, 0] else 0.4)

    latents = np.zeros((4, 12, 16))
    latents[:, :, :4] = 1
    assert decode_tiles(decode, latents, 96, 8).seam < 1

    def cut_off(starts, tile):
        return np.floor(tile_weights(starts, tile) + 0.5)

    monkeypatch.setattr("wsd.tiles.tile_weights", cut_off)
    assert decode_tiles(decode, latents, 96, 8).seam == pytest.approx(12.75)


def test_a_picture_of_tiles(tiling, drawn):
    again = tiling.draw(DRAWING)
    np.testing.assert_array_equal(again.latents, drawn.latents)
    assert not np.array_equal(again.images, drawn.images)
    assert psnr(again.images, drawn.images) > 30
