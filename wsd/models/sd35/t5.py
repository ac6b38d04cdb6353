"""T5's tokenizer, as Stable Diffusion 3.5 uses it."""

from __future__ import annotations

from pathlib import Path

from wsd.models.family import Tokenizer, TokenizerKind

# The tokenizer of T5 (Raffel et al. 2020): Unigram of SentencePiece (Kudo 2018). Its published
# spiece.model is not read: transformers reads that with a package of its own.
T5_TOKENIZER = TokenizerKind(
    title="T5",
    class_name="T5Tokenizer",
    saved_as=("T5TokenizerFast",),
    model="Unigram",
    tables=(),
    texts=(),
    special=("eos_token", "pad_token", "unk_token"),
)
# For random weights: a tokenizer of a small vocabulary in the same format.
SMALL_TOKENIZER = Path(__file__).parent.parent / "tiny" / "tokenizer_3"


def t5_tokenizer(hub_id: str | None = None) -> Tokenizer:
    """Return T5's tokenizer for the third text encoder.

    Args:
        hub_id: as :class:`Tokenizer` has it; None for the small vocabulary.
    """
    return Tokenizer("tokenizer_3", "text_encoder_3", T5_TOKENIZER, SMALL_TOKENIZER, hub_id=hub_id)
