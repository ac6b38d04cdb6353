"""Which keys of its configurations a checkpoint of Stable Diffusion may change: rules, as data.

A key that is not here must have the family's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsd.models.config_rules import (
    ConfigRules,
    KeyRule,
    Reading,
    boolean,
    count_to,
    is_int,
    is_number,
    number,
    one_of,
    positive,
    probability,
)
from wsd.models.stable_diffusion.known_tensors import ALONE, IGNORABLE, REFUSED

# Far more than published models have. A module is built, without weights, before its tensors are
# compared.
_MOST_LAYERS = 128
_MOST_FEATURES = 1 << 16
_MOST_TOKENS = 1 << 20
_MOST_PIXELS = 1 << 12


def _size(value: Any, _: Reading) -> bool:
    edges = value if isinstance(value, list) and len(value) == 2 else [value]
    return value is None or all(is_int(edge) and edge > 0 for edge in edges)


def _edges(value: Any, reading: Reading) -> bool:
    # AutoencoderKL divides it.
    return value is not None and _size(value, reading)


def _divides_channels(value: Any, reading: Reading) -> bool:
    """Accept a count, or one for each block, that divides the channels of its block."""
    channels = reading.own["block_out_channels"]
    if not isinstance(channels, list) or not all(map(is_int, channels)):
        return False
    counts = value if isinstance(value, list) else [value] * len(channels)
    return len(counts) == len(channels) and all(
        is_int(count) and count > 0 and width % count == 0
        for count, width in zip(counts, channels, strict=True)
    )


def _norm_groups(value: Any, reading: Reading) -> bool:
    return is_int(value) and _divides_channels(value, reading)


def _guidance_width(value: Any, _: Reading) -> bool:
    # diffusers' embedding of the guidance scale needs at least one frequency, and divides by one
    # less than their number.
    return value is None or (is_int(value) and 4 <= value <= _MOST_FEATURES)


def _channel_numbers(value: Any, reading: Reading) -> bool:
    return value is None or (
        isinstance(value, list)
        and len(value) == reading.own["latent_channels"]
        and all(map(is_number, value))
    )


def _channel_deviations(value: Any, reading: Reading) -> bool:
    return _channel_numbers(value, reading) and all(deviation > 0 for deviation in value or ())


def _level_widths(value: Any, reading: Reading) -> bool:
    """Accept one width for all levels, of which there are as many as the family's are.

    Each level begins with a convolution that keeps the width of the level before.
    """
    return (
        isinstance(value, list)
        and len(value) == len(reading.ours["decoder_block_out_channels"])
        and len(set(map(str, value))) == 1
        and count_to(_MOST_FEATURES)(value[0], reading)
    )


def _level_blocks(value: Any, reading: Reading) -> bool:
    """Accept a number of blocks for each level."""
    return (
        isinstance(value, list)
        and len(value) == len(reading.ours["decoder_block_out_channels"])
        and all(is_int(count) and 0 <= count <= _MOST_LAYERS for count in value)
    )


def _levels_alone(value: Any, reading: Reading) -> bool:
    return isinstance(value, list) and len(value) == len(reading.ours["decoder_block_out_channels"])


def _heads(value: Any, reading: Reading) -> bool:
    return is_int(value) and value > 0 and reading.own["hidden_size"] % value == 0


def _vocabulary(value: Any, reading: Reading) -> bool:
    """Accept more or fewer tokens, unless the pooled state would be taken at another one.

    With ``eos_token_id`` 2, transformers pools at the highest id of a text, and the browser at the
    first end token: the same place while the end token is the last one of the vocabulary.
    """
    if not count_to(_MOST_TOKENS)(value, reading):
        return False
    return not reading.pooled or (
        value > reading.ours["vocab_size"] and reading.own["eos_token_id"] != 2
    )


def _end_token(value: Any, reading: Reading) -> bool:
    """Accept any number where nothing is pooled; else the id of the vocabulary's last token, or 2.

    The published vocabularies end with the end token. transformers understands 2 as the highest
    id of a text, which is the same token.
    """
    return is_int(value) and (not reading.pooled or value in (2, reading.ours["vocab_size"] - 1))


def _explain_vocabulary(value: Any, reading: Reading) -> str:
    if not count_to(_MOST_TOKENS)(value, reading):
        return f"expected a whole number of tokens from 1 to {_MOST_TOKENS}"
    if value < reading.ours["vocab_size"]:
        return "the pooled state is taken at the end token, which a smaller vocabulary has not"
    return (
        "with eos_token_id 2 the pooled state is taken at the highest id of a text, which could be "
        "an added token: set eos_token_id to the id of the end token"
    )


def _explain_end_token(_value: Any, reading: Reading) -> str:
    if not reading.pooled:
        return "expected the id of the end token, a whole number"
    last = reading.ours["vocab_size"] - 1
    return f"the pooled state is taken at the end token: its id must be {last}, or 2 stand for it"


# Nothing is dropped in evaluation mode.
_DROPOUT = KeyRule("harmless", "expected a number from 0 to 1", probability)
_ANY = KeyRule("harmless")
_SILU = KeyRule("variant", "only silu is compiled", one_of("silu", "swish"))
_NORM_GROUPS = KeyRule(
    "variant", "a whole number is expected that divides the channels of every block", _norm_groups
)
_SWITCH = "expected true, false or null"
_FEATURES = f"expected a whole number from 1 to {_MOST_FEATURES}"

_UNET: Mapping[str, KeyRule] = {
    # diffusers' default size of a picture; WSD's sizes are chosen with --size.
    "sample_size": KeyRule("harmless", "expected a whole number of latent pixels, or two", _size),
    "dropout": _DROPOUT,
    # It changes the precision of float16 attention; WSD computes attention in float32.
    "upcast_attention": KeyRule("harmless", _SWITCH, one_of(True, False, None)),
    # Used with addition_embed_type "text" alone, which no family has.
    "addition_embed_type_num_heads": KeyRule("harmless", _FEATURES, count_to(_MOST_FEATURES)),
    # Used with the mid block UNetMidBlock2DSimpleCrossAttn alone, which no family has.
    "mid_block_only_cross_attention": KeyRule("harmless", _SWITCH, one_of(True, False, None)),
    "act_fn": _SILU,
    "attention_head_dim": KeyRule(
        "variant",
        "whole numbers are expected that divide the channels of their block",
        _divides_channels,
    ),
    "use_linear_projection": KeyRule("variant", "expected true or false", boolean),
    "time_cond_proj_dim": KeyRule(
        "variant", f"expected null or a whole number from 4 to {_MOST_FEATURES}", _guidance_width
    ),
    "norm_eps": KeyRule("variant", "expected a positive number", positive),
    "norm_num_groups": KeyRule(
        "variant",
        "a whole number is expected that divides the channels of every block",
        _norm_groups,
    ),
    "flip_sin_to_cos": KeyRule("variant", "expected true or false", boolean),
    "freq_shift": KeyRule("variant", "expected a number", number),
    "center_input_sample": KeyRule("variant", "expected true or false", boolean),
    "mid_block_scale_factor": KeyRule("variant", "expected a positive number", positive),
}

_VAE: Mapping[str, KeyRule] = {
    # diffusers' size of tiles when tiling is switched on; WSD has its own.
    "sample_size": KeyRule("harmless", "expected a whole number of pixels, or two", _edges),
    # It changes the precision of float16 pipelines; WSD computes in float32.
    "force_upcast": KeyRule("harmless", _SWITCH, one_of(True, False, None)),
    "shift_factor": KeyRule(
        "harmless", "expected null or a number", lambda v, _: v is None or is_number(v),
        note="diffusers' Stable Diffusion pipelines ignore it, and so does WSD",
    ),
    # Only the encoder has this convolution.
    "use_quant_conv": KeyRule("variant", "expected true or false", boolean),
    "use_post_quant_conv": KeyRule("variant", "expected true or false", boolean),
    "mid_block_add_attention": KeyRule("variant", "expected true or false", boolean),
    "scaling_factor": KeyRule("variant", "expected a positive number", positive),
    "latents_mean": KeyRule(
        "variant", "expected null, or a list with a number for each channel", _channel_numbers
    ),
    "latents_std": KeyRule(
        "variant", "expected null, or a list with a positive number for each channel",
        _channel_deviations,
    ),
    "act_fn": _SILU,
    "norm_num_groups": _NORM_GROUPS,
}  # fmt: skip

_WIDTHS = (
    "expected a list with one width for each level of the picture, as many as the family's "
    "autoencoder has, and the same width for all"
)
_BLOCKS = "expected a list with a number of blocks for each level of the picture"
_TINY_VAE: Mapping[str, KeyRule] = {
    # diffusers' AutoencoderTiny reads these three in none of its encode and decode: they are for
    # latents that are stored as bytes, and for the precision of float16 pipelines.
    "latent_magnitude": KeyRule("harmless", "expected a number", number),
    "latent_shift": KeyRule("harmless", "expected a number", number),
    "force_upcast": KeyRule("harmless", _SWITCH, one_of(True, False, None)),
    "shift_factor": KeyRule(
        "harmless", "expected a number", number,
        note="diffusers' Stable Diffusion pipelines ignore it, and so does WSD",
    ),
    # diffusers writes it, and its class does not take it. Its pipelines read the number of levels.
    "block_out_channels": KeyRule(
        "harmless",
        "diffusers' pipelines take the size of latents from it: it must have as many entries as "
        "decoder_block_out_channels",
        _levels_alone,
    ),
    "scaling_factor": KeyRule("variant", "expected a positive number", positive),
    "encoder_block_out_channels": KeyRule("variant", _WIDTHS, _level_widths),
    "decoder_block_out_channels": KeyRule("variant", _WIDTHS, _level_widths),
    "num_encoder_blocks": KeyRule("variant", _BLOCKS, _level_blocks),
    "num_decoder_blocks": KeyRule("variant", _BLOCKS, _level_blocks),
    "act_fn": KeyRule(
        "variant", "only relu, silu and gelu are compiled", one_of("relu", "silu", "swish", "gelu")
    ),
    "upsample_fn": KeyRule("architecture", "only nearest is compiled"),
    "upsampling_scaling_factor": KeyRule(
        "architecture", "with another factor, pictures would have another size than is asked for"
    ),
}  # fmt: skip

_DTYPES = ("torch.float16", "torch.bfloat16", "torch.float32", "torch.float64")
_CLIP: Mapping[str, KeyRule] = {
    **dict.fromkeys(
        ("architectures", "transformers_version", "id2label", "label2id", "problem_type",
         "chunk_size_feed_forward", "is_encoder_decoder", "pad_token_id", "bos_token_id"),
        _ANY,
    ),
    # WSD reads weights of every floating dtype, whatever this says.
    "dtype": KeyRule("harmless", "expected the name of a floating dtype", one_of(None, *_DTYPES)),
    # transformers initialises weights with them, which are read from the files afterwards.
    "initializer_range": KeyRule("harmless", "expected a number", number),
    "initializer_factor": KeyRule("harmless", "expected a number", number),
    "attention_dropout": _DROPOUT,
    "output_hidden_states": KeyRule("harmless", _SWITCH, one_of(True, False, None)),
    "eos_token_id": KeyRule("harmless", _explain_end_token, _end_token),
    "vocab_size": KeyRule("variant", _explain_vocabulary, _vocabulary),
    "num_hidden_layers": KeyRule(
        "variant", f"expected a whole number from 1 to {_MOST_LAYERS}", count_to(_MOST_LAYERS)
    ),
    "hidden_act": KeyRule(
        "variant", "only quick_gelu and gelu are compiled", one_of("quick_gelu", "gelu")
    ),
    "intermediate_size": KeyRule("variant", _FEATURES, count_to(_MOST_FEATURES)),
    "num_attention_heads": KeyRule(
        "variant", "a whole number is expected that divides hidden_size", _heads
    ),
    "layer_norm_eps": KeyRule("variant", "expected a positive number", positive),
}  # fmt: skip


def _patches(value: Any, reading: Reading) -> bool:
    """Accept edges of patches that divide the edge of the picture."""
    edge = reading.own["image_size"]
    return is_int(value) and is_int(edge) and value > 0 and edge % value == 0


def _picture_edge(value: Any, reading: Reading) -> bool:
    return count_to(_MOST_PIXELS)(value, reading) and _patches(reading.own["patch_size"], reading)


# The keys of its image encoder, and the width of the embeddings that are compared.
_CHECKER: Mapping[str, KeyRule] = {
    **{key: rule for key, rule in _CLIP.items() if key not in ("eos_token_id", "vocab_size")},
    # Of text encoders, and of decoders that generate text, which old files list for all.
    **dict.fromkeys(("eos_token_id", "vocab_size"), _ANY),
    "hidden_size": KeyRule("variant", _FEATURES, count_to(_MOST_FEATURES)),
    "projection_dim": KeyRule("variant", _FEATURES, count_to(_MOST_FEATURES)),
    "image_size": KeyRule(
        "variant",
        f"expected a whole number of pixels up to {_MOST_PIXELS}, and patches that divide it",
        _picture_edge,
    ),
    "patch_size": KeyRule(
        "variant", "a whole number of pixels is expected that divides image_size", _patches
    ),
}

# Class → rules of its keys.
RULES: Mapping[str, Mapping[str, KeyRule]] = {
    "UNet2DConditionModel": _UNET,
    "AutoencoderKL": _VAE,
    "AutoencoderTiny": _TINY_VAE,
    # Its projection does not exist.
    "CLIPTextModel": {**_CLIP, "projection_dim": _ANY},
    "CLIPTextModelWithProjection": _CLIP,
    "StableDiffusionSafetyChecker": _CHECKER,
}

_IGNORED_BY_SD = "diffusers' StableDiffusionPipeline ignores it, and so does WSD"
_OF_SD: Mapping[str, Mapping[str, KeyRule]] = {
    "AutoencoderKL": {
        "latents_mean": KeyRule("harmless", note=_IGNORED_BY_SD),
        "latents_std": KeyRule("harmless", note=_IGNORED_BY_SD),
    },
    # StableDiffusionPipeline masks the padding of prompts if it is true.
    "CLIPTextModel": {
        "use_attention_mask": KeyRule(
            "harmless", "masked padding is not compiled", one_of(False, None)
        )
    },
}
_OF_XL: Mapping[str, Mapping[str, KeyRule]] = {
    "CLIPTextModel": {"use_attention_mask": _ANY},
    "CLIPTextModelWithProjection": {"use_attention_mask": _ANY},
}
# Pipeline → class → rules that differ from those of RULES.
_PIPELINE_RULES: Mapping[str, Mapping[str, Mapping[str, KeyRule]]] = {
    "StableDiffusionPipeline": _OF_SD,
    "StableDiffusionInpaintPipeline": _OF_SD,
    "StableDiffusionXLPipeline": _OF_XL,
    "StableDiffusionXLInpaintPipeline": {
        **_OF_XL,
        # diffusers' pipeline normalises channels when it decodes, and not when it encodes.
        "AutoencoderKL": {
            key: KeyRule("harmless", "normalised latents are not drawn with a mask", one_of(None))
            for key in ("latents_mean", "latents_std")
        },
    },
}

# What well-known models of other kinds have, to say what a refused checkpoint is.
_KNOWN: Mapping[tuple[str, str], Mapping[object, str]] = {
    ("UNet2DConditionModel", "in_channels"): {
        4: "this UNet takes no mask: pass --model sd15 or sdxl, which draw parts of pictures too",
        8: "this is a model that edits pictures as a text says (InstructPix2Pix) or upscales them, "
           "which WSD does not draw",
        9: "this is an inpainting model: pass --model sd15-inpaint or sdxl-inpaint",
    },
    ("UNet2DConditionModel", "cross_attention_dim"): {
        1024: "this is a Stable Diffusion 2 or one of its fine-tunes, which WSD does not draw",
        1280: "this is SDXL's refiner, which WSD does not draw",
    },
    ("AutoencoderTiny", "latent_channels"): {
        16: "this tiny autoencoder is of Stable Diffusion 3 (taesd3) or FLUX (taef1): take the one "
            "of this model, taesd or taesdxl",
    },
    ("CLIPTextModel", "hidden_size"): {
        1024: "this is the text encoder of Stable Diffusion 2, which WSD does not draw",
    },
}  # fmt: skip

# Class → keys that take one value for all blocks, or one for each.
_PER_BLOCK: Mapping[str, tuple[str, ...]] = {
    "UNet2DConditionModel": (
        "attention_head_dim", "cross_attention_dim", "transformer_layers_per_block",
        "layers_per_block", "only_cross_attention",
    ),
}  # fmt: skip

# A clip skip may be baked in by the configuration alone: the file then has the last layers too,
# and transformers does not read them.
CLIP_LAYERS = (r"(?:.+\.)?encoder\.layers\.(\d{1,4})\..+", "num_hidden_layers")
_LAYERS: Mapping[str, tuple[str, str]] = dict.fromkeys(
    ("CLIPTextModel", "CLIPTextModelWithProjection", "StableDiffusionSafetyChecker"), CLIP_LAYERS
)

# Pipeline → pipelines whose folders it draws the same pictures of.
_SAME_PIPELINES: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": ("LatentConsistencyModelPipeline", "StableDiffusionImg2ImgPipeline"),
}
# Options of the pipelines that change no picture that WSD draws, and members that it leaves out.
_OPTIONS: Mapping[str, KeyRule] = {
    # The safety checker is a member of the folder that WSD leaves out unless --safety-checker names
    # it, as docs/checkpoints.md says.
    "requires_safety_checker": _ANY,
    "safety_checker": _ANY,
    "feature_extractor": _ANY,
    # For adapters of pictures, which WSD does not take.
    "image_encoder": _ANY,
    # It is part of diffusers' program, and not of the model.
    "add_watermarker": KeyRule(
        "harmless", "WSD adds no watermark: set it to false or null", one_of(False, None)
    ),
    # The refiner's; StableDiffusionXLPipeline ignores it.
    "requires_aesthetics_score": KeyRule(
        "harmless", "only SDXL's refiner takes aesthetic scores", one_of(False, None)
    ),
}


def rules_of(pipeline: str) -> ConfigRules:
    """Return the rules for checkpoints that a diffusers pipeline draws with.

    Args:
        pipeline: class of the pipeline in diffusers.
    """
    own = _PIPELINE_RULES[pipeline]
    return ConfigRules(
        keys={name: {**rules, **own.get(name, {})} for name, rules in RULES.items()},
        per_block=_PER_BLOCK,
        known=_KNOWN,
        options=_OPTIONS,
        same_pipelines=_SAME_PIPELINES.get(pipeline, ()),
        layers=_LAYERS,
        ignorable=IGNORABLE,
        refused=REFUSED,
        alone=ALONE,
    )
