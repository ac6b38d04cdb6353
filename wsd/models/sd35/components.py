"""Components of Stable Diffusion 3.5: their classes, and the configuration that all share."""

from __future__ import annotations

from typing import Any

from wsd.models.family import Component
from wsd.models.stable_diffusion.components import autoencoder
from wsd.spec.roles import DENOISER, TEXT_ENCODER


def transformer(**config: Any) -> Component:
    """Return a transformer of text and picture; ``config`` completes the shared configuration.

    Its class is diffusers' with a smaller position table (:mod:`wsd.models.sd35.transformer`).
    """
    shared = {"patch_size": 2, "in_channels": 16, "out_channels": 16, "qk_norm": "rms_norm"}
    return Component(
        "transformer",
        DENOISER,
        "wsd.models.sd35.transformer",
        "SD3Transformer2DModel",
        {**shared, **config},
        saved_by="diffusers",
    )


def t5(**config: Any) -> Component:
    """Return the encoder of a T5 v1.1; ``config`` completes the shared configuration.

    Args:
        config: keys of ``T5Config``; ``n_positions`` is the number of tokens that it is compiled
            for, as diffusers' pipelines pad texts.
    """
    shared = {
        "n_positions": 256,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
        "is_encoder_decoder": False,
        "use_cache": False,
    }
    return Component(
        "text_encoder_3", TEXT_ENCODER, "transformers", "T5EncoderModel", {**shared, **config}
    )


def autoencoder_16(**config: Any) -> Component:
    """Return a KL autoencoder of 16 channels that has a shift and no quant convolutions."""
    shared = {
        "latent_channels": 16,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    return autoencoder(**{**shared, **config})
