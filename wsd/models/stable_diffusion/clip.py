"""CLIP's published text encoders as Stable Diffusion uses them, and their tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsd.models.family import Component, Tokenizer, TokenizerKind
from wsd.models.stable_diffusion.components import clip

# The tokenizer of CLIP's text encoders (Radford et al. 2021): byte-pair encoding of words.
CLIP_TOKENIZER = TokenizerKind(
    title="CLIP",
    class_name="CLIPTokenizer",
    saved_as=("CLIPTokenizerFast",),
    model="BPE",
    tables=("vocab.json",),
    texts=("merges.txt",),
    special=("bos_token", "eos_token", "pad_token", "unk_token"),
    highest_end=2,
)
# OpenCLIP has the same vocabulary.
_PUBLISHED_TOKENIZER = "openai/clip-vit-large-patch14@32bd64288804d66eefd0ccbe215aa642df71cc41"
# For random weights: a tokenizer of a small vocabulary in the same format.
_STAND_IN = Path(__file__).parent.parent / "tiny" / "tokenizer"

# Published configurations name 2 as the end token; transformers then takes the highest id.
_PUBLISHED: dict[str, Any] = {
    "vocab_size": 49408,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}


def clip_vit_l(class_name: str = "CLIPTextModel", **more: Any) -> Component:
    """Return OpenAI's CLIP ViT-L/14 (Radford et al. 2021), 123 million parameters.

    Args:
        class_name: in transformers; one with a projection pools its states too.
        more: keys of the configuration that only such a class reads.
    """
    return clip(
        class_name,
        "text_encoder",
        **_PUBLISHED,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        hidden_act="quick_gelu",
        **more,
    )


def clip_vit_big_g() -> Component:
    """Return OpenCLIP's ViT-bigG/14 with its projection, 695 million parameters."""
    return clip(
        "CLIPTextModelWithProjection",
        "text_encoder_2",
        **_PUBLISHED,
        hidden_size=1280,
        intermediate_size=5120,
        projection_dim=1280,
        num_hidden_layers=32,
        num_attention_heads=20,
        hidden_act="gelu",
    )


def clip_tokenizer(name: str, component: str, pad_token: str | None = None) -> Tokenizer:
    """Return the tokenizer of published CLIP models, for one text encoder.

    Args:
        name: folder in the diffusers layout.
        component: id of the text encoder.
        pad_token: as :class:`Tokenizer` has it.
    """
    return Tokenizer(name, component, CLIP_TOKENIZER, _STAND_IN, pad_token, _PUBLISHED_TOKENIZER)
