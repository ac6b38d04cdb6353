"""The smallest model that takes exactly the code path of Stable Diffusion XL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsd.zoo.spec import Component, Family, Tokenizer
from wsd.zoo.tiny_sd15 import EXAMPLES

_FOLDER = Path(__file__).parent
_HIDDEN = 96
_TIME_IDS = 6
_TIME_EMBEDDING = 32


def _clip(class_name: str, name: str, activation: str) -> Component:
    return Component(
        name=name,
        role="text_encoder",
        library="transformers",
        class_name=class_name,
        config={
            "vocab_size": 720,
            "hidden_size": _HIDDEN,
            "intermediate_size": 4 * _HIDDEN,
            "projection_dim": _HIDDEN,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "max_position_embeddings": 77,
            "hidden_act": activation,
            "layer_norm_eps": 1e-5,
            "bos_token_id": 718,
            "eos_token_id": 719,
            "pad_token_id": 719,
        },
        hidden_state=-2,
    )


_UNET: dict[str, Any] = {
    "sample_size": 24,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (64, 64, 96),
    "layers_per_block": 1,
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (2, 4, 4),
    "use_linear_projection": True,
    "cross_attention_dim": 2 * _HIDDEN,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": _TIME_EMBEDDING,
    "projection_class_embeddings_input_dim": _HIDDEN + _TIME_IDS * _TIME_EMBEDDING,
    "norm_num_groups": 8,
    "act_fn": "silu",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "center_input_sample": False,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
}

FAMILY = Family(
    name="tiny-sdxl",
    title="SDXL's classes at small width: 192x192 pictures of coloured shapes",
    pipeline="StableDiffusionXLPipeline",
    components=(
        _clip("CLIPTextModel", "text_encoder", "quick_gelu"),
        _clip("CLIPTextModelWithProjection", "text_encoder_2", "gelu"),
        Component(
            name="unet",
            role="unet",
            library="diffusers",
            class_name="UNet2DConditionModel",
            config=_UNET,
        ),
        Component(
            name="vae",
            role="vae_decoder",
            library="diffusers",
            class_name="AutoencoderKL",
            config={
                "sample_size": 192,
                "in_channels": 3,
                "out_channels": 3,
                "latent_channels": 4,
                "down_block_types": ("DownEncoderBlock2D",) * 4,
                "up_block_types": ("UpDecoderBlock2D",) * 4,
                "block_out_channels": (32, 32, 64, 64),
                "layers_per_block": 1,
                "norm_num_groups": 8,
                "act_fn": "silu",
                "scaling_factor": 0.13025,
            },
        ),
    ),
    scheduler={
        "_class_name": "DPMSolverMultistepScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "epsilon",
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "solver_type": "midpoint",
        "lower_order_final": True,
        "final_sigmas_type": "zero",
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
    },
    # As in SDXL, the second encoder's text is padded with "!" (id 0).
    tokenizers=(
        Tokenizer("tokenizer", "text_encoder", _FOLDER / "tokenizers" / "tiny"),
        Tokenizer("tokenizer_2", "text_encoder_2", _FOLDER / "tokenizers" / "tiny", pad_token="!"),
    ),
    vae_scale_factor=8,
    sizes=((192, 192),),
    steps=20,
    guidance_scale=5.0,
    force_zeros_for_empty_prompt=True,
    examples=EXAMPLES,
)
