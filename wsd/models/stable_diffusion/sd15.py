"""Stable Diffusion 1.5 (Rombach et al. 2022) and the models distilled from it."""

from __future__ import annotations

from dataclasses import replace

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Component, Family, TrainedSizes
from wsd.models.stable_diffusion.architecture import STABLE_DIFFUSION, STABLE_DIFFUSION_INPAINTING
from wsd.models.stable_diffusion.clip import clip_tokenizer, clip_vit_l
from wsd.models.stable_diffusion.components import NOISE, autoencoder, unet


def _unet(in_channels: int) -> Component:
    """Return the UNet of runwayml/stable-diffusion-v1-5, unet/config.json."""
    return unet(
        in_channels=in_channels,
        sample_size=64,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        attention_head_dim=8,
        cross_attention_dim=768,
        norm_num_groups=32,
    )


def full_autoencoder(scaling_factor: float) -> Component:
    """Return the autoencoder of SD 1.5 and SDXL, which differ in the scale of the latents."""
    return autoencoder(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        norm_num_groups=32,
        scaling_factor=scaling_factor,
    )


_NOISE = {**NOISE, "set_alpha_to_one": False}

FAMILY = Family(
    name="sd15",
    title="Stable Diffusion 1.5 and its fine-tunes: 512x512, 512x768, 768x512",
    architecture=STABLE_DIFFUSION,
    components=(clip_vit_l(), _unet(4), full_autoencoder(0.18215)),
    conditioning=Conditioning((ConditioningEncoder("text_encoder"),)),
    scheduler={"_class_name": "PNDMScheduler", "skip_prk_steps": True, **_NOISE},
    tokenizers=(clip_tokenizer("tokenizer", "text_encoder"),),
    sizes=((512, 512), (512, 768), (768, 512)),
    tile=384,
    steps=25,
    guidance_scale=7.5,
    # The card of stable-diffusion-v1-5: "at resolution 512x512".
    trained=TrainedSizes((512, 512)),
)

# It shares the compiled library of SD 1.5: only weights, scheduler and defaults differ.
LCM = replace(
    FAMILY,
    name="sd15-lcm",
    title="SD 1.5 distilled for 4 to 8 steps (latent consistency, Luo et al. 2023)",
    scheduler={"_class_name": "LCMScheduler", **_NOISE},
    steps=6,
    guidance_scale=2.0,
    # Luo et al. 2023, section 5: at 512 and at 768 pixels.
    trained=TrainedSizes((512, 768)),
)

# As stable-diffusion-v1-5/stable-diffusion-inpainting. The UNet's 9 channels are the latents, a
# mask, and the latents of the picture without what is masked.
INPAINT = replace(
    FAMILY,
    name="sd15-inpaint",
    title="Stable Diffusion 1.5 for drawing a part of a picture anew",
    architecture=STABLE_DIFFUSION_INPAINTING,
    components=(clip_vit_l(), _unet(9), full_autoencoder(0.18215)),
)
