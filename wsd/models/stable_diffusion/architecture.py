"""The architectures of Stable Diffusion 1.x and XL: CLIP encoders, a conditional UNet, a KL VAE.

Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models"; Podell et al.
2023, "SDXL: improving latent diffusion models for high-resolution image synthesis".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from wsd.models.architecture import Architecture, EntryPointModule, ModuleRows, SingleFileKeys
from wsd.models.latent_space import LatentSpace, autoencoder_latent_space
from wsd.spec.roles import DENOISER, GUIDANCE_EMBEDDING, VAE_DECODER
from wsd.spec.tensor import Size, TensorSpec

if TYPE_CHECKING:
    import torch

    from wsd.models.family import Component, Family

# StableDiffusionPipeline.check_inputs refuses a width or height that is no multiple of it.
_PIPELINE_MULTIPLE = 8
# The decoder's last layer starts near zero; without this factor every picture that random
# weights draw is one flat grey.
_RANDOM_CONTRAST = 6.0


def raise_contrast(vae: Any) -> None:
    """Scale up the last layer of the decoder of an autoencoder with random weights."""
    import torch

    # The layers of a tiny autoencoder have no names.
    decoder = vae.decoder
    last = decoder.conv_out if hasattr(decoder, "conv_out") else decoder.layers[-1]
    with torch.no_grad():
        last.weight *= _RANDOM_CONTRAST


def guidance_width(unet: Component) -> int | None:
    """Return the length of the embedded guidance scale that a UNet takes; None if it takes none."""
    width: int | None = unet.config.get("time_cond_proj_dim")
    return width


class StableDiffusion(Architecture):
    """Stable Diffusion 1.x: the UNet is conditioned by cross attention alone.

    Attributes:
        masked: whether the UNet also takes a mask and the latents of what is not masked, to draw a
            part of a picture anew.
    """

    masked: ClassVar[bool] = False
    name = "stable-diffusion"
    diffusers_pipeline = "StableDiffusionPipeline"
    diffusers_image_to_image = "StableDiffusionImg2ImgPipeline"
    diffusers_inpaint = "StableDiffusionInpaintPipeline"
    least_multiple = _PIPELINE_MULTIPLE
    caches_features = True

    def latent_space(self, family: Family) -> LatentSpace:
        """Return the latent space of the family's autoencoder.

        diffusers' StableDiffusionPipeline reads ``scaling_factor`` alone.
        """
        space = autoencoder_latent_space(family.component(VAE_DECODER))
        return space.without_shift().without_channels()

    def size_multiple(self, family: Family) -> int:
        """Return 8, which diffusers' pipelines ask for, or the pixels of a latent pixel if more.

        Latents need not halve evenly at the UNet's levels: diffusers then upsamples to the size of
        the skip connection, and so does WSD (:mod:`wsd.frontend.normalize`).
        """
        return max(_PIPELINE_MULTIPLE, self.latent_space(family).scale_factor)

    def smallest_edge(self, family: Family) -> int:
        """Return the pixels of one latent pixel at the UNet's lowest level.

        The UNet halves the latents at every level but the last.
        """
        levels = len(family.component(DENOISER).config["block_out_channels"])
        edge = int(self.latent_space(family).scale_factor * 2 ** (levels - 1))
        return max(self.size_multiple(family), edge)

    def entry_points(
        self, family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
    ) -> Iterator[EntryPointModule]:
        """Yield a component's functions.

        A text encoder gives a function, because the picture's size does not matter to it, and
        another one for clip skip if it has several layers. The UNet gives two for each size and
        number of chunks of a prompt, with and without guidance; a UNet that takes the guidance
        scale as an input gives one. The decoder gives one for each size and one for a tile, and
        so does the encoder.
        """
        from wsd.models.stable_diffusion.entry_points import make_entry_points

        yield from make_entry_points(self, family, component, model, sizes)

    def cached_features(
        self, denoiser: Any, runs_whole: Callable[[], bool]
    ) -> AbstractContextManager[None]:
        """Let a UNet take its deep features from an earlier prediction."""
        from wsd.models.stable_diffusion.deep_cache import cached_features

        return cached_features(denoiser, runs_whole)

    def max_clip_skip(self, family: Family) -> int:
        """Return how many layers can be left out: at least one of each encoder is run."""
        used = zip(family.text_encoders(), family.conditioning.encoders, strict=True)
        layers = (int(c.config["num_hidden_layers"]) + (use.hidden_state or -1) for c, use in used)
        return max(0, min(layers))

    def safety_checker(self) -> Component:
        """Return the safety checker of Stable Diffusion 1.x, which pictures of SDXL suit too."""
        from wsd.models.stable_diffusion.components import safety_checker

        return safety_checker()

    def spell_adapter_modules(
        self, family: Family, component: Component, modules: Iterable[str]
    ) -> Iterator[tuple[str, ModuleRows]]:
        """Yield the names of kohya's, diffusers', PEFT's and ComfyUI's adapters."""
        from wsd.models.stable_diffusion.adapter_names import spell_modules

        for name, module in spell_modules(family, component, modules):
            yield name, ModuleRows(module)

    def added_inputs(self, family: Family) -> tuple[TensorSpec, ...]:
        """Return the inputs of the UNet that follow latents, timestep and text embeddings."""
        del family
        return ()

    def constant_inputs(
        self, family: Family, size: Size, guidance_scale: float | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Return the embedding of the guidance scale, for a UNet that takes it.

        Meng et al. 2023, "On distillation of guided diffusion models": such a UNet, a published
        latent consistency model for example, predicts with guidance in one pass. diffusers
        embeds the scale minus 1.
        """
        del size
        width = guidance_width(family.component(DENOISER))
        if width is None:
            return {}
        import torch

        scale = family.guidance_scale if guidance_scale is None else guidance_scale
        embed = self.pipeline_class().get_guidance_scale_embedding
        embedding = embed(None, torch.tensor([scale - 1.0]), embedding_dim=width)
        return {GUIDANCE_EMBEDDING: embedding[0].tolist()}

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
        raise_contrast(modules[family.component(VAE_DECODER).id])


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
    diffusers_image_to_image = "StableDiffusionXLImg2ImgPipeline"
    diffusers_inpaint = "StableDiffusionXLInpaintPipeline"

    def latent_space(self, family: Family) -> LatentSpace:
        """Return the latent space of the family's autoencoder.

        diffusers' StableDiffusionXLPipeline ignores ``shift_factor``, and means and deviations of
        channels unless it finds both.
        """
        space = autoencoder_latent_space(family.component(VAE_DECODER)).without_shift()
        return space if space.mean and space.std else space.without_channels()

    def added_inputs(self, family: Family) -> tuple[TensorSpec, ...]:
        """Return the pooled text (1, p) of the last encoder and the time ids (1, 6)."""
        pooled = family.text_encoders()[-1].config["projection_dim"]
        return (TensorSpec("pooled_text", (1, pooled)), TensorSpec("time_ids", (1, TIME_IDS)))

    def constant_inputs(
        self, family: Family, size: Size, guidance_scale: float | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Return the time ids, and what Stable Diffusion 1.x has."""
        return {"time_ids": time_ids(size), **super().constant_inputs(family, size, guidance_scale)}

    def pipeline_options(self, family: Family) -> Mapping[str, Any]:
        """Return what an empty negative prompt stands for."""
        zeros = family.conditioning.empty_negative == "zeros"
        return {"force_zeros_for_empty_prompt": zeros}


class StableDiffusionInpainting(StableDiffusion):
    """Stable Diffusion 1.x with a UNet of 9 channels, which draws a part of a picture anew."""

    name = "stable-diffusion-inpainting"
    pipeline = "inpainting"
    diffusers_pipeline = "StableDiffusionInpaintPipeline"
    diffusers_image_to_image = ""
    masked = True


class StableDiffusionXLInpainting(StableDiffusionXL):
    """Stable Diffusion XL with a UNet of 9 channels."""

    name = "stable-diffusion-xl-inpainting"
    pipeline = "inpainting"
    diffusers_pipeline = "StableDiffusionXLInpaintPipeline"
    diffusers_image_to_image = ""
    masked = True


STABLE_DIFFUSION = StableDiffusion()
STABLE_DIFFUSION_XL = StableDiffusionXL()
STABLE_DIFFUSION_INPAINTING = StableDiffusionInpainting()
STABLE_DIFFUSION_XL_INPAINTING = StableDiffusionXLInpainting()
