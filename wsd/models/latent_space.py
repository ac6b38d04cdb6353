"""The latent space: what the VAE says about the tensors that the denoiser works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsd.spec.tensor import Size


@dataclass(frozen=True)
class LatentSpace:
    """Shape and scale of latents.

    A VAE's own latents ``z`` and the denoiser's ``x`` are related by
    ``x = (z - shift_factor) * scaling_factor``; decoding inverts it. SDXL's successors normalise
    each channel in addition, ``x = (z - mean) / std * scaling_factor``.

    Attributes:
        channels: of a latent image.
        scale_factor: pixels of the image per latent pixel, each way.
        scaling_factor: factor from the VAE's latents to the denoiser's.
        shift_factor: subtracted from the VAE's latents before scaling.
        mean: of each channel of the VAE's latents, or None.
        std: standard deviation of each channel, or None.
    """

    channels: int
    scale_factor: int
    scaling_factor: float = 1.0
    shift_factor: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def shape(self, size: Size) -> tuple[int, int, int, int]:
        """Return (1, channels, height, width) of the latents of a picture.

        Args:
            size: (width, height) of the picture in pixels.
        """
        width, height = size
        return (1, self.channels, height // self.scale_factor, width // self.scale_factor)


def kl_latent_space(config: Mapping[str, Any]) -> LatentSpace:
    """Return the latent space of diffusers' ``AutoencoderKL``.

    Args:
        config: its configuration. The encoder halves the picture at every block but the last.
    """
    mean, std = (config.get(key) for key in ("latents_mean", "latents_std"))
    return LatentSpace(
        channels=config["latent_channels"],
        scale_factor=2 ** (len(config["block_out_channels"]) - 1),
        scaling_factor=config["scaling_factor"],
        shift_factor=config.get("shift_factor") or 0.0,
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
    )
