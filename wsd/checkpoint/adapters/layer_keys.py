"""Names of an adapter's tensors: which layer each is of, and what it is of the layer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# What follows a layer's name → what the tensor is of the layer.
_PARTS = {
    # kohya's sd-scripts, and ComfyUI
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".alpha": "alpha",
    # PEFT
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_magnitude_vector": "magnitude_vector",
    ".lora_magnitude_vector.weight": "magnitude_vector",
    # diffusers before it used PEFT
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    # LyCORIS
    ".dora_scale": "dora_scale",
    ".hada_w1_a": "hada_w1_a",
    ".hada_w1_b": "hada_w1_b",
    ".hada_w2_a": "hada_w2_a",
    ".hada_w2_b": "hada_w2_b",
    ".hada_t1": "hada_t1",
    ".hada_t2": "hada_t2",
    ".lokr_w1": "lokr_w1",
    ".lokr_w1_a": "lokr_w1_a",
    ".lokr_w1_b": "lokr_w1_b",
    ".lokr_w2": "lokr_w2",
    ".lokr_w2_a": "lokr_w2_a",
    ".lokr_w2_b": "lokr_w2_b",
    ".lokr_t2": "lokr_t2",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "diff",
    ".b_norm": "diff_b",
}
_PART = re.compile(f"(?:{'|'.join(re.escape(part) for part in _PARTS)})$")
# PEFT writes the name that the adapter had in memory into the names of its tensors.
_PEFT_NAME = re.compile(r"\.(lora_A|lora_B|lora_magnitude_vector)\.(?!weight$|bias$)[^.]+(?=\.|$)")
_PEFT_LEVEL = "base_model.model."

# Tensors of what is no adapter that can be merged, and what to do about it.
_OTHER_KINDS = (
    (r".*\.(oft_blocks|oft_diag|oft_r)(\.[^.]+)*$|.*\.rescale$",
     "it is an OFT, which WSD does not read"),
    (r".*\.on_input$", "it is an (IA)³, which WSD does not read"),
    (r".*\.[ab][12]\.weight$", "it is a GLoRA, which WSD does not read"),
    (r".*\.(lora_B|lora_up)\.bias$|.*\.lora_linear_layer\.up\.bias$",
     "it trains biases beside its matrices, which WSD does not read"),
    (r".*\.bias_(indices|values|size)$", "it has sparse biases, which WSD does not read"),
    (r"bundle_emb\..*", "it brings embeddings of tokens, which WSD does not read"),
    (r"emb_params$|clip_[lg]$|string_to_(param|token).*",
     "it is a textual inversion, which changes no weights: it is no file for --lora"),
    (r"(lora_te3_|text_encoder_3\.).*",
     "it changes the third text encoder, which the model has not: take an adapter without it, or a "
     "checkpoint with it"),
    (r"(lora_)?control(net|_model).*|.*zero_convs.*",
     "it is of a ControlNet, which WSD does not draw"),
    (r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\..*"
     r"|(down_blocks|up_blocks|input_blocks|encoder|decoder)\.((?!lora).)*\.(weight|bias)$",
     "it is a checkpoint or a part of one: pass a whole one with --weights"),
)  # fmt: skip


class LayerKey(NamedTuple):
    """Name of a tensor, taken apart.

    Attributes:
        layer: name of the layer in the file.
        part: what the tensor is of the layer, such as ``up`` or ``alpha``.
    """

    layer: str
    part: str


def split_key(key: str) -> LayerKey | None:
    """Return the layer and the part that a tensor's name means; None for a name of another kind.

    Args:
        key: name in the file.
    """
    name = _PEFT_NAME.sub(r".\1", key.removeprefix(_PEFT_LEVEL))
    found = _PART.search(name)
    return None if found is None else LayerKey(name[: found.start()], _PARTS[found[0]])


def explain_other_kind(keys: Iterable[str]) -> str | None:
    """Return what a file is whose tensors are no adapter's; None if that is unknown.

    Args:
        keys: names of tensors that :func:`split_key` does not know, or whose layers are unknown.
    """
    for key in keys:
        for pattern, text in _OTHER_KINDS:
            if re.match(pattern, key):
                return text
    return None
