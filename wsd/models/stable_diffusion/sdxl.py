"""Stable Diffusion XL (Podell et al. 2023) and what shares its architecture."""

from __future__ import annotations

from dataclasses import replace

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Component, Family, TrainedSizes
from wsd.models.stable_diffusion.architecture import (
    STABLE_DIFFUSION_XL,
    STABLE_DIFFUSION_XL_INPAINTING,
)
from wsd.models.stable_diffusion.clip import clip_tokenizer, clip_vit_big_g, clip_vit_l
from wsd.models.stable_diffusion.components import NOISE, unet
from wsd.models.stable_diffusion.sd15 import full_autoencoder


def _unet(in_channels: int) -> Component:
    """Return the UNet of stabilityai/stable-diffusion-xl-base-1.0, unet/config.json."""
    return unet(
        in_channels=in_channels,
        sample_size=128,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
        up_block_types=(*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
        block_out_channels=(320, 640, 1280),
        layers_per_block=2,
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        use_linear_projection=True,
        cross_attention_dim=2048,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        norm_num_groups=32,
    )


FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL and its fine-tunes: 1024x1024 and as many pixels",
    architecture=STABLE_DIFFUSION_XL,
    components=(
        clip_vit_l(),
        clip_vit_big_g(),
        _unet(4),
        full_autoencoder(0.13025),
    ),
    conditioning=Conditioning(
        (
            ConditioningEncoder("text_encoder", hidden_state=-2),
            ConditioningEncoder("text_encoder_2", hidden_state=-2, pooled=True),
        ),
        empty_negative="zeros",
    ),
    scheduler={
        "_class_name": "EulerDiscreteScheduler",
        "timestep_spacing": "leading",
        **NOISE,
    },
    # The second encoder's texts are padded with "!" (id 0).
    tokenizers=(
        clip_tokenizer("tokenizer", "text_encoder"),
        clip_tokenizer("tokenizer_2", "text_encoder_2", pad_token="!"),
    ),
    sizes=((1024, 1024), (896, 1152), (1152, 896), (832, 1216), (1216, 832)),
    tile=512,
    steps=25,
    guidance_scale=5.0,
    # Podell et al. 2023, appendix I: from 512x2048 to 2048x512.
    trained=TrainedSizes((512, 2048), (704 * 1344, 512 * 2048)),
)

# It shares the compiled library of SDXL: only weights, scheduler and defaults differ.
TURBO = replace(
    FAMILY,
    name="sdxl-turbo",
    title="SDXL distilled for 1 to 4 steps (Sauer et al. 2023)",
    scheduler={
        "_class_name": "EulerAncestralDiscreteScheduler",
        "timestep_spacing": "trailing",
        **NOISE,
    },
    sizes=((512, 512),),
    steps=1,
    guidance_scale=0.0,
    trained=TrainedSizes((512, 512)),
)

# As diffusers/stable-diffusion-xl-1.0-inpainting-0.1. The UNet's 9 channels are the latents, a
# mask, and the latents of the picture without what is masked.
INPAINT = replace(
    FAMILY,
    name="sdxl-inpaint",
    title="Stable Diffusion XL for drawing a part of a picture anew",
    architecture=STABLE_DIFFUSION_XL_INPAINTING,
    components=(clip_vit_l(), clip_vit_big_g(), _unet(9), full_autoencoder(0.13025)),
)
