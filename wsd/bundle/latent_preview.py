"""Fit the preview of latents: a linear map from a latent pixel to a colour.

The map is fitted by least squares to the model's own decoder. Random latents, some of them smoothed
as the latents of pictures are, are decoded; each latent pixel is paired with the mean colour of the
patch of the image that it became.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from wsd.frontend.entry_points import make_entry_point
from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.spec.manifest import LatentPreview
from wsd.spec.roles import VAE_DECODER

_SAMPLES = 8
_EDGE = 8  # latent pixels
_SEED = 0
# Enough for a preview, and few enough that every machine computes the same digits.
_DECIMALS = 4


def fit_preview(
    family: Family, names: Iterable[str], tensors: Iterable[torch.Tensor]
) -> LatentPreview:
    """Return the manifest's ``preview``.

    Args:
        family: the family whose decoder it is.
        names: state-dict names of the decoder's parameters.
        tensors: the parameters themselves in the same order, of any float dtype.
    """
    space, component = family.latent_space, family.component(VAE_DECODER)
    vae = build_module(component)
    state = {name: tensor.float() for name, tensor in zip(names, tensors, strict=True)}
    # Not strict: a bundle has no encoder, and decoding does not need one.
    vae.load_state_dict(state, strict=False)
    generator = torch.Generator().manual_seed(_SEED)
    noise = torch.randn(_SAMPLES, space.channels, _EDGE, _EDGE, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    latents = torch.cat([noise, 3 * smooth])
    decoder = make_entry_point(family, component, vae, family.sizes[0]).module
    with torch.no_grad():
        image = decoder(latents).clamp(-1, 1)
    patches = torch.nn.functional.avg_pool2d(image, space.scale_factor)
    x = latents.movedim(1, -1).reshape(-1, space.channels).double()
    y = patches.movedim(1, -1).reshape(-1, 3).double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    solution = torch.linalg.lstsq(x, y).solution.T
    red, green, blue = (tuple(round(float(value), _DECIMALS) for value in row) for row in solution)
    return LatentPreview(
        weights=(red[:-1], green[:-1], blue[:-1]), bias=(red[-1], green[-1], blue[-1])
    )
