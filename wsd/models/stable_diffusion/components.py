"""Components of Stable Diffusion: their classes, and the configuration that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsd.models.family import Component, Part
from wsd.spec.roles import DENOISER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER

# The noise schedule that SD 1.5 and SDXL were trained with, in diffusers' terms.
NOISE: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "clip_sample": False,
}


def clip(class_name: str, component_id: str, **config: Any) -> Component:
    """Return a CLIP text encoder; ``config`` completes the shared configuration."""
    shared = {"max_position_embeddings": 77, "layer_norm_eps": 1e-5}
    return Component(
        component_id,
        TEXT_ENCODER,
        "transformers",
        class_name,
        {**shared, **config},
        # diffusers loads the class that the pipeline needs, whichever of CLIP's was saved.
        saved_as=("CLIPModel", "CLIPTextModel", "CLIPTextModelWithProjection"),
        # The text model of CLIP has had a level of its own in some versions of transformers.
        levels=("text_model.", "clip."),
    )


def unet(**config: Any) -> Component:
    """Return a conditional UNet; ``config`` completes the shared configuration."""
    shared = {
        "in_channels": 4,
        "out_channels": 4,
        "act_fn": "silu",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "center_input_sample": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
    }
    return Component("unet", DENOISER, "diffusers", "UNet2DConditionModel", {**shared, **config})


def autoencoder(**config: Any) -> Component:
    """Return a KL autoencoder of factor 8; ``config`` completes the shared configuration."""
    shared = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "act_fn": "silu",
    }
    return Component(
        "vae",
        VAE_DECODER,
        "diffusers",
        "AutoencoderKL",
        {**shared, **config},
        # What is drawn from text alone encodes no picture.
        optional=("encoder.", "quant_conv."),
        parts=(Part("vae_encoder", VAE_ENCODER),),
    )
