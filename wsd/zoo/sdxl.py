"""Stable Diffusion XL (Podell et al. 2023) and what shares its architecture."""

from __future__ import annotations

from dataclasses import replace

from wsd.zoo.clip import STAND_IN, clip_vit_big_g, clip_vit_l
from wsd.zoo.sd15 import VAE
from wsd.zoo.spec import Component, Family, Tokenizer

# As in stabilityai/stable-diffusion-xl-base-1.0, unet/config.json.
_UNET = Component(
    name="unet",
    role="unet",
    library="diffusers",
    class_name="UNet2DConditionModel",
    config={
        "sample_size": 128,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
        "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
        "block_out_channels": (320, 640, 1280),
        "layers_per_block": 2,
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "cross_attention_dim": 2048,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
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

_NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "clip_sample": False,
}

FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL and its fine-tunes: 1024x1024",
    pipeline="StableDiffusionXLPipeline",
    components=(
        clip_vit_l(hidden_state=-2),
        clip_vit_big_g(),
        _UNET,
        replace(VAE, config={**VAE.config, "scaling_factor": 0.13025}),
    ),
    scheduler={
        "_class_name": "EulerDiscreteScheduler",
        "timestep_spacing": "leading",
        **_NOISE,
    },
    # The second encoder's text is padded with "!" (id 0).
    tokenizers=(
        Tokenizer("tokenizer", "text_encoder", STAND_IN),
        Tokenizer("tokenizer_2", "text_encoder_2", STAND_IN, pad_token="!"),
    ),
    vae_scale_factor=8,
    sizes=((1024, 1024),),
    steps=25,
    guidance_scale=5.0,
    force_zeros_for_empty_prompt=True,
)

# The same library: only the data and the way of denoising differ.
TURBO = replace(
    FAMILY,
    name="sdxl-turbo",
    title="SDXL distilled for 1 to 4 steps (Sauer et al. 2023)",
    scheduler={
        "_class_name": "EulerAncestralDiscreteScheduler",
        "timestep_spacing": "trailing",
        **_NOISE,
    },
    sizes=((512, 512),),
    steps=1,
    guidance_scale=0.0,
)
