"""A checkpoint's CLIP tokenizers: find their files, check them, and write each as one file.

A tokenizer must suit the text encoder that reads its ids. :func:`open_tokenizer` compares the two,
before anything long begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsd.checkpoint.hub import fetch
from wsd.checkpoint.weight_source import TokenizerFiles, WeightSource
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer
from wsd.util.hashing import canonical_json
from wsd.util.json_reader import read_json, read_text

_TABLES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
_MERGES = "merges.txt"
# The files among them that hold settings and special tokens.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_HINT = "give it vocab.json and merges.txt of CLIP, or tokenizer.json"
# Settings that would change the ids, and the values that the browser implements. Other settings of
# tokenizer_config.json change nothing: transformers' CLIPTokenizer ignores them, or uses them for
# work that WSD does not do.
_SUPPORTED = {"padding_side": "right", "truncation_side": "right", "split_special_tokens": False}
# transformers then takes the pooled state at the highest id, as CLIP's own code does.
_LEGACY_END = 2


def load_tokenizer(folder: Path, pad_token: str | None = None) -> Any:
    """Return transformers' CLIP tokenizer of a folder, as it is.

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
        return TokenizerFiles(fetch(entry.hub_id, (*_TABLES, _MERGES)), entry.pad_token)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source.provenance} has no tokenizer, and {error.message}",
            "pass --tokenizer FOLDER with vocab.json and merges.txt of CLIP",
        ) from error


def open_tokenizer(family: Family, source: WeightSource, entry: Tokenizer) -> Any:
    """Return transformers' tokenizer of a text encoder, checked against the encoder.

    Its ``model_max_length`` is the number of tokens that the encoder takes. Files without it, such
    as ``vocab.json`` and ``merges.txt`` alone, or with more than the encoder takes, mean that too.

    Args:
        family: what is compiled.
        source: the checkpoint's weights and files.
        entry: which of the family's tokenizers.

    Raises:
        CheckpointError: if the files are not a CLIP tokenizer's, cannot be fetched, or if the
            encoder does not take the ids that they give; the error names the token or setting.
    """
    files = find_tokenizer(source, entry)
    tokenizer = _load(files)
    encoder = next(c for c in family.components if c.id == entry.component)
    _check_length(files.folder, tokenizer, encoder)
    _check_ids(files.folder, tokenizer, encoder)
    if family.conditioning.encoder(encoder.id).pooled:
        own = source.component_config(encoder) or {}
        _check_end(files.folder, tokenizer, encoder, {**encoder.config, **own})
    tokenizer.model_max_length = encoder.config["max_position_embeddings"]
    return tokenizer


def check_tokenizers(family: Family, source: WeightSource, *, fetched: bool) -> None:
    """Check each tokenizer against its encoder.

    Args:
        family: what is compiled.
        source: the checkpoint's weights and files.
        fetched: whether a tokenizer that the checkpoint lacks is fetched now; False leaves it for
            later.

    Raises:
        CheckpointError: as :func:`open_tokenizer`.
    """
    for entry in family.tokenizers:
        if fetched or entry.hub_id is None or source.tokenizer_files(entry) is not None:
            open_tokenizer(family, source, entry)


def tokenizer_file(tokenizer: Any) -> tuple[bytes, dict[str, int]]:
    """Return a tokenizer as ``tokenizer.json`` and the settings around it.

    Padding and truncation are left out of the file: the page pads with
    ``pad_token_id`` and cuts to ``max_length``, as the diffusers pipelines do.

    Args:
        tokenizer: what :func:`open_tokenizer` returned.

    Returns:
        (canonical JSON bytes, max_length and token ids).
    """
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    table["padding"] = table["truncation"] = None
    return canonical_json(table), {
        "max_length": int(tokenizer.model_max_length),
        "bos_token_id": int(tokenizer.bos_token_id),
        "eos_token_id": int(tokenizer.eos_token_id),
        "pad_token_id": int(tokenizer.pad_token_id),
    }


def _load(files: TokenizerFiles) -> Any:
    """Load a tokenizer whose files are what they should be.

    transformers itself makes a tokenizer of three tokens where there are no files at all, and one
    of single letters where the files are another kind of tokenizer's.
    """
    folder = files.folder
    tables = {
        name: read_json(folder / name, CheckpointError, _HINT)
        for name in _TABLES
        if (folder / name).exists()
    }
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise CheckpointError(f"{folder / name}: not a JSON object", _HINT)
    if (whole := tables.get("tokenizer.json")) is not None:
        model = whole.get("model")
        kind = model.get("type") if isinstance(model, dict) else None
        if kind != "BPE":
            raise CheckpointError(
                f"{folder / 'tokenizer.json'}: model type is {kind!r}, but CLIP's is 'BPE'", _HINT
            )
    elif "vocab.json" not in tables or not (folder / _MERGES).exists():
        missing = "merges.txt" if "vocab.json" in tables else "vocab.json or tokenizer.json"
        raise CheckpointError(f"{folder}: {missing} is missing", _HINT)
    else:
        read_text(folder / _MERGES, CheckpointError, _HINT)
    for name in _SETTINGS:
        _check_settings(folder / name, tables.get(name, {}))
    try:
        tokenizer = load_tokenizer(folder, files.pad_token)
    except Exception as error:  # tokenizers raises Exception itself
        raise CheckpointError(f"{folder}: not a CLIP tokenizer ({error})", _HINT) from error
    return tokenizer


def _check_settings(path: Path, table: Mapping[str, Any]) -> None:
    """Refuse settings that the browser does not implement, and those that transformers trips on."""
    for key, supported in _SUPPORTED.items():
        if (found := table.get(key, supported)) != supported:
            raise CheckpointError(
                f"{path}: {key} is {found!r}, but the browser implements {supported!r}",
                f"set {key} to {json.dumps(supported)}, if the checkpoint was trained so",
            )
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        if table.get(key, "") is None:
            raise CheckpointError(
                f"{path}: {key} is null, but CLIP has one", f"name {key}, or leave it out"
            )
    length = table.get("model_max_length")
    if isinstance(length, bool) or not isinstance(length, int | float | None):
        raise CheckpointError(
            f"{path}: model_max_length is {length!r}, which is no number",
            "set it to the number of tokens that the text encoder takes, or leave it out",
        )


def _check_length(folder: Path, tokenizer: Any, encoder: Component) -> None:
    """Refuse a tokenizer that cuts texts to fewer tokens than the compiled encoder takes."""
    tokens = encoder.config["max_position_embeddings"]
    if tokenizer.model_max_length < tokens:
        raise CheckpointError(
            f"{folder / 'tokenizer_config.json'}: model_max_length is "
            f"{tokenizer.model_max_length}, but {encoder.id} takes {tokens} tokens",
            f"set model_max_length to {tokens}: encoders are compiled for all their positions",
        )


def _check_ids(folder: Path, tokenizer: Any, encoder: Component) -> None:
    """Refuse tokens beyond the encoder's embedding table: a GPU reads something else there."""
    count = encoder.config["vocab_size"]
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if highest >= count:
        raise CheckpointError(
            f"{folder}: token {token!r} has the id {highest}, "
            f"but {encoder.id} has {count} embeddings",
            "take the encoder's own tokenizer; tokens that textual inversion added need an encoder "
            "that was saved with them",
        )


def _check_end(folder: Path, tokenizer: Any, encoder: Component, config: Mapping[str, Any]) -> None:
    """Refuse an end token at which transformers does not take the encoder's pooled state.

    The browser takes it at a text's first end token.
    """
    end = tokenizer.eos_token_id
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    wanted = config.get("eos_token_id", end)
    if wanted == _LEGACY_END and end != highest:
        raise CheckpointError(
            f"{folder}: the end token {tokenizer.eos_token!r} has the id {end}, but {encoder.id} "
            f"takes its pooled state at the highest id, {highest} ({token!r})",
            f"set eos_token_id in {encoder.folder}/config.json to {end}",
        )
    if wanted not in (_LEGACY_END, end):
        raise CheckpointError(
            f"{folder}: the end token {tokenizer.eos_token!r} has the id {end}, but "
            f"{encoder.folder}/config.json has eos_token_id {wanted}",
            "take the encoder's own tokenizer, or correct eos_token_id",
        )
