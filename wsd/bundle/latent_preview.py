"""A cheap look at latents: a linear map from a latent pixel to a colour.

Fitted by least squares to the model's own decoder: random latents, smooth as
those of pictures are, are decoded, and each latent pixel is paired with the
mean colour of the patch that it became.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.spec.roles import VAE_DECODER

_SAMPLES = 8
_EDGE = 8  # latent pixels
_SEED = 0


def fit_preview(
    family: Family, names: Iterable[str], tensors: Iterable[torch.Tensor]
) -> dict[str, Any]:
    """Return the manifest's ``preview`` object.

    Args:
        family: whose decoder it is.
        names: state-dict names of the decoder's parameters.
        tensors: the parameters themselves, in the same order.

    Returns:
        ``weights``, three rows (R, G, B) of one factor a latent channel, and
        ``bias``, three numbers: colours run from -1 to 1.
    """
    component = family.component(VAE_DECODER)
    vae: Any = build_module(component)
    state = {name: tensor.float() for name, tensor in zip(names, tensors, strict=True)}
    # The encoder is not part of a bundle and plays no role here.
    vae.load_state_dict(state, strict=False)
    generator = torch.Generator().manual_seed(_SEED)
    channels = component.config["latent_channels"]
    noise = torch.randn(_SAMPLES, channels, _EDGE, _EDGE, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    latents = torch.cat([noise, 3 * smooth])
    with torch.no_grad():
        image = vae.decode(latents / vae.config.scaling_factor).sample.clamp(-1, 1)
    patches = torch.nn.functional.avg_pool2d(image, family.vae_scale_factor)
    x = latents.movedim(1, -1).reshape(-1, channels).double()
    y = patches.movedim(1, -1).reshape(-1, 3).double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    solution = torch.linalg.lstsq(x, y).solution.T
    # Four digits are plenty for a preview, and the same on every machine.
    rounded = [[round(float(value), 4) for value in row] for row in solution]
    return {"weights": [row[:-1] for row in rounded], "bias": [row[-1] for row in rounded]}
