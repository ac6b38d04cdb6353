"""Decoding in tiles: each tile as PyTorch decodes it, and no seam between them."""

import numpy as np
import pytest
import torch

from wsd.accuracy import psnr, relative_error, seam, tile_starts
from wsd.drawing import Drawing

DRAWING = Drawing("a large red circle left of a small blue square", seed=2, steps=8)


@pytest.fixture(scope="module")
def tiling(open_model, bundle):
    with open_model(bundle, tiling=True) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def drawn(renderer):
    return renderer.draw(DRAWING)


def hann(starts, tile):
    """Return the weights of each tile, (tiles, extent), faded as a Hann window is."""
    weights = np.zeros((len(starts), starts[-1] + tile))
    for n, start in enumerate(starts):
        weights[n, start : start + tile] = 1
    for n in range(len(starts) - 1):
        begin, end = starts[n + 1], starts[n] + tile
        fade = np.sin(np.pi / 2 * (np.arange(end - begin) + 0.5) / (end - begin)) ** 2
        weights[n + 1, begin:end] *= fade
        weights[n, begin:end] *= fade[::-1]
    return weights / weights.sum(axis=0)


def test_tiles_are_decoded_and_blended(tiling, pipeline, family, drawn):
    latents = torch.tensor(drawn.latents).view(1, 4, 16, 16)
    tile, factor = family.tile, family.vae_scale_factor
    starts = tile_starts(16, tile // factor)
    assert len(starts) == 2
    weights = hann([factor * start for start in starts], tile)
    expected = np.zeros((3, 128, 128))
    for i, top in enumerate(starts):
        for j, left in enumerate(starts):
            cut = latents[:, :, top : top + tile // factor, left : left + tile // factor]
            with torch.no_grad():
                image = pipeline.vae.decode(cut / pipeline.vae.config.scaling_factor).sample[0]
            rows, columns = (slice(factor * n, factor * n + tile) for n in (top, left))
            weight = weights[i, rows, None] * weights[j, None, columns]
            expected[:, rows, columns] += weight * image.numpy()
    assert relative_error(tiling.decode_latents(drawn.latents), expected) < 1e-4


def test_no_seam(tiling, renderer, family, drawn):
    planes = [
        page.decode_latents(drawn.latents).reshape(3, 128, 128) for page in (tiling, renderer)
    ]
    assert seam(*planes, family.tile, family.vae_scale_factor) < 1
    # Without a fade there is one, and the measure sees it.
    broken = planes[0].copy()
    broken[:, 32:] += 0.02
    assert seam(broken, planes[1], family.tile, family.vae_scale_factor) > 1


def test_a_picture_of_tiles(tiling, drawn):
    again = tiling.draw(DRAWING)
    np.testing.assert_array_equal(again.latents, drawn.latents)
    assert not np.array_equal(again.images, drawn.images)
    assert psnr(again.images, drawn.images) > 30
