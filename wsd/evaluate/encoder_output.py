"""What autoencoders of diffusers give for a picture, as the functions of a bundle give it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput


def encoded_planes(output: Any) -> torch.Tensor:
    """Return the planes of an encoder's output, (n, planes, h, w), neither clamped nor scaled.

    They are told apart as diffusers' ``retrieve_latents`` does.

    Args:
        output: of ``encode`` of an autoencoder.

    Returns:
        the latents, or where they are distributed the moments: means and logarithms of variances.
    """
    planes: torch.Tensor = (
        output.latents if hasattr(output, "latents") else output.latent_dist.parameters
    )
    return planes


def encoder_output(planes: torch.Tensor, channels: int) -> Any:
    """Return the output that has some planes; the inverse of :func:`encoded_planes`.

    Args:
        planes: (n, planes, h, w).
        channels: of the latents. There are as many planes, or moments and twice as many.
    """
    if planes.shape[1] == channels:
        return AutoencoderTinyOutput(latents=planes)
    return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(planes))
