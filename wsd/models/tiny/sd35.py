"""The smallest model that takes exactly the code path of Stable Diffusion 3.5 Medium."""

from __future__ import annotations

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Component, Family, Tokenizer, TrainedSizes
from wsd.models.sd35.architecture import STABLE_DIFFUSION_35
from wsd.models.sd35.components import autoencoder_16, t5, transformer
from wsd.models.sd35.medium import CLIP_ENCODERS
from wsd.models.sd35.t5 import t5_tokenizer
from wsd.models.stable_diffusion.clip import CLIP_TOKENIZER
from wsd.models.tiny.common import CHECKPOINTS, EXAMPLES, TOKENIZER, tiny_clip

# Smaller than in the other small models: three encoders share what is left by the transformer.
_CLIP_WIDTH = 64
# More than both CLIP encoders have, so that their states are padded as in the published model.
_TEXT_WIDTH = 144
_WIDTH = 128
_T5_TOKENS = 32


def _clip(component_id: str, activation: str) -> Component:
    return tiny_clip("CLIPTextModelWithProjection", component_id, activation, _CLIP_WIDTH)


FAMILY = Family(
    name="tiny-sd35",
    title="SD 3.5's classes at small width: 128x128 pictures of coloured shapes",
    architecture=STABLE_DIFFUSION_35,
    components=(
        _clip("text_encoder", "quick_gelu"),
        _clip("text_encoder_2", "gelu"),
        t5(
            vocab_size=176,
            d_model=_TEXT_WIDTH,
            d_kv=32,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            n_positions=_T5_TOKENS,
        ),
        # The first block has two attentions, and the last one gives no text.
        transformer(
            sample_size=16,
            num_layers=4,
            attention_head_dim=32,
            num_attention_heads=_WIDTH // 32,
            joint_attention_dim=_TEXT_WIDTH,
            caption_projection_dim=_WIDTH,
            pooled_projection_dim=2 * _CLIP_WIDTH,
            pos_embed_max_size=16,
            dual_attention_layers=(0,),
        ),
        autoencoder_16(
            sample_size=128,
            block_out_channels=(32, 32, 48, 48),
            layers_per_block=1,
            norm_num_groups=4,
        ),
    ),
    conditioning=Conditioning(
        (*CLIP_ENCODERS, ConditioningEncoder("text_encoder_3")),
        join="sequence",
        room=_T5_TOKENS,
        optional=("text_encoder_3",),
    ),
    scheduler={
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 3.0,
    },
    # As in Stable Diffusion 3.5, the second encoder's texts are padded with "!" (id 0).
    tokenizers=(
        Tokenizer("tokenizer", "text_encoder", CLIP_TOKENIZER, TOKENIZER),
        Tokenizer("tokenizer_2", "text_encoder_2", CLIP_TOKENIZER, TOKENIZER, pad_token="!"),
        t5_tokenizer(),
    ),
    sizes=((128, 128),),
    trained=TrainedSizes((128, 128)),
    tile=96,
    steps=28,
    guidance_scale=3.0,
    examples=EXAMPLES,
    weights=CHECKPOINTS / "tiny-sd35",
    prompt_chunks=1,
)
