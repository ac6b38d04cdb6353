"""Stable Diffusion 3.5 Medium (Stability AI 2024): 2.5 billion parameters without its encoders."""

from __future__ import annotations

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Family, TrainedSizes
from wsd.models.sd35.architecture import STABLE_DIFFUSION_35
from wsd.models.sd35.components import autoencoder_16, t5, transformer
from wsd.models.sd35.t5 import t5_tokenizer
from wsd.models.stable_diffusion.clip import clip_tokenizer, clip_vit_big_g, clip_vit_l

# As diffusers' pipeline takes them: the states before the last layer, and both pooled states.
CLIP_ENCODERS = (
    ConditioningEncoder("text_encoder", hidden_state=-2, pooled=True),
    ConditioningEncoder("text_encoder_2", hidden_state=-2, pooled=True),
)

# The vocabulary of all T5 models, as one file.
_T5_TOKENIZER = "google-t5/t5-base@a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1"

FAMILY = Family(
    name="sd35-medium",
    title="Stable Diffusion 3.5 Medium: from 512x512 to 1440x1440",
    architecture=STABLE_DIFFUSION_35,
    components=(
        clip_vit_l(class_name="CLIPTextModelWithProjection", projection_dim=768),
        clip_vit_big_g(),
        # google/t5-v1_1-xxl.
        t5(
            vocab_size=32128,
            d_model=4096,
            d_kv=64,
            d_ff=10240,
            num_layers=24,
            num_heads=64,
        ),
        # stabilityai/stable-diffusion-3.5-medium, transformer/config.json.
        transformer(
            sample_size=128,
            num_layers=24,
            attention_head_dim=64,
            num_attention_heads=24,
            joint_attention_dim=4096,
            caption_projection_dim=1536,
            pooled_projection_dim=2048,
            pos_embed_max_size=384,
            dual_attention_layers=tuple(range(13)),
        ),
        autoencoder_16(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, norm_num_groups=32
        ),
    ),
    conditioning=Conditioning(
        (*CLIP_ENCODERS, ConditioningEncoder("text_encoder_3")),
        join="sequence",
        room=256,
        optional=("text_encoder_3",),
    ),
    scheduler={
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 3.0,
    },
    tokenizers=(
        clip_tokenizer("tokenizer", "text_encoder"),
        clip_tokenizer("tokenizer_2", "text_encoder_2", pad_token="!"),
        t5_tokenizer(_T5_TOKENIZER),
    ),
    # The shapes of a million pixels that SDXL was taught too; it draws from 512 to 1440 pixels.
    sizes=((1024, 1024), (896, 1152), (1152, 896), (832, 1216), (1216, 832)),
    tile=512,
    steps=28,
    guidance_scale=4.5,
    prompt_chunks=1,
    # Stability AI Community License Agreement: free below a million dollars of revenue a year.
    license="stabilityai-ai-community",
    # The card: its last stage of training mixes sizes up to 1440.
    trained=TrainedSizes((512, 1440)),
)
