"""The smallest model that takes exactly the code path of Stable Diffusion XL."""

from __future__ import annotations

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Family, Tokenizer, TrainedSizes
from wsd.models.stable_diffusion.architecture import STABLE_DIFFUSION_XL, TIME_IDS
from wsd.models.stable_diffusion.clip import CLIP_TOKENIZER
from wsd.models.stable_diffusion.components import unet
from wsd.models.tiny.common import (
    CHECKPOINTS,
    EXAMPLES,
    HIDDEN,
    TOKENIZER,
    dpm_solver,
    tiny_autoencoder,
    tiny_clip,
)

_TIME_EMBEDDING = 32

FAMILY = Family(
    name="tiny-sdxl",
    title="SDXL's classes at small width: 192x192 pictures of coloured shapes",
    architecture=STABLE_DIFFUSION_XL,
    components=(
        tiny_clip("CLIPTextModel", "text_encoder", "quick_gelu"),
        tiny_clip("CLIPTextModelWithProjection", "text_encoder_2", "gelu"),
        unet(
            sample_size=24,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(64, 64, 96),
            layers_per_block=1,
            transformer_layers_per_block=(1, 1, 2),
            attention_head_dim=(2, 4, 4),
            use_linear_projection=True,
            cross_attention_dim=2 * HIDDEN,
            addition_embed_type="text_time",
            addition_time_embed_dim=_TIME_EMBEDDING,
            projection_class_embeddings_input_dim=HIDDEN + TIME_IDS * _TIME_EMBEDDING,
            norm_num_groups=8,
        ),
        tiny_autoencoder(192, scaling_factor=0.13025),
    ),
    conditioning=Conditioning(
        (
            ConditioningEncoder("text_encoder", hidden_state=-2),
            ConditioningEncoder("text_encoder_2", hidden_state=-2, pooled=True),
        ),
        empty_negative="zeros",
    ),
    scheduler=dpm_solver("leading"),
    # As in SDXL, the second encoder's texts are padded with "!" (id 0).
    tokenizers=(
        Tokenizer("tokenizer", "text_encoder", CLIP_TOKENIZER, TOKENIZER),
        Tokenizer("tokenizer_2", "text_encoder_2", CLIP_TOKENIZER, TOKENIZER, pad_token="!"),
    ),
    sizes=((192, 192),),
    trained=TrainedSizes((192, 192)),
    tile=96,
    steps=20,
    guidance_scale=3.0,
    examples=EXAMPLES,
    weights=CHECKPOINTS / "tiny-sdxl",
)
