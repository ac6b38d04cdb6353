"""A checkpoint's CLIP tokenizer as the one file that the page reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsd.digest import canonical_json
from wsd.errors import CheckpointError


def tokenizer_file(folder: Path, fallback: Path) -> tuple[bytes, dict[str, int]]:
    """Return a tokenizer as ``tokenizer.json`` and the settings around it.

    Padding and truncation are left out of the file: the page pads with
    ``pad_token_id`` and cuts to ``max_length``, as the diffusers pipelines do.

    Args:
        folder: the checkpoint's tokenizer folder.
        fallback: a folder to read when the checkpoint has none.

    Returns:
        (canonical JSON bytes, max_length and token ids).

    Raises:
        CheckpointError: if the files are not a CLIP tokenizer's.
    """
    from transformers import CLIPTokenizer

    source = folder if folder.is_dir() else fallback
    try:
        tokenizer: Any = CLIPTokenizer.from_pretrained(source)
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
