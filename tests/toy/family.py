"""The toy family and its architecture: an embedding, a small conv net, a decoder of factor 2.

Nothing here is Stable Diffusion's but the tokenizer, which the page knows: no text encoder of CLIP,
no UNet, no KL autoencoder, three latent channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wsd.models
from wsd.models.architecture import Architecture, EntryPointModule
from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Component, Family, Tokenizer
from wsd.models.latent_space import LatentSpace
from wsd.models.stable_diffusion.clip import CLIP_TOKENIZER
from wsd.spec.roles import (
    DENOISER,
    GUIDED_DENOISER,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_DECODER_TILE,
)
from wsd.spec.tensor import Size, TensorSpec

if TYPE_CHECKING:
    import torch

_TOKENS = 77
_WIDTH = 8


class ToyArchitecture(Architecture):
    """Embedding, convolutions and a decoder; the mean of the embeddings conditions."""

    name = "toy"
    diffusers_pipeline = "ToyPipeline"

    def latent_space(self, family: Family) -> LatentSpace:
        config = family.component(VAE_DECODER).config
        return LatentSpace(channels=config["latent_channels"], scale_factor=2)

    def size_multiple(self, family: Family) -> int:
        return self.latent_space(family).scale_factor

    def entry_points(
        self, family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
    ) -> Iterator[EntryPointModule]:
        from toy.modules import Guided, Plain

        space = family.latent_space
        embeddings = TensorSpec("text_embeddings", (1, _TOKENS, _WIDTH))
        if component.role == TEXT_ENCODER:
            ids = TensorSpec("input_ids", (1, _TOKENS), "int32")
            yield EntryPointModule(
                component.id, TEXT_ENCODER, Plain(model), (ids,), (embeddings,), None
            )
            return
        for size in sizes:
            latents = TensorSpec("latents", space.shape(size))
            suffix = f"{size[0]}x{size[1]}"
            if component.role == DENOISER:
                inputs = (latents, TensorSpec("timestep", (1,)), embeddings)
                output = (replace(latents, name="noise_prediction"),)
                plain = EntryPointModule(
                    f"denoiser_{suffix}", DENOISER, Plain(model), inputs, output, size
                )
                yield plain
                negative = replace(embeddings, name="negative_text_embeddings")
                yield replace(
                    plain,
                    name=f"guided_denoiser_{suffix}",
                    role=GUIDED_DENOISER,
                    module=Guided(model),
                    inputs=(*inputs, negative, TensorSpec("guidance_scale", (1,))),
                )
            else:
                yield self._decoder(family, model, f"vae_decoder_{suffix}", size)
        if component.role == VAE_DECODER:
            tile = self._decoder(family, model, VAE_DECODER_TILE, (family.tile, family.tile))
            yield replace(tile, role=VAE_DECODER_TILE, size=None)

    def _decoder(
        self, family: Family, model: torch.nn.Module, name: str, size: Size
    ) -> EntryPointModule:
        from toy.modules import Plain

        latents = TensorSpec("latents", family.latent_space.shape(size))
        image = TensorSpec("image", (1, 3, size[1], size[0]))
        return EntryPointModule(name, VAE_DECODER, Plain(model), (latents,), (image,), size)

    def pipeline_class(self) -> Any:
        from toy.modules import ToyPipeline

        return ToyPipeline


def _component(
    component_id: str, role: str, class_name: str, config: Mapping[str, Any]
) -> Component:
    return Component(component_id, role, "toy.modules", class_name, config)


FAMILY = Family(
    name="toy",
    title="A family from outside",
    architecture=ToyArchitecture(),
    components=(
        _component(
            "words",
            TEXT_ENCODER,
            "ToyTextEncoder",
            {"vocab_size": 720, "hidden_size": _WIDTH, "max_position_embeddings": _TOKENS},
        ),
        _component("net", DENOISER, "ToyDenoiser", {"latent_channels": 3, "hidden_size": _WIDTH}),
        _component("pixels", VAE_DECODER, "ToyDecoder", {"latent_channels": 3}),
    ),
    conditioning=Conditioning((ConditioningEncoder("words"),)),
    scheduler={
        "_class_name": "DDIMScheduler",
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "steps_offset": 1,
    },
    tokenizers=(
        Tokenizer(
            "tokenizer",
            "words",
            CLIP_TOKENIZER,
            Path(wsd.models.__file__).parent / "tiny" / "tokenizer",
        ),
    ),
    sizes=((16, 16),),
    tile=8,
    steps=2,
    guidance_scale=2.0,
)
