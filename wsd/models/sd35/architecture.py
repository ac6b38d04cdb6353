"""The architecture of Stable Diffusion 3.5: two CLIP encoders and T5, MMDiT-X, a KL VAE.

Esser et al. 2024, "Scaling rectified flow transformers for high-resolution image synthesis".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from wsd.models.architecture import Architecture, EntryPointModule, ModuleRows, SingleFileKeys
from wsd.models.latent_space import LatentSpace, autoencoder_latent_space
from wsd.models.stable_diffusion.architecture import raise_contrast
from wsd.spec.roles import BLOCK_SCALES, DENOISER, VAE_DECODER
from wsd.spec.tensor import Size

if TYPE_CHECKING:
    import torch

    from wsd.models.family import Component, Family

# Edge in pixels of what is one token: StableDiffusion3Pipeline refuses edges that are no multiple.
_LEAST_MULTIPLE = 16


# The text encoder that can be left out, and its tokenizer.
_T5, _T5_TOKENIZER = "text_encoder_3", "tokenizer_3"


class StableDiffusion35(Architecture):
    """Stable Diffusion 3.5: a transformer reads the tokens of text and picture together."""

    name = "stable-diffusion-3.5"
    diffusers_pipeline = "StableDiffusion3Pipeline"
    diffusers_image_to_image = "StableDiffusion3Img2ImgPipeline"
    diffusers_inpaint = "StableDiffusion3InpaintPipeline"
    encoder_files: ClassVar[Mapping[str, str]] = {
        "text_encoder": "clip_l",
        "text_encoder_2": "clip_g",
        _T5: "t5xxl",
    }
    least_multiple = _LEAST_MULTIPLE

    def latent_space(self, family: Family) -> LatentSpace:
        """Return the latent space of the family's autoencoder, in the transformer's patches.

        diffusers' pipeline reads scale and shift alone.
        """
        space = autoencoder_latent_space(family.component(VAE_DECODER)).without_channels()
        return replace(space, patch_size=family.component(DENOISER).config["patch_size"])

    def size_multiple(self, family: Family) -> int:
        """Return the edge of what is one token in pixels, as diffusers' pipeline asks for."""
        space = self.latent_space(family)
        return space.scale_factor * space.patch_size

    def entry_points(
        self, family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
    ) -> Iterator[EntryPointModule]:
        """Yield a component's functions.

        A text encoder gives one function. The transformer gives two for each size, with and without
        guidance. The decoder gives one for each size and one for a tile, and so does the encoder.
        """
        from wsd.models.sd35.entry_points import make_entry_points

        yield from make_entry_points(family, component, model, sizes)

    def constant_inputs(
        self, family: Family, size: Size, guidance_scale: float | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Return the scales of the transformer's blocks, none of which is left out."""
        del size, guidance_scale
        return {BLOCK_SCALES: [1.0] * family.component(DENOISER).config["num_layers"]}

    def safety_checker(self) -> Component:
        """Return the safety checker of Stable Diffusion 1.x, which looks at any picture."""
        from wsd.models.stable_diffusion.components import safety_checker

        return safety_checker()

    def single_file_keys(self, family: Family, component: Component) -> SingleFileKeys:
        """Return where Stability AI's single files keep a component."""
        from wsd.models.sd35.single_file import keys_of

        return keys_of(family, component)

    def spell_adapter_modules(
        self, family: Family, component: Component, modules: Iterable[str]
    ) -> Iterator[tuple[str, ModuleRows]]:
        """Yield the names of diffusers', PEFT's, kohya's, ComfyUI's and OneTrainer's adapters."""
        from wsd.models.sd35.adapter_names import spell_modules

        yield from spell_modules(family, component, modules)

    def pipeline_options(self, family: Family) -> Mapping[str, Any]:
        """Return None for the text encoder that is left out, and for its tokenizer."""
        has_t5 = any(component.id == _T5 for component in family.components)
        return {} if has_t5 else {_T5: None, _T5_TOKENIZER: None}

    def call_options(self, family: Family) -> Mapping[str, Any]:
        """Return the number of tokens that T5 reads, or has zeros for."""
        return {"max_sequence_length": family.conditioning.room}

    def adjust_random_weights(self, family: Family, modules: Mapping[str, torch.nn.Module]) -> None:
        """Scale the decoder's last layer up, so that pictures have contrast."""
        raise_contrast(modules[family.component(VAE_DECODER).id])


STABLE_DIFFUSION_35 = StableDiffusion35()
