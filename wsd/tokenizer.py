"""A checkpoint's CLIP tokenizer as the one file that the page reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsd.digest import canonical_json
from wsd.errors import CheckpointError
from wsd.zoo import Tokenizer


def load_tokenizer(folder: Path, pad_token: str | None = None) -> Any:
    """Return transformers' CLIP tokenizer of a folder.

    Args:
        folder: with ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``.
        pad_token: what fills a text up; None for what the files say.
    """
    from transformers import CLIPTokenizer

    more: dict[str, Any] = {"pad_token": pad_token} if pad_token else {}
    return CLIPTokenizer.from_pretrained(folder, **more)


def tokenizer_file(checkpoint: Path, entry: Tokenizer) -> tuple[bytes, dict[str, int]]:
    """Return a tokenizer as ``tokenizer.json`` and the settings around it.

    Padding and truncation are left out of the file: the page pads with
    ``pad_token_id`` and cuts to ``max_length``, as the diffusers pipelines do.

    Args:
        checkpoint: a diffusers folder.
        entry: which of its tokenizers.

    Returns:
        (canonical JSON bytes, max_length and token ids).

    Raises:
        CheckpointError: if the files are not a CLIP tokenizer's.
    """
    folder = checkpoint / entry.name
    source = folder if folder.is_dir() else entry.fallback
    try:
        tokenizer = load_tokenizer(source, entry.pad_token if source is not folder else None)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{source}: not a CLIP tokenizer ({error})",
            "it needs vocab.json and merges.txt, or tokenizer.json",
        ) from error
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    table["padding"] = table["truncation"] = None
    return canonical_json(table), {
        "max_length": int(tokenizer.model_max_length),
        "bos_token_id": int(tokenizer.bos_token_id),
        "eos_token_id": int(tokenizer.eos_token_id),
        "pad_token_id": int(tokenizer.pad_token_id),
    }
