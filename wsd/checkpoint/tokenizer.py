"""A checkpoint's CLIP tokenizer as the one file that the page reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsd.checkpoint.hub import fetch
from wsd.errors import CheckpointError
from wsd.models.registry import Tokenizer
from wsd.util.hashing import canonical_json

_PATTERNS = ("tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json")


def load_tokenizer(folder: Path, pad_token: str | None = None) -> Any:
    """Return transformers' CLIP tokenizer of a folder.

    Args:
        folder: with ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``.
        pad_token: what fills a text up; None for what the files say.
    """
    from transformers import CLIPTokenizer

    more: dict[str, Any] = {"pad_token": pad_token} if pad_token else {}
    # A folder here, not a name on the hub.
    return CLIPTokenizer.from_pretrained(folder, **more)  # nosec B615


def find_tokenizer(
    checkpoint: Path, entry: Tokenizer, given: Path | None
) -> tuple[Path, str | None]:
    """Return a tokenizer's folder, and what pads where its files do not say.

    Args:
        checkpoint: a diffusers folder, or a file.
        entry: which of its tokenizers.
        given: the folder to take if the checkpoint has none.

    Raises:
        CheckpointError: if there is none and the published one cannot be fetched.
    """
    own = checkpoint / entry.name
    if own.is_dir():
        return own, None
    if given is not None or entry.hub_id is None:
        return given or entry.fallback, entry.pad_token
    try:
        return fetch(entry.hub_id, _PATTERNS), entry.pad_token
    except CheckpointError as error:
        raise CheckpointError(
            f"{checkpoint} brings no tokenizer, and {error.message}",
            "pass --tokenizer FOLDER with vocab.json and merges.txt of CLIP",
        ) from error


def tokenizer_file(
    checkpoint: Path, entry: Tokenizer, given: Path | None = None
) -> tuple[bytes, dict[str, int]]:
    """Return a tokenizer as ``tokenizer.json`` and the settings around it.

    Padding and truncation are left out of the file: the page pads with
    ``pad_token_id`` and cuts to ``max_length``, as the diffusers pipelines do.

    Args:
        checkpoint: a diffusers folder, or a file.
        entry: which of its tokenizers.
        given: as for :func:`find_tokenizer`.

    Returns:
        (canonical JSON bytes, max_length and token ids).

    Raises:
        CheckpointError: if the files are not a CLIP tokenizer's.
    """
    source, pad_token = find_tokenizer(checkpoint, entry, given)
    try:
        tokenizer = load_tokenizer(source, pad_token)
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
