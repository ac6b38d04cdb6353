"""Which keys of its configurations a checkpoint of Stable Diffusion 3.5 may change: rules, as data.

A key that is not here must have the family's value. CLIP's encoders and the VAE are judged as those
of Stable Diffusion are, but for what diffusers' pipelines do otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsd.models.config_rules import (
    ConfigRules,
    KeyRule,
    KnownTensor,
    Reading,
    count_to,
    is_int,
    number,
    one_of,
    positive,
    probability,
)
from wsd.models.sd35.other_models import FIRST, FIRST_EDGE, LARGE, LARGE_LAYERS
from wsd.models.stable_diffusion.config_rules import CLIP_LAYERS, RULES
from wsd.models.stable_diffusion.known_tensors import ALONE, IGNORABLE

_MOST_TOKENS = 1 << 20
_ANY = KeyRule("harmless")
_DROPOUT = KeyRule("harmless", "expected a number from 0 to 1", probability)


def _size(value: Any, _: Reading) -> bool:
    return is_int(value) and value > 0


_TRANSFORMER: Mapping[str, KeyRule] = {
    # diffusers' default size of a picture; the table of positions is read from the weights.
    "sample_size": KeyRule("harmless", "expected a whole number of latent pixels", _size),
}
_IGNORED = "diffusers' StableDiffusion3Pipeline ignores it, and so does WSD"
_VAE: Mapping[str, KeyRule] = {
    **RULES["AutoencoderKL"],
    "shift_factor": KeyRule("variant", "expected a number", number),
    "latents_mean": KeyRule("harmless", note=_IGNORED),
    "latents_std": KeyRule("harmless", note=_IGNORED),
}
_TINY_VAE: Mapping[str, KeyRule] = {
    **RULES["AutoencoderTiny"],
    "shift_factor": KeyRule("variant", "expected a number", number),
}
_CLIP: Mapping[str, KeyRule] = {
    **RULES["CLIPTextModelWithProjection"],
    # StableDiffusion3Pipeline passes no mask.
    "use_attention_mask": _ANY,
}
_SHARED_WITH_CLIP = (
    "architectures", "transformers_version", "id2label", "label2id", "problem_type",
    "chunk_size_feed_forward", "is_encoder_decoder", "pad_token_id", "bos_token_id", "dtype",
    "initializer_factor", "output_hidden_states",
)  # fmt: skip
_T5: Mapping[str, KeyRule] = {
    **{name: RULES["CLIPTextModelWithProjection"][name] for name in _SHARED_WITH_CLIP},
    # Of decoders, which no encoder has, and of training.
    **dict.fromkeys(
        ("num_decoder_layers", "classifier_dropout", "use_cache", "eos_token_id", "output_past",
         "n_positions", "scale_decoder_outputs"),
        _ANY,
    ),
    "dropout_rate": _DROPOUT,
    "layer_norm_epsilon": KeyRule("variant", "expected a positive number", positive),
    "vocab_size": KeyRule(
        "variant", f"expected a whole number of tokens from 1 to {_MOST_TOKENS}",
        count_to(_MOST_TOKENS),
    ),
    # transformers derives both from feed_forward_proj, unless the file has them.
    "dense_act_fn": KeyRule("harmless", "only gelu_new is compiled", one_of("gelu_new")),
    "is_gated_act": KeyRule("harmless", "only gated layers are compiled", one_of(True)),
}  # fmt: skip

_RULES: Mapping[str, Mapping[str, KeyRule]] = {
    "SD3Transformer2DModel": _TRANSFORMER,
    "AutoencoderKL": _VAE,
    "AutoencoderTiny": _TINY_VAE,
    "CLIPTextModelWithProjection": _CLIP,
    "T5EncoderModel": _T5,
    "StableDiffusionSafetyChecker": RULES["StableDiffusionSafetyChecker"],
}

# What other models of the same pipeline have. Layers are compared before the table of positions.
_KNOWN: Mapping[tuple[str, str], Mapping[object, str]] = {
    ("SD3Transformer2DModel", "num_layers"): {LARGE_LAYERS: LARGE},
    ("SD3Transformer2DModel", "num_attention_heads"): {LARGE_LAYERS: LARGE},
    ("SD3Transformer2DModel", "pos_embed_max_size"): {FIRST_EDGE: FIRST},
    ("AutoencoderTiny", "latent_channels"): {
        4: "this tiny autoencoder is of Stable Diffusion 1.x (taesd) or SDXL (taesdxl): "
           "take taesd3",
    },
}  # fmt: skip

# Members of a folder that change no picture that WSD draws: those of adapters of pictures, and a
# third text encoder that is left out.
_OPTIONS: Mapping[str, KeyRule] = dict.fromkeys(
    ("image_encoder", "feature_extractor", "text_encoder_3", "tokenizer_3"), _ANY
)

_IGNORABLE = (
    *IGNORABLE,
    KnownTensor(r"(.+\.)?shared\.weight", "T5's table of embeddings, which its encoder has too"),
    KnownTensor(r"(.+\.)?spiece_model", "T5's tokenizer, which has files of its own"),
    KnownTensor(r"model_sampling\..+", "the noise levels of training: the scheduler has them"),
)
_T5_ALONE = KnownTensor(
    r"(shared|encoder\.(block|embed_tokens|final_layer_norm))\..+",
    "it is of a T5 alone: pass the whole checkpoint, with its transformer and VAE",
)
_TRANSFORMER_ALONE = KnownTensor(
    r"(joint_blocks|transformer_blocks|x_embedder|pos_embed)\..+",
    "it is of a transformer alone: pass the whole checkpoint, with its VAE",
)


def rules_of(pipeline: str) -> ConfigRules:
    """Return the rules for checkpoints of Stable Diffusion 3.5.

    Args:
        pipeline: class of the pipeline in diffusers; all of its models have the same rules.
    """
    del pipeline
    return ConfigRules(
        keys=_RULES,
        known=_KNOWN,
        options=_OPTIONS,
        same_pipelines=("StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
        layers=dict.fromkeys(
            ("CLIPTextModelWithProjection", "StableDiffusionSafetyChecker"), CLIP_LAYERS
        ),
        ignorable=_IGNORABLE,
        alone=(_TRANSFORMER_ALONE, _T5_ALONE, *ALONE),
    )
