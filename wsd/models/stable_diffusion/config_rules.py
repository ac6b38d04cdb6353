"""Which keys of its configurations a checkpoint of Stable Diffusion may change: rules, as data.

A key that is not here must have the family's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsd.models.config_rules import (
    ConfigRules,
    Reading,
    Rule,
    boolean,
    count_to,
    is_int,
    is_number,
    number,
    one_of,
    positive,
    probability,
)

# Far more than published models have. A module is built, without weights, before its tensors are
# compared.
_MOST_LAYERS = 128
_MOST_FEATURES = 1 << 16
_MOST_TOKENS = 1 << 20


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


# Nothing is dropped in evaluation mode.
_DROPOUT = Rule("harmless", "expected a probability", probability)
_ANY = Rule("harmless")
_SILU = Rule("variant", "only silu is compiled", one_of("silu", "swish"))

_UNET: Mapping[str, Rule] = {
    # diffusers' default size of a picture; WSD's sizes are chosen with --size.
    "sample_size": Rule("harmless", "expected a number of latent pixels", _size),
    "dropout": _DROPOUT,
    # It changes the precision of float16 attention; WSD computes attention in float32.
    "upcast_attention": Rule("harmless", "", one_of(True, False, None)),
    # Used with addition_embed_type "text" alone, which no family has.
    "addition_embed_type_num_heads": Rule("harmless", "", count_to(_MOST_FEATURES)),
    # Used with the mid block UNetMidBlock2DSimpleCrossAttn alone, which no family has.
    "mid_block_only_cross_attention": Rule("harmless", "", one_of(True, False, None)),
    "act_fn": _SILU,
    "attention_head_dim": Rule(
        "variant", "the heads must divide the channels of their block", _divides_channels
    ),
    "use_linear_projection": Rule("variant", "expected true or false", boolean),
    "time_cond_proj_dim": Rule(
        "variant", f"expected null or a number from 4 to {_MOST_FEATURES}", _guidance_width
    ),
    "norm_eps": Rule("variant", "expected a positive number", positive),
    "norm_num_groups": Rule("variant", "the groups must divide all channels", _norm_groups),
    "flip_sin_to_cos": Rule("variant", "expected true or false", boolean),
    "freq_shift": Rule("variant", "expected a number", number),
    "center_input_sample": Rule("variant", "expected true or false", boolean),
    "mid_block_scale_factor": Rule("variant", "expected a positive number", positive),
}

_VAE: Mapping[str, Rule] = {
    # diffusers' size of tiles when tiling is switched on; WSD has its own.
    "sample_size": Rule("harmless", "expected a number of pixels", _edges),
    # It changes the precision of float16 pipelines; WSD decodes in float32.
    "force_upcast": Rule("harmless", "", one_of(True, False, None)),
    "shift_factor": Rule(
        "harmless", "expected null or a number", lambda v, _: v is None or is_number(v),
        note="diffusers' Stable Diffusion pipelines ignore it, and so does WSD",
    ),
    # Only the encoder has this convolution, and it is not compiled.
    "use_quant_conv": Rule("variant", "expected true or false", boolean),
    "use_post_quant_conv": Rule("variant", "expected true or false", boolean),
    "mid_block_add_attention": Rule("variant", "expected true or false", boolean),
    "scaling_factor": Rule("variant", "expected a positive number", positive),
    "latents_mean": Rule("variant", "expected a number for each channel", _channel_numbers),
    "latents_std": Rule(
        "variant", "expected a positive number for each channel", _channel_deviations
    ),
    "act_fn": _SILU,
    "norm_num_groups": Rule("variant", "the groups must divide all channels", _norm_groups),
}  # fmt: skip

_DTYPES = ("torch.float16", "torch.bfloat16", "torch.float32", "torch.float64")
_CLIP: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("architectures", "transformers_version", "id2label", "label2id", "problem_type",
         "chunk_size_feed_forward", "is_encoder_decoder", "pad_token_id", "bos_token_id"),
        _ANY,
    ),
    # WSD reads weights of every floating dtype, whatever this says.
    "dtype": Rule("harmless", "expected the name of a floating dtype", one_of(None, *_DTYPES)),
    # transformers initialises weights with them, which are read from the files afterwards.
    "initializer_range": Rule("harmless", "expected a number", number),
    "initializer_factor": Rule("harmless", "expected a number", number),
    "attention_dropout": _DROPOUT,
    "output_hidden_states": Rule("harmless", "", one_of(True, False, None)),
    "eos_token_id": Rule(
        "harmless",
        "the pooled state is taken at the end token, which must be the vocabulary's last one or 2",
        _end_token,
    ),
    "vocab_size": Rule(
        "variant",
        "with eos_token_id 2 the pooled state is taken at the highest id of a text, which could "
        "be an added token: set eos_token_id to the id of the end token",
        _vocabulary,
    ),
    "num_hidden_layers": Rule(
        "variant", f"expected 1 to {_MOST_LAYERS} layers", count_to(_MOST_LAYERS)
    ),
    "hidden_act": Rule(
        "variant", "only quick_gelu and gelu are compiled", one_of("quick_gelu", "gelu")
    ),
    "intermediate_size": Rule(
        "variant", f"expected a number from 1 to {_MOST_FEATURES}", count_to(_MOST_FEATURES)
    ),
    "num_attention_heads": Rule("variant", "the heads must divide hidden_size", _heads),
    "layer_norm_eps": Rule("variant", "expected a positive number", positive),
}  # fmt: skip

# Class → rules of its keys.
RULES: Mapping[str, Mapping[str, Rule]] = {
    "UNet2DConditionModel": _UNET,
    "AutoencoderKL": _VAE,
    # Its projection does not exist.
    "CLIPTextModel": {**_CLIP, "projection_dim": _ANY},
    "CLIPTextModelWithProjection": _CLIP,
}

_IGNORED_BY_SD = "diffusers' StableDiffusionPipeline ignores it, and so does WSD"
# Pipeline → class → rules that differ from those of RULES.
_PIPELINE_RULES: Mapping[str, Mapping[str, Mapping[str, Rule]]] = {
    "StableDiffusionPipeline": {
        "AutoencoderKL": {
            "latents_mean": Rule("harmless", note=_IGNORED_BY_SD),
            "latents_std": Rule("harmless", note=_IGNORED_BY_SD),
        },
        # StableDiffusionPipeline masks the padding of prompts if it is true.
        "CLIPTextModel": {
            "use_attention_mask": Rule(
                "harmless", "masked padding is not compiled", one_of(False, None)
            )
        },
    },
    "StableDiffusionXLPipeline": {
        "CLIPTextModel": {"use_attention_mask": _ANY},
        "CLIPTextModelWithProjection": {"use_attention_mask": _ANY},
    },
}

# What well-known models of other kinds have, to say what a refused checkpoint is.
_KNOWN: Mapping[tuple[str, str], Mapping[object, str]] = {
    ("UNet2DConditionModel", "in_channels"): {
        9: "this is an inpainting model, and WSD draws from text alone",
        8: "this is a model that edits pictures (InstructPix2Pix) or upscales them, and WSD draws "
           "from text alone",
    },
    ("UNet2DConditionModel", "cross_attention_dim"): {
        1024: "this is a Stable Diffusion 2 or one of its fine-tunes, which WSD does not draw",
        1280: "this is SDXL's refiner, which WSD does not draw",
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

# Pipeline → pipelines whose folders it draws the same pictures of.
_SAME_PIPELINES: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": ("LatentConsistencyModelPipeline",),
}
# Options of the pipelines that change no picture that WSD draws, and members that it leaves out.
_OPTIONS: Mapping[str, Rule] = {
    # The safety checker is a member of the folder that WSD leaves out, as docs/checkpoints.md says.
    "requires_safety_checker": _ANY,
    "safety_checker": _ANY,
    "feature_extractor": _ANY,
    # For adapters of pictures, which WSD does not take.
    "image_encoder": _ANY,
    # It is part of diffusers' program, and not of the model.
    "add_watermarker": Rule(
        "harmless", "WSD adds no watermark: set it to false or null", one_of(False, None)
    ),
    # The refiner's; StableDiffusionXLPipeline ignores it.
    "requires_aesthetics_score": Rule(
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
    )
