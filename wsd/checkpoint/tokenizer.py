"""A checkpoint's CLIP tokenizer: find its files, load it, and write it as one file for the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsd.checkpoint.hub import fetch
from wsd.checkpoint.weight_source import TokenizerFiles, WeightSource
from wsd.errors import CheckpointError
from wsd.models.family import Tokenizer
from wsd.util.hashing import canonical_json

_PATTERNS = ("tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json")


def load_tokenizer(folder: Path, pad_token: str | None = None) -> Any:
    """Return transformers' CLIP tokenizer of a folder.

    Args:
        folder: with ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``.
        pad_token: token that fills a text up; None for what the files say.
    """
    from transformers import CLIPTokenizer

    more: dict[str, Any] = {"pad_token": pad_token} if pad_token else {}
    # The argument is a folder on this machine, not a name on the hub.
    return CLIPTokenizer.from_pretrained(folder, **more)  # nosec B615


def find_tokenizer(source: WeightSource, entry: Tokenizer) -> TokenizerFiles:
    """Return the files of one of a checkpoint's tokenizers.

    Args:
        source: the checkpoint's weights and files.
        entry: which of the family's tokenizers.

    Raises:
        CheckpointError: if the checkpoint has none and the published one cannot be fetched.
    """
    if (found := source.tokenizer_files(entry)) is not None:
        return found
    if entry.hub_id is None:
        return TokenizerFiles(entry.fallback, entry.pad_token)
    try:
        return TokenizerFiles(fetch(entry.hub_id, _PATTERNS), entry.pad_token)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source.provenance} has no tokenizer, and {error.message}",
            "pass --tokenizer FOLDER with vocab.json and merges.txt of CLIP",
        ) from error


def tokenizer_file(files: TokenizerFiles) -> tuple[bytes, dict[str, int]]:
    """Return a tokenizer as ``tokenizer.json`` and the settings around it.

    Padding and truncation are left out of the file: the page pads with
    ``pad_token_id`` and cuts to ``max_length``, as the diffusers pipelines do.

    Args:
        files: what :func:`find_tokenizer` returned.

    Returns:
        (canonical JSON bytes, max_length and token ids).

    Raises:
        CheckpointError: if the files are not a CLIP tokenizer's.
    """
    try:
        tokenizer = load_tokenizer(files.folder, files.pad_token)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{files.folder}: not a CLIP tokenizer ({error})",
            "give it vocab.json and merges.txt, or tokenizer.json",
        ) from error
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    table["padding"] = table["truncation"] = None
    return canonical_json(table), {
        "max_length": int(tokenizer.model_max_length),
        "bos_token_id": int(tokenizer.bos_token_id),
        "eos_token_id": int(tokenizer.eos_token_id),
        "pad_token_id": int(tokenizer.pad_token_id),
    }
