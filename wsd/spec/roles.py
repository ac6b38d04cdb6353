"""Roles of entry points: the words by which the browser and the tools find a compiled function.

A component of a pipeline has three different things: an *id* (its key in the manifest and the
prefix of its shards, ``unet``), a *folder* in the diffusers layout (``unet``), and a *role* (what
it does in the pipeline, ``denoiser``). One component may give entry points of several roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# From token ids to the embeddings that condition the denoiser.
TEXT_ENCODER: Final = "text_encoder"
# The same with the states of every layer, for clip skip.
LAYERED_TEXT_ENCODER: Final = "layered_text_encoder"
# From latents and a timestep to the predicted noise, or velocity if the model predicts that.
DENOISER: Final = "denoiser"
# The denoiser with classifier-free guidance: both predictions are computed as one batch.
GUIDED_DENOISER: Final = "guided_denoiser"
# The denoiser, without guidance and with it, for a prompt of several chunks: a chunk is as long a
# text as the text encoder takes, and the embeddings of all chunks follow each other.
CHUNKED_DENOISER: Final = "chunked_denoiser"
GUIDED_CHUNKED_DENOISER: Final = "guided_chunked_denoiser"
# The outermost layers of the denoiser, without guidance and with it, which take the deep features
# that an earlier call of the whole denoiser kept. Prompts of each number of chunks have their own,
# where the layers read the text.
SHALLOW_DENOISER: Final = "shallow_denoiser"
GUIDED_SHALLOW_DENOISER: Final = "guided_shallow_denoiser"
# From latents to an image.
VAE_DECODER: Final = "vae_decoder"
# The VAE decoder for one square tile; pictures of every size share it.
VAE_DECODER_TILE: Final = "vae_decoder_tile"
# From an image to the moments of its latents, or to the latents themselves.
VAE_ENCODER: Final = "vae_encoder"
# The VAE encoder for one square tile; pictures of every size share it.
VAE_ENCODER_TILE: Final = "vae_encoder_tile"
# From pixels, as CLIP's image encoder takes them, to how near a picture is to each concept that a
# safety checker looks for.
SAFETY_CHECKER: Final = "safety_checker"
# From a float image to 8-bit RGBA pixels.
IMAGE_TO_RGBA: Final = "image_to_rgba"
# From 8-bit RGBA pixels to a float image.
RGBA_TO_IMAGE: Final = "rgba_to_image"
# Name of a text encoder's states among its outputs; a layered one's have "_1" behind it for one
# layer that is left out, and so on.
TEXT_STATES: Final = "text_embeddings"
# Name of a denoiser's input, (1, blocks): 1 for a block that runs, 0 for one that is left out.
BLOCK_SCALES: Final = "block_scales"
# Name of a denoiser's input for the embedded guidance scale, as diffusers calls it; a denoiser that
# takes it guides itself.
GUIDANCE_EMBEDDING: Final = "timestep_cond"
# Name of the deep features that a denoiser gives, and that its outermost layers take; those without
# the prompt have "negative_" before it.
DEEP_FEATURES: Final = "deep_features"
# Name of what an encoder gives that says how latents are distributed: the mean of each channel,
# then the logarithm of its variance. One that gives the latents themselves has no distribution.
MOMENTS: Final = "moments"
# Sum of tensors times coefficients, which is all that a scheduler computes on the GPU.
LINEAR_COMBINATION: Final = "linear_combination"
# Latents where a mask is 1, and noised latents of a picture where it is 0.
MASKED_BLEND: Final = "masked_blend"
# Tensors that a linear combination adds. Five are enough for PNDM's sample and its four remembered
# predictions; with coefficients and result that is seven storage buffers, and every WebGPU adapter
# binds eight.
LINEAR_COMBINATION_TERMS: Final = 5

ROLES: Final = (
    TEXT_ENCODER,
    LAYERED_TEXT_ENCODER,
    DENOISER,
    GUIDED_DENOISER,
    CHUNKED_DENOISER,
    GUIDED_CHUNKED_DENOISER,
    SHALLOW_DENOISER,
    GUIDED_SHALLOW_DENOISER,
    VAE_DECODER,
    VAE_DECODER_TILE,
    VAE_ENCODER,
    VAE_ENCODER_TILE,
    SAFETY_CHECKER,
    IMAGE_TO_RGBA,
    RGBA_TO_IMAGE,
    LINEAR_COMBINATION,
    MASKED_BLEND,
)

_FROM_TEXT: Final = (TEXT_ENCODER, DENOISER, VAE_DECODER, IMAGE_TO_RGBA, LINEAR_COMBINATION)
# Pipeline to the roles without which it draws nothing.
REQUIRED_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "text-to-image": _FROM_TEXT,
    # The denoiser takes a mask, and the latents of a picture without what is masked.
    "inpainting": (*_FROM_TEXT, VAE_ENCODER, RGBA_TO_IMAGE),
}


def needs_picture(pipeline: str) -> bool:
    """Tell whether a pipeline draws nothing without a picture.

    Args:
        pipeline: key of the browser's registry of pipelines.
    """
    return VAE_ENCODER in REQUIRED_ROLES.get(pipeline, ())
