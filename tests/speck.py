"""A model of few kernels with random weights, for tests of what surrounds the model.

The page is ready in a third of the time that the shipped models take it.
"""

from dataclasses import replace

from wsd.zoo import FAMILIES
from wsd.zoo.classes import autoencoder, clip, unet

_TINY = FAMILIES["tiny-sd15"]
_WIDTH = 16

SPECK = replace(
    _TINY,
    name="speck",
    title="A model for tests",
    components=(
        clip(
            "CLIPTextModel", "text_encoder", vocab_size=720, hidden_size=_WIDTH,
            intermediate_size=_WIDTH, projection_dim=_WIDTH, num_hidden_layers=1,
            num_attention_heads=2, hidden_act="quick_gelu", bos_token_id=718, eos_token_id=719,
            pad_token_id=719,
        ),
        unet(
            sample_size=16, down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",), block_out_channels=(16,),
            layers_per_block=1, attention_head_dim=2, cross_attention_dim=_WIDTH,
            norm_num_groups=4,
        ),
        autoencoder(
            down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
            block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, sample_size=16,
            scaling_factor=0.18215,
        ),
    ),
    vae_scale_factor=1,
    sizes=((16, 16),),
    tile=12,
    weights=None,
)  # fmt: skip

# Another model of the same library.
TWIN = replace(SPECK, name="twin", title="Another model")

# Layers that are wide enough for kernels of our own.
BROAD = replace(
    SPECK,
    name="broad",
    components=(
        SPECK.components[0],
        unet(
            sample_size=16, down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",), block_out_channels=(64,),
            layers_per_block=1, attention_head_dim=2, cross_attention_dim=_WIDTH,
            norm_num_groups=32, mid_block_type=None,
        ),
        SPECK.components[2],
    ),
    sizes=((16, 16),),
)  # fmt: skip
