"""Components of Stable Diffusion: their classes, and the configuration that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsd.models.family import Component, Part
from wsd.spec.roles import DENOISER, SAFETY_CHECKER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER

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


def safety_checker(**config: Any) -> Component:
    """Return the safety checker that Stable Diffusion 1.x was published with.

    Args:
        config: keys that differ from CompVis/stable-diffusion-safety-checker, whose image encoder
            is CLIP ViT-L/14: the keys of its ``vision_config``, and the ``projection_dim`` beside.
    """
    shared = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_channels": 3,
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": 768,
    }
    return Component(
        "safety_checker",
        SAFETY_CHECKER,
        "wsd.models.stable_diffusion.safety_checker",
        "StableDiffusionSafetyChecker",
        {**shared, **config},
        saved_as=("SafetyChecker",),
        # The image encoder has had a level of its own in older versions of transformers.
        levels=("vision_model.",),
        saved_by="transformers",
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
    """Return a KL autoencoder; ``config`` completes the shared configuration.

    A checkpoint may have a tiny autoencoder in its place, of as many channels and levels.
    """
    shared = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "act_fn": "silu",
    }
    chosen = {**shared, **config}
    return Component(
        "vae",
        VAE_DECODER,
        "diffusers",
        "AutoencoderKL",
        chosen,
        # What is drawn from text alone encodes no picture.
        optional=("encoder.", "quant_conv."),
        parts=(Part("vae_encoder", VAE_ENCODER),),
        alternatives=(taesd(chosen["latent_channels"], len(chosen["block_out_channels"])),),
    )


def taesd(latent_channels: int, levels: int = 4) -> Component:
    """Return a tiny autoencoder as it was published (madebyollin/taesd, taesdxl and taesd3).

    Args:
        latent_channels: of the denoiser's latents, which it takes as they are.
        levels: picture sizes that it works in; each halves the one before.
    """
    below = levels - 1
    return Component(
        "vae",
        VAE_DECODER,
        "diffusers",
        "AutoencoderTiny",
        {
            "in_channels": 3,
            "out_channels": 3,
            "encoder_block_out_channels": (64,) * levels,
            "decoder_block_out_channels": (64,) * levels,
            "act_fn": "relu",
            "upsample_fn": "nearest",
            "latent_channels": latent_channels,
            "upsampling_scaling_factor": 2,
            "num_encoder_blocks": (1, *(3,) * below),
            "num_decoder_blocks": (*(3,) * below, 1),
            "scaling_factor": 1.0,
            "shift_factor": 0.0,
        },
        optional=("encoder.",),
        parts=(Part("vae_encoder", VAE_ENCODER),),
    )
