"""The smallest model that takes exactly the code path of Stable Diffusion 1.5."""

from __future__ import annotations

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Family, Tokenizer, TrainedSizes
from wsd.models.stable_diffusion.architecture import STABLE_DIFFUSION
from wsd.models.stable_diffusion.clip import CLIP_TOKENIZER
from wsd.models.stable_diffusion.components import unet
from wsd.models.tiny.common import (
    CHECKPOINTS,
    EXAMPLES,
    HIDDEN,
    SCHEDULES,
    TOKENIZER,
    dpm_solver,
    tiny_autoencoder,
    tiny_clip,
)

FAMILY = Family(
    name="tiny-sd15",
    title="SD 1.5's classes at small width: 128x128 pictures of coloured shapes",
    architecture=STABLE_DIFFUSION,
    components=(
        tiny_clip("CLIPTextModel", "text_encoder", "quick_gelu"),
        unet(
            sample_size=16,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(64, 96, 96),
            layers_per_block=1,
            attention_head_dim=4,
            cross_attention_dim=HIDDEN,
            norm_num_groups=8,
        ),
        tiny_autoencoder(128, scaling_factor=0.18215),
    ),
    conditioning=Conditioning((ConditioningEncoder("text_encoder"),)),
    scheduler=dpm_solver("linspace"),
    tokenizers=(Tokenizer("tokenizer", "text_encoder", CLIP_TOKENIZER, TOKENIZER),),
    sizes=((128, 128),),
    trained=TrainedSizes((128, 128)),
    tile=96,
    steps=20,
    guidance_scale=3.0,
    examples=EXAMPLES,
    weights=CHECKPOINTS / "tiny-sd15",
    schedules=SCHEDULES / "tiny-sd15",
)
