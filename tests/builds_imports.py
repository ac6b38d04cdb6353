"""What a build imports when it needs it, for a process from which others are forked."""

from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

import wsd.bundle.builder
import wsd.checkpoint.resolve
import wsd.checkpoint.tokenizer
import wsd.supply_chain.sbom

__all__ = [
    "AutoencoderKL",
    "CLIPTextModel",
    "CLIPTokenizer",
    "StableDiffusionPipeline",
    "UNet2DConditionModel",
    "wsd",
]
