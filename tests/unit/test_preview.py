"""The preview's map against the decoder it was fitted to."""

import numpy as np
import pytest
import torch

from wsd.bundle.latent_preview import fit_preview
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.spec.parameter import shapes


@pytest.mark.slow
def test_the_map_follows_the_decoder(family, checkpoint, library, pipeline):
    expected = shapes(library.parameters["vae"])
    component = family.component("vae_decoder")
    tensors = open_checkpoint(checkpoint, family).source.tensors(component, expected)
    fitted = fit_preview(family, expected, tensors)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        image = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    patches = torch.nn.functional.avg_pool2d(image.clamp(-1, 1), 8)[0].flatten(1).numpy()
    colours = np.array(fitted.weights) @ latents[0].flatten(1).numpy()
    colours += np.array(fitted.bias)[:, None]
    # A decoder of random weights is far from linear; half of its variance is.
    assert np.corrcoef(patches.ravel(), colours.ravel())[0, 1] > 0.65
