"""Train the tiny models' KL autoencoder (Kingma and Welling 2014; Rombach et al. 2022)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn import functional

from training.dataset import Captioned, batches
from training.trainer import Plan, fit
from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.util.progress import Progress

_KL_WEIGHT = 1e-6
_EDGE_WEIGHT = 0.5
_STATISTICS_SCENES = 4096


def train_autoencoder(
    family: Family, data: Captioned, plan: Plan, seed: int, device: str, progress: Progress
) -> Any:
    """Train the family's autoencoder and normalise its latents.

    Returns:
        the ``AutoencoderKL``, float32, in evaluation mode: on training
        pictures each latent channel has mean 0 and, times ``scaling_factor``,
        standard deviation 1.
    """
    edge = family.sizes[0][0]
    torch.manual_seed(seed)
    vae: Any = build_module(family.component("vae_decoder")).to(device).train()
    vae = vae.to(memory_format=torch.channels_last)
    rows = batches(len(data), plan.batch, torch.Generator().manual_seed(seed))
    inputs = ({"pictures": data.pictures(chosen, edge, device)} for chosen in rows)
    trained = fit(vae, partial(_loss, vae), inputs, plan, "autoencoder", device, progress)
    _normalise_latents(trained, data, edge, device)
    return trained


def _loss(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    with torch.autocast(pictures.device.type, torch.bfloat16, cache_enabled=False):
        posterior = vae.encode(pictures.contiguous(memory_format=torch.channels_last)).latent_dist
        drawn = vae.decode(posterior.sample()).sample
    drawn = drawn.float()
    reconstruction = functional.l1_loss(drawn, pictures)
    # An L1 loss on differences of neighbouring pixels gives outlines, which are few pixels, more
    # weight.
    outlines = sum(
        functional.l1_loss(drawn.diff(dim=axis), pictures.diff(dim=axis)) for axis in (2, 3)
    )
    kl = posterior.kl().mean() / pictures[0].numel()
    total: torch.Tensor = reconstruction + _EDGE_WEIGHT * outlines + _KL_WEIGHT * kl
    return total


@torch.no_grad()
def encode(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    """Return the means of the scaled latents, (n, 4, edge / 8, edge / 8)."""
    # Many CPUs have no bfloat16, and emulate it slowly.
    kind = pictures.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu"):
        mean = vae.encode(pictures).latent_dist.mean
    scaled: torch.Tensor = mean.float() * vae.config.scaling_factor
    return scaled


@torch.no_grad()
def _normalise_latents(vae: Any, data: Captioned, edge: int, device: str) -> None:
    """Fold a shift and a scale for each channel into the 1x1 convolutions around the latents.

    So the configuration keeps the scaling factor that it was published with.
    """
    rows = torch.split(torch.arange(min(len(data), _STATISTICS_SCENES)), 128)
    latents = torch.cat([encode(vae, data.pictures(part, edge, device)) for part in rows])
    mean = latents.mean((0, 2, 3)) / vae.config.scaling_factor
    scale = 1 / latents.std((0, 2, 3))
    inward, outward = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    inward.weight[:channels] *= scale[:, None, None, None]
    inward.bias[:channels] = (inward.bias[:channels] - mean) * scale
    inward.bias[channels:] += 2 * scale.log()  # log variances
    outward.bias += (outward.weight[:, :, 0, 0] * mean).sum(1)
    outward.weight /= scale[None, :, None, None]
