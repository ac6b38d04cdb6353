"""The smallest model that takes exactly the code path of Stable Diffusion 1.5."""

from __future__ import annotations

from pathlib import Path

from wsd.zoo.spec import Component, Family, Tokenizer

_FOLDER = Path(__file__).parent
_HIDDEN = 96

# None of these is among the training captions; a test says so.
EXAMPLES = (
    "a large red circle left of a small blue square on a white background",
    "three pink hearts on a black background",
    "a large orange star below a green cross",
    "a small cyan circle at the top left on a white background",
    "two small green rings on a white background",
    "a green heart above a large purple triangle on a light green to light yellow gradient"
    " background",
    "a small yellow triangle at the top right on a gray to light blue gradient background",
)

FAMILY = Family(
    name="tiny-sd15",
    title="SD 1.5's classes at small width: 128x128 pictures of coloured shapes",
    pipeline="StableDiffusionPipeline",
    components=(
        Component(
            name="text_encoder",
            role="text_encoder",
            library="transformers",
            class_name="CLIPTextModel",
            config={
                "vocab_size": 720,
                "hidden_size": _HIDDEN,
                "intermediate_size": 4 * _HIDDEN,
                "projection_dim": _HIDDEN,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "max_position_embeddings": 77,
                "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5,
                "bos_token_id": 718,
                "eos_token_id": 719,
                "pad_token_id": 719,
            },
        ),
        Component(
            name="unet",
            role="unet",
            library="diffusers",
            class_name="UNet2DConditionModel",
            config={
                "sample_size": 16,
                "in_channels": 4,
                "out_channels": 4,
                "down_block_types": (
                    "CrossAttnDownBlock2D",
                    "CrossAttnDownBlock2D",
                    "DownBlock2D",
                ),
                "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
                "block_out_channels": (64, 96, 96),
                "layers_per_block": 1,
                "attention_head_dim": 4,
                "cross_attention_dim": _HIDDEN,
                "norm_num_groups": 8,
                "act_fn": "silu",
                "flip_sin_to_cos": True,
                "freq_shift": 0,
                "center_input_sample": False,
                "downsample_padding": 1,
                "mid_block_scale_factor": 1,
                "norm_eps": 1e-5,
            },
        ),
        Component(
            name="vae",
            role="vae_decoder",
            library="diffusers",
            class_name="AutoencoderKL",
            config={
                "sample_size": 128,
                "in_channels": 3,
                "out_channels": 3,
                "latent_channels": 4,
                "down_block_types": ("DownEncoderBlock2D",) * 4,
                "up_block_types": ("UpDecoderBlock2D",) * 4,
                "block_out_channels": (32, 32, 64, 64),
                "layers_per_block": 1,
                "norm_num_groups": 8,
                "act_fn": "silu",
                "scaling_factor": 0.18215,
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
        "timestep_spacing": "linspace",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
    },
    tokenizers=(Tokenizer("tokenizer", "text_encoder", _FOLDER / "tokenizers" / "tiny"),),
    vae_scale_factor=8,
    sizes=((128, 128),),
    steps=20,
    guidance_scale=3.0,
    examples=EXAMPLES,
    weights=_FOLDER / "checkpoints" / "tiny-sd15",
)
