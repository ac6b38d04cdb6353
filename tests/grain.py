"""Stable Diffusion 3.5 of a few kernels with random weights: its real classes, small."""

from dataclasses import replace

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.sd35.components import autoencoder_16, t5, transformer
from wsd.models.sd35.medium import CLIP_ENCODERS, FAMILY
from wsd.models.stable_diffusion.components import clip

_WIDTH = 16
_JOINED = 48
_T5_TOKENS = 24


def _clip(component_id: str, activation: str):
    return clip(
        "CLIPTextModelWithProjection", component_id, vocab_size=720, hidden_size=_WIDTH,
        intermediate_size=_WIDTH, projection_dim=_WIDTH, num_hidden_layers=2,
        num_attention_heads=2, hidden_act=activation, bos_token_id=718, eos_token_id=719,
        pad_token_id=719,
    )  # fmt: skip


GRAIN = replace(
    FAMILY,
    name="grain",
    title="A model for tests of Stable Diffusion 3.5",
    components=(
        _clip("text_encoder", "quick_gelu"),
        _clip("text_encoder_2", "gelu"),
        t5(
            vocab_size=720, d_model=_JOINED, d_kv=8, d_ff=32, num_layers=2, num_heads=4,
            n_positions=_T5_TOKENS, relative_attention_num_buckets=8,
            relative_attention_max_distance=12,
        ),
        # The first block has two attentions and the last one no text behind it.
        transformer(
            sample_size=8, num_layers=3, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=_JOINED, caption_projection_dim=_WIDTH,
            pooled_projection_dim=2 * _WIDTH, pos_embed_max_size=12, dual_attention_layers=(0,),
        ),
        autoencoder_16(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, sample_size=32,
        ),
    ),
    conditioning=Conditioning(
        (*CLIP_ENCODERS, ConditioningEncoder("text_encoder_3")),
        join="sequence",
        room=_T5_TOKENS,
        optional=("text_encoder_3",),
    ),
    sizes=((16, 16), (24, 16), (16, 32)),
    tile=12,
    weights=None,
)  # fmt: skip
