"""The latent space: what the VAE says about the tensors that the denoiser works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wsd.spec.tensor import Size

if TYPE_CHECKING:
    import torch

    from wsd.models.family import Component


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
        patch_size: edge in latent pixels of what is one token of a transformer that denoises.
    """

    channels: int
    scale_factor: int
    scaling_factor: float = 1.0
    shift_factor: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    patch_size: int = 1

    def tokens(self, size: Size) -> int:
        """Return how many tokens the denoiser makes of a picture.

        Args:
            size: (width, height) of the picture in pixels.
        """
        width, height = (edge // self.scale_factor // self.patch_size for edge in size)
        return width * height

    def shape(self, size: Size) -> tuple[int, int, int, int]:
        """Return (1, channels, height, width) of the latents of a picture.

        Args:
            size: (width, height) of the picture in pixels.
        """
        width, height = size
        return (1, self.channels, height // self.scale_factor, width // self.scale_factor)

    def unscale(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the VAE's latents of the denoiser's, both (n, channels, h, w), as diffusers does.

        diffusers multiplies by the deviations before it divides by the factor, and it divides:
        multiplying by the inverse would round differently.
        """
        import torch

        if self.mean is None or self.std is None:
            scaled = latents / self.scaling_factor
            return scaled + self.shift_factor if self.shift_factor else scaled
        # One channel at a time, so that numbers are all that a compiled graph holds.
        return torch.cat(
            [
                latents[:, channel : channel + 1] * std / self.scaling_factor + mean
                for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True))
            ],
            dim=1,
        )

    def without_shift(self) -> LatentSpace:
        """Return the space of a pipeline that ignores ``shift_factor``."""
        return replace(self, shift_factor=0.0)

    def without_channels(self) -> LatentSpace:
        """Return the space of a pipeline that ignores means and deviations of channels."""
        return replace(self, mean=None, std=None)


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


def tiny_latent_space(config: Mapping[str, Any]) -> LatentSpace:
    """Return the latent space of diffusers' ``AutoencoderTiny``.

    Such an autoencoder takes the denoiser's latents as they are: the factor that it was published
    with is 1, whatever the factor of the autoencoder is that it was distilled from.

    Args:
        config: its configuration. The decoder enlarges the picture behind every block but the last.
    """
    levels = len(config["decoder_block_out_channels"])
    return LatentSpace(
        channels=config["latent_channels"],
        scale_factor=config["upsampling_scaling_factor"] ** (levels - 1),
        scaling_factor=config["scaling_factor"],
        shift_factor=config["shift_factor"],
    )


# Class of an autoencoder → its latent space by its configuration.
_LATENT_SPACES: Mapping[str, Callable[[Mapping[str, Any]], LatentSpace]] = {
    "AutoencoderKL": kl_latent_space,
    "AutoencoderTiny": tiny_latent_space,
}


def autoencoder_latent_space(component: Component) -> LatentSpace:
    """Return the latent space of an autoencoder of any class that is compiled."""
    return _LATENT_SPACES[component.class_name](component.config)
