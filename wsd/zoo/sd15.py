"""Stable Diffusion 1.5 (Rombach et al. 2022) and what shares its architecture."""

from __future__ import annotations

from dataclasses import replace

from wsd.zoo.clip import STAND_IN, clip_vit_l
from wsd.zoo.spec import Component, Family, Tokenizer

# As in runwayml/stable-diffusion-v1-5, unet/config.json.
_UNET = Component(
    name="unet",
    role="unet",
    library="diffusers",
    class_name="UNet2DConditionModel",
    config={
        "sample_size": 64,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": 768,
        "norm_num_groups": 32,
        "act_fn": "silu",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "center_input_sample": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
    },
)

VAE = Component(
    name="vae",
    role="vae_decoder",
    library="diffusers",
    class_name="AutoencoderKL",
    config={
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "act_fn": "silu",
        "scaling_factor": 0.18215,
    },
)

_NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}

FAMILY = Family(
    name="sd15",
    title="Stable Diffusion 1.5 and its fine-tunes: 512x512",
    pipeline="StableDiffusionPipeline",
    components=(clip_vit_l(), _UNET, VAE),
    scheduler={"_class_name": "PNDMScheduler", "skip_prk_steps": True, **_NOISE},
    tokenizers=(Tokenizer("tokenizer", "text_encoder", STAND_IN),),
    vae_scale_factor=8,
    sizes=((512, 512),),
    steps=25,
    guidance_scale=7.5,
)

# The same library: only the data and the way of denoising differ.
LCM = replace(
    FAMILY,
    name="sd15-lcm",
    title="SD 1.5 distilled for 4 to 8 steps (latent consistency, Luo et al. 2023)",
    scheduler={"_class_name": "LCMScheduler", **_NOISE},
    steps=6,
    guidance_scale=2.0,
)
