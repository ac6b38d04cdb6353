"""The architectures of Stable Diffusion 1.x and XL: CLIP encoders, a conditional UNet, a KL VAE.

Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models"; Podell et al.
2023, "SDXL: improving latent diffusion models for high-resolution image synthesis".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wsd.models.architecture import Architecture, EntryPointModule, SingleFileKeys
from wsd.models.latent_space import LatentSpace, kl_latent_space
from wsd.spec.roles import DENOISER, TEXT_ENCODER, VAE_DECODER
from wsd.spec.tensor import Size, TensorSpec

if TYPE_CHECKING:
    import torch

    from wsd.models.family import Component, Family

# The decoder's last layer starts near zero; without this factor every picture that random
# weights draw is one flat grey.
_RANDOM_CONTRAST = 6.0


class StableDiffusion(Architecture):
    """Stable Diffusion 1.x: the UNet is conditioned by cross attention alone."""

    name = "stable-diffusion"
    diffusers_pipeline = "StableDiffusionPipeline"

    def latent_space(self, family: Family) -> LatentSpace:
        """Return the latent space of the family's KL autoencoder."""
        return kl_latent_space(family.component(VAE_DECODER).config)

    def size_multiple(self, family: Family) -> int:
        """Return the pixels of one latent pixel at the UNet's lowest level.

        The UNet halves the latents at every level but the last. diffusers also draws sizes
        whose halves are uneven, by resizing to the skip connection; TVM's importer rounds that
        resize differently, so such sizes are refused.
        """
        levels = len(family.component(DENOISER).config["block_out_channels"])
        return int(self.latent_space(family).scale_factor * 2 ** (levels - 1))

    def entry_points(
        self, family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
    ) -> Iterator[EntryPointModule]:
        """Yield a component's functions.

        A text encoder gives one function, because the picture's size does not matter to it. The
        UNet gives two for each size, with and without guidance. The decoder gives one for each
        size and one for a tile.
        """
        from wsd.models.stable_diffusion.entry_points import make_entry_points

        yield from make_entry_points(self, family, component, model, sizes)

    def added_inputs(self, family: Family) -> tuple[TensorSpec, ...]:
        """Return the inputs of the UNet that follow latents, timestep and text embeddings."""
        del family
        return ()

    def file_names(self, component: Component, parameter: str) -> tuple[str, ...]:
        """Return a parameter's names: transformers 5 dropped one level from CLIP's module."""
        if component.role == TEXT_ENCODER:
            return (parameter, f"text_model.{parameter}")
        return (parameter,)

    def single_file_keys(self, family: Family, component: Component) -> SingleFileKeys:
        """Return where CompVis' and Stability AI's single files keep a component."""
        from wsd.models.stable_diffusion.single_file import keys_of

        return keys_of(family, component)

    def pipeline_options(self, family: Family) -> Mapping[str, Any]:
        """Return options that leave the safety checker out."""
        del family
        return {
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }

    def adjust_random_weights(self, family: Family, modules: Mapping[str, torch.nn.Module]) -> None:
        """Scale the decoder's last layer up, so that pictures have contrast."""
        import torch

        vae: Any = modules[family.component(VAE_DECODER).id]
        with torch.no_grad():
            vae.decoder.conv_out.weight *= _RANDOM_CONTRAST


# Original height and width, top and left of the crop, target height and width.
TIME_IDS = 6


def time_ids(size: Size) -> list[float]:
    """Return SDXL's size conditioning of a picture that is not cropped: ``TIME_IDS`` numbers.

    Podell et al. 2023, section 2.2.

    Args:
        size: (width, height) of the picture in pixels.
    """
    width, height = size
    return [height, width, 0, 0, height, width]


class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL: two text encoders, pooled text and the picture's sizes."""

    name = "stable-diffusion-xl"
    diffusers_pipeline = "StableDiffusionXLPipeline"

    def added_inputs(self, family: Family) -> tuple[TensorSpec, ...]:
        """Return the pooled text (1, p) of the last encoder and the time ids (1, 6)."""
        pooled = family.text_encoders()[-1].config["projection_dim"]
        return (TensorSpec("pooled_text", (1, pooled)), TensorSpec("time_ids", (1, TIME_IDS)))

    def constant_inputs(self, size: Size) -> Mapping[str, Sequence[float]]:
        """Return the time ids."""
        return {"time_ids": time_ids(size)}

    def pipeline_options(self, family: Family) -> Mapping[str, Any]:
        """Return what an empty negative prompt stands for."""
        zeros = family.conditioning.empty_negative == "zeros"
        return {"force_zeros_for_empty_prompt": zeros}


STABLE_DIFFUSION = StableDiffusion()
STABLE_DIFFUSION_XL = StableDiffusionXL()
