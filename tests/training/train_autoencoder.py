"""Train the tiny models' KL autoencoder (Kingma and Welling 2014; Rombach et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from training.dataset import Captioned, batches
from training.trainer import Inputs, Plan, fit
from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.util.progress import Progress

_KL_WEIGHT = 1e-6
_EDGE_WEIGHT = 0.5
_STATISTICS_SCENES = 4096
# Deviation of noise that is added to latents of so many channels, as a part of their own. Four
# channels are hardly enough for these pictures. Of sixteen, most could hold what a small model
# cannot predict; with the noise each of them holds what others hold too.
_NOISE = {16: 0.15}
# The decoder alone is trained for one step of this many of the whole.
_SETTLING = 8


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
    if trained.post_quant_conv is None:
        trained = _settle_decoder(trained, inputs, plan, device, progress)
    return trained


def _settle_decoder(
    vae: Any, inputs: Iterator[Inputs], plan: Plan, device: str, progress: Progress
) -> Any:
    """Train the decoder alone, whose first convolution pads normalised latents with other zeros.

    Without a 1x1 convolution before it, the shift of its input is right everywhere but at the
    picture's border.
    """
    vae = vae.train().requires_grad_(True)
    vae.encoder.requires_grad_(False)
    steps, rate = max(1, plan.steps // _SETTLING), plan.learning_rate / 4
    short = replace(plan, steps=steps, learning_rate=rate)
    return fit(vae, partial(_loss, vae), inputs, short, "decoder", device, progress)


def _loss(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    with torch.autocast(pictures.device.type, torch.bfloat16, cache_enabled=False):
        posterior = vae.encode(pictures.contiguous(memory_format=torch.channels_last)).latent_dist
        latents = posterior.sample()
        if vae.config.latent_channels in _NOISE:
            size = _NOISE[vae.config.latent_channels] * latents.detach().std(
                (0, 2, 3), keepdim=True
            )
            latents = latents + size * torch.randn_like(latents)
        drawn = vae.decode(latents).sample
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
    """Return the means of the shifted and scaled latents, (n, channels, edge / 8, edge / 8)."""
    # Many CPUs have no bfloat16, and emulate it slowly.
    kind = pictures.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu"):
        mean = vae.encode(pictures).latent_dist.mean
    scaled: torch.Tensor = (mean.float() - _shift(vae)) * vae.config.scaling_factor
    return scaled


def _shift(vae: Any) -> float:
    return vae.config.shift_factor or 0.0


@torch.no_grad()
def _normalise_latents(vae: Any, data: Captioned, edge: int, device: str) -> None:
    """Fold a shift and a scale for each channel into the convolutions around the latents.

    So the configuration keeps the factors that it was published with. The convolutions are 1x1,
    or where the autoencoder has none, the encoder's last and the decoder's first one.
    """
    rows = torch.split(torch.arange(min(len(data), _STATISTICS_SCENES)), 128)
    latents = torch.cat([encode(vae, data.pictures(part, edge, device)) for part in rows])
    shift = _shift(vae)
    mean = latents.mean((0, 2, 3)) / vae.config.scaling_factor + shift
    scale = 1 / latents.std((0, 2, 3))
    inward = vae.quant_conv or vae.encoder.conv_out
    outward = vae.post_quant_conv or vae.decoder.conv_in
    channels = len(mean)
    inward.weight[:channels] *= scale[:, None, None, None]
    inward.bias[:channels] = (inward.bias[:channels] - mean) * scale + shift
    inward.bias[channels:] += 2 * scale.log()  # log variances
    before = mean - shift / scale
    outward.bias += (outward.weight.sum((2, 3)) * before).sum(1)
    outward.weight /= scale[None, :, None, None]
