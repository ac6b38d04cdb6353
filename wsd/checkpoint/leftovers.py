"""Tensors that a checkpoint holds and no component reads: known and harmless, or refused by name.

A tensor that is dropped in silence may be half of a model: a guidance embedding, a LoRA, the scales
of a quantisation. So what may be left over is listed here, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError


class Ignorable(NamedTuple):
    """Tensors that change no picture.

    Attributes:
        pattern: regular expression that matches a whole name.
        reason: why they change none.
    """

    pattern: str
    reason: str


IGNORABLE = (
    Ignorable(r"(.+\.)?position_ids", "the numbers 0 to n - 1"),
    Ignorable(r"(.+\.)?attn_mask", "the causal mask, which the encoder makes itself"),
    Ignorable(r"(.+\.)?logit_scale", "the temperature of CLIP's training"),
    Ignorable(r"(.+\.)?(vision_model|visual)\..+", "CLIP's image encoder: text alone is encoded"),
    Ignorable(r"(.+\.)?visual_projection\.weight", "the projection of CLIP's image encoder"),
    Ignorable(
        r"(.+\.)?text_projection(\.weight)?",
        "read by encoders that give a pooled text; others have it left from CLIP's training",
    ),
    Ignorable(r"model_ema\..+", "moving averages of the weights: diffusers reads the weights"),
    Ignorable(
        r"(betas|alphas_cumprod(_prev)?|sqrt(_one_minus|_recip|_recipm1)?_alphas_cumprod"
        r"|log_one_minus_alphas_cumprod|posterior_.+|lvlb_weights|logvar|denoiser\.sigmas)",
        "the noise schedule of training: the scheduler's configuration has it",
    ),
    Ignorable(r"(first_stage_model\.)?(loss|discriminator)\..+", "the loss of training"),
    Ignorable(r"embedding_manager\..+", "the state of a training of embeddings"),
    Ignorable(r"safety_checker\..+", "the safety checker, which draws nothing"),
)
# Tensors without numbers that say how a single file is denoised, as ComfyUI and A1111 read them.
MARKERS = ("v_pred", "ztsnr")

_HINTS = (
    (r".*(lora|hada_w|lokr_).*", "it is of a LoRA: merge it into a checkpoint first"),
    (r".*control(_model|net).*|.*zero_convs.*", "it is of a ControlNet, which WSD does not draw"),
    (r".*time_embedding\.cond_proj.*", "the configuration must have its time_cond_proj_dim"),
    (
        r".*\.(SCB|absmax|quant_map|quant_state.*|nested_.+|weight_format|qweight|qzeros|g_idx"
        r"|weight_scale(_2|_inv)?|scale_weight|comfy_quant|pre_quant_scale)",
        "it is of a quantised checkpoint: take it in float16 or float32",
    ),
    (
        r"(input_blocks|time_embed|down_blocks)\..+",
        "it is of a UNet alone: pass the whole checkpoint, with its text encoders and VAE",
    ),
    (r"edm_.+", "it is of an EDM model such as Playground or CosXL, which WSD does not draw"),
)


def check_leftovers(leftovers: Iterable[StoredTensor], reader: str) -> None:
    """Refuse the first tensor that nobody reads and that is not known to be harmless.

    Args:
        leftovers: tensors that no component reads.
        reader: what should have read them, for the message.

    Raises:
        CheckpointError: naming the tensor, and how many more there are.
    """
    unknown = [tensor for tensor in leftovers if not is_ignorable(tensor.key)]
    if not unknown:
        return
    first = unknown[0]
    more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
    raise CheckpointError(
        f"{first.path}: tensor {first.key}{more} is not read by {reader}",
        find_hint(first.key)
        or "the picture would not be this checkpoint's: pass another one, or remove the "
        "tensor if it means nothing",
    )


def find_hint(name: str) -> str | None:
    """Return what a tensor's name tells of what it is of; None if nothing."""
    return next((hint for pattern, hint in _HINTS if re.fullmatch(pattern, name)), None)


def is_ignorable(name: str) -> bool:
    """Tell whether a tensor that nobody reads changes no picture."""
    return any(re.fullmatch(entry.pattern, name) for entry in IGNORABLE)
