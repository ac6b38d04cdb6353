"""A model of few kernels with random weights, for tests of what surrounds the model.

The page is ready in a third of the time that the shipped models take it.
"""

from dataclasses import replace

from wsd.models.registry import FAMILIES
from wsd.models.stable_diffusion.architecture import TIME_IDS
from wsd.models.stable_diffusion.components import autoencoder, clip, taesd, unet

_TINY = FAMILIES["tiny-sd15"]
_XL = FAMILIES["tiny-sdxl"]
_WIDTH = 16


def _clip(class_name: str, component_id: str, activation: str, layers: int):
    return clip(
        class_name, component_id, vocab_size=720, hidden_size=_WIDTH,
        intermediate_size=_WIDTH, projection_dim=_WIDTH, num_hidden_layers=layers,
        num_attention_heads=2, hidden_act=activation, bos_token_id=718, eos_token_id=719,
        pad_token_id=719,
    )  # fmt: skip


_UNET = {
    "sample_size": 16, "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",), "layers_per_block": 1, "attention_head_dim": 2,
    "cross_attention_dim": _WIDTH, "mid_block_type": None,
}  # fmt: skip


def _autoencoder(scaling_factor: float):
    return autoencoder(
        down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, sample_size=16,
        scaling_factor=scaling_factor,
    )  # fmt: skip


SPECK = replace(
    _TINY,
    name="speck",
    title="A model for tests",
    components=(
        _clip("CLIPTextModel", "text_encoder", "quick_gelu", 1),
        unet(**_UNET, block_out_channels=(16,), norm_num_groups=4),
        _autoencoder(0.18215),
    ),
    sizes=((16, 16),),
    tile=12,
    weights=None,
    prompt_chunks=1,
)

# SDXL's code path: two text encoders of which the layer before the last counts, pooled text,
# time ids, layers of several transformer blocks.
SPECK_XL = replace(
    _XL,
    name="speck-xl",
    title="A model for tests of SDXL",
    components=(
        _clip("CLIPTextModel", "text_encoder", "quick_gelu", 2),
        _clip("CLIPTextModelWithProjection", "text_encoder_2", "gelu", 2),
        unet(
            **{
                **_UNET,
                "cross_attention_dim": 2 * _WIDTH,
                "mid_block_type": "UNetMidBlock2DCrossAttn",
            },
            block_out_channels=(16,),
            norm_num_groups=4,
            transformer_layers_per_block=(2,),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=_WIDTH + TIME_IDS * 8,
        ),
        _autoencoder(0.13025),
    ),
    sizes=((16, 16),),
    tile=12,
    weights=None,
    prompt_chunks=1,
)

# Models that take long prompts, and whose text encoders have layers to skip. Their library takes
# three times as long to compile, so only the tests of these draw with them.
LONG = replace(
    SPECK,
    name="long",
    components=(
        _clip("CLIPTextModel", "text_encoder", "quick_gelu", 3),
        *SPECK.components[1:],
    ),
    prompt_chunks=3,
)
LONG_XL = replace(
    SPECK_XL,
    name="long-xl",
    components=(
        _clip("CLIPTextModel", "text_encoder", "quick_gelu", 3),
        _clip("CLIPTextModelWithProjection", "text_encoder_2", "gelu", 4),
        *SPECK_XL.components[2:],
    ),
    prompt_chunks=3,
)

# Models whose UNet keeps deep features. As SDXL's, the last block of the second reads no text, so
# that prompts of one chunk and of two share the function that takes the features.
CACHING = replace(SPECK, name="caching", deep_cache=True)
CACHING_XL = replace(
    SPECK_XL,
    name="caching-xl",
    components=(
        *SPECK_XL.components[:2],
        replace(
            SPECK_XL.components[2],
            config={
                **SPECK_XL.components[2].config,
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
                "block_out_channels": (16, 32),
                "transformer_layers_per_block": (1, 2),
            },
        ),
        SPECK_XL.components[3],
    ),
    prompt_chunks=2,
    deep_cache=True,
)

# Another model of the same library.
TWIN = replace(SPECK, name="twin", title="Another model")

# Two square sizes, so that tiles have a choice: those of 8, of 12, and the whole picture.
TILED = replace(SPECK, name="tiled", sizes=((16, 16), (8, 8)))

# Three levels of the UNet, and latents of an eighth of the picture as the shipped models have them:
# a picture of 40x56 has latents of 5x7, which do not halve evenly.
LEVELS = replace(
    SPECK,
    name="levels",
    components=(
        SPECK.components[0],
        unet(
            **{
                **_UNET,
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
            },
            block_out_channels=(16, 16, 16),
            norm_num_groups=4,
        ),
        autoencoder(
            block_out_channels=(8,) * 4, layers_per_block=1, norm_num_groups=4, sample_size=32,
            scaling_factor=0.18215,
        ),
    ),
    sizes=((32, 32), (40, 56), (48, 40)),
    tile=32,
)  # fmt: skip

# Layers that are wide enough for kernels of our own.
BROAD = replace(
    SPECK,
    name="broad",
    components=(
        SPECK.components[0],
        unet(**_UNET, block_out_channels=(64,), norm_num_groups=32),
        SPECK.components[2],
    ),
    sizes=((16, 16),),
)

# Channels and pixels of which convolutions run by Winograd.
WIDE = replace(
    BROAD,
    name="wide",
    components=(
        SPECK.components[0],
        unet(**_UNET, block_out_channels=(128,), norm_num_groups=32),
        SPECK.components[2],
    ),
    sizes=((24, 24),),
)

# A tiny autoencoder of two levels in place of the VAE, as a checkpoint's configurations select it.
TINY_VAE = replace(
    SPECK,
    name="tiny-vae",
    components=(
        *SPECK.components[:2],
        replace(
            taesd(4, 2),
            config={
                **taesd(4, 2).config,
                "encoder_block_out_channels": (8, 8),
                "decoder_block_out_channels": (8, 8),
                "num_encoder_blocks": (1, 2),
                "num_decoder_blocks": (2, 1),
            },
        ),
    ),
    sizes=((32, 32),),
    tile=24,
)

# A VAE with the levels of the published ones, of which the last is half as broad as the one before
# it; its decoder computes in strips of few rows.
STRIPS = replace(
    SPECK,
    name="strips",
    components=(
        *SPECK.components[:2],
        autoencoder(
            block_out_channels=(8, 16, 32, 32), layers_per_block=2, norm_num_groups=4,
            sample_size=32, scaling_factor=0.13025,
        ),
    ),
    sizes=((40, 56),),
    tile=32,
    whole_bytes=64 << 10,
)  # fmt: skip
