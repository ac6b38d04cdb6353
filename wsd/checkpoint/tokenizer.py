"""A checkpoint's tokenizers: find their files, check them, and write each as one file.

A tokenizer must suit the text encoder that reads its ids. :func:`open_tokenizer` compares the two,
before anything long begins.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsd.checkpoint.hub import fetch
from wsd.checkpoint.links import check_inside
from wsd.checkpoint.weight_source import TokenizerFiles, WeightSource
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer, TokenizerKind
from wsd.util.hashing import canonical_json
from wsd.util.json_reader import MAX_MARKS, parse_file, read_text

# A tokenizer of any kind as one file.
_WHOLE = "tokenizer.json"
# The files that hold settings and special tokens.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_ADDED = "added_tokens.json"
# Commas and brackets of each of these: enough for six hundred added tokens, of eight each.
# transformers copies all settings several times, and compares each special token with all before
# it, which takes ten seconds for fifty thousand.
_MAX_MARKS = 5000
# Settings that would change the ids, and the values that the browser implements. Other settings of
# tokenizer_config.json change nothing: transformers ignores them, or uses them for work that WSD
# does not do.
_SUPPORTED = {"padding_side": "right", "truncation_side": "right", "split_special_tokens": False}
# How settings end that name files; transformers would read those in place of a folder's own.
_NAMES_FILES = ("_file", "_files")
# One of them in files that transformers wrote: it says where they were once read from.
_HARMLESS = ("special_tokens_map_file",)


def list_tokenizer_files(kind: TokenizerKind) -> tuple[str, ...]:
    """Return the names of all files that a tokenizer of a kind may be made of."""
    return (_WHOLE, *_SETTINGS, _ADDED, *kind.tables, *kind.texts)


def load_tokenizer(kind: TokenizerKind, folder: Path, pad_token: str | None = None) -> Any:
    """Return transformers' tokenizer of a folder, as it is.

    Args:
        kind: which class reads the files.
        folder: with the files of the kind, or ``tokenizer.json``.
        pad_token: token that fills a text up; None for what the files say.
    """
    import transformers

    more: dict[str, Any] = {"pad_token": pad_token} if pad_token else {}
    # The argument is a folder on this machine, not a name on the hub.
    return getattr(transformers, kind.class_name).from_pretrained(folder, **more)  # nosec B615


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
        folder = fetch(entry.hub_id, list_tokenizer_files(entry.kind))
        return TokenizerFiles(folder, entry.pad_token)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source.provenance} has no tokenizer, and {error.message}",
            f"pass --tokenizer FOLDER with {_name_files(entry.kind)}",
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
        CheckpointError: if the files are not such a tokenizer's, cannot be fetched, or if the
            encoder does not take the ids that they give; the error names the token or setting.
    """
    files = find_tokenizer(source, entry)
    tokenizer = _load(files, entry.kind)
    encoder = next(c for c in family.components if c.id == entry.component)
    _check_length(files.folder, tokenizer, encoder)
    _check_ids(files.folder, tokenizer, encoder)
    if family.conditioning.encoder(encoder.id).pooled:
        own = source.component_config(encoder) or {}
        _check_end(files.folder, tokenizer, entry, encoder, {**encoder.config, **own})
    tokenizer.model_max_length = encoder.tokens
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
        (canonical JSON bytes, max_length in tokens and ids of the special tokens).
    """
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    table["padding"] = table["truncation"] = None
    begins = tokenizer.bos_token_id is not None
    begin = {"bos_token_id": int(tokenizer.bos_token_id)} if begins else {}
    return canonical_json(table), {
        "max_length": int(tokenizer.model_max_length),
        **begin,
        "eos_token_id": int(tokenizer.eos_token_id),
        "pad_token_id": int(tokenizer.pad_token_id),
    }


def _name_files(kind: TokenizerKind) -> str:
    """Return what to give for a tokenizer of a kind, in words."""
    parts = " and ".join((*kind.tables, *kind.texts))
    return f"{parts} of {kind.title}, or {_WHOLE}" if parts else f"{_WHOLE} of {kind.title}"


def _load(files: TokenizerFiles, kind: TokenizerKind) -> Any:
    """Load a tokenizer whose files are what they should be.

    transformers itself makes a tokenizer of three tokens where there are no files at all, and one
    of single letters where the files are another kind of tokenizer's.
    """
    folder = files.folder
    hint = f"give it {_name_files(kind)}"
    texts = _read_texts(files, kind, hint)
    tables = {
        name: parse_file(
            text,
            folder / name,
            CheckpointError,
            hint,
            max_marks=_MAX_MARKS if name in (*_SETTINGS, _ADDED) else MAX_MARKS,
        )
        for name, text in texts.items()
        if name not in kind.texts
    }
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise CheckpointError(f"{folder / name}: not a JSON object", hint)
    if (whole := tables.get(_WHOLE)) is not None:
        model = whole.get("model")
        found = model.get("type") if isinstance(model, dict) else None
        if found != kind.model:
            raise CheckpointError(
                f"{folder / _WHOLE}: model type is {found!r}, but {kind.title}'s is {kind.model!r}",
                hint,
            )
    else:
        _check_parts(folder, texts, kind, hint)
    for name in _SETTINGS:
        if name in tables:
            _check_settings(folder / name, tables[name], kind)
            texts[name] = _drop_file_names(tables[name])
    # transformers gets what was checked and nothing else: in the folder itself it would also read
    # templates of chats, of any size, and files that are chosen by their names.
    with tempfile.TemporaryDirectory() as checked:
        for name, text in texts.items():
            (Path(checked) / name).write_bytes(text.encode())
        try:
            return load_tokenizer(kind, Path(checked), files.pad_token)
        except Exception as error:  # tokenizers raises Exception itself
            said = str(error).replace(checked, str(folder))
            raise CheckpointError(
                f"{folder}: not a {kind.title} tokenizer ({said})", hint
            ) from error


def _read_texts(files: TokenizerFiles, kind: TokenizerKind, hint: str) -> dict[str, str]:
    """Return the name and text of each file of a tokenizer that is there."""
    root = files.checkpoint or files.folder
    return {
        name: read_text(check_inside(files.folder / name, root), CheckpointError, hint)
        for name in list_tokenizer_files(kind)
        if (files.folder / name).exists()
    }


def _drop_file_names(settings: Mapping[str, Any]) -> str:
    """Return settings as JSON without names of files, which transformers would read."""
    return json.dumps({k: v for k, v in settings.items() if not k.endswith(_NAMES_FILES)})


def _check_parts(folder: Path, texts: Mapping[str, str], kind: TokenizerKind, hint: str) -> None:
    """Refuse a folder that lacks a file of a tokenizer in parts."""
    parts = (*kind.tables, *kind.texts)
    missing = [name for name in parts if name not in texts]
    if missing:
        shown = f"{missing[0]} or {_WHOLE}" if len(missing) == len(parts) else missing[0]
        raise CheckpointError(f"{folder}: {shown} is missing", hint)


def _check_settings(path: Path, table: Mapping[str, Any], kind: TokenizerKind) -> None:
    """Refuse settings that the browser does not implement, and those that transformers trips on."""
    for key, supported in _SUPPORTED.items():
        if (found := table.get(key, supported)) != supported:
            raise CheckpointError(
                f"{path}: {key} is {found!r}, but the browser implements {supported!r}",
                f"set {key} to {json.dumps(supported)}, if the checkpoint was trained so",
            )
    for key, value in table.items():
        if key.endswith(_NAMES_FILES) and key not in _HARMLESS and value is not None:
            raise CheckpointError(
                f"{path}: {key} names another file, but {kind.title}'s are found by their names",
                f"leave {key} out, and name the files {' and '.join((*kind.tables, *kind.texts))}",
            )
    for key in kind.special:
        if table.get(key, "") is None:
            raise CheckpointError(
                f"{path}: {key} is null, but {kind.title} has one", f"name {key}, or leave it out"
            )
    length = table.get("model_max_length")
    if isinstance(length, bool) or not isinstance(length, int | float | None):
        raise CheckpointError(
            f"{path}: model_max_length is {length!r}, which is no number",
            "set it to the number of tokens that the text encoder takes, or leave it out",
        )


def _check_length(folder: Path, tokenizer: Any, encoder: Component) -> None:
    """Refuse a tokenizer that cuts texts to fewer tokens than the compiled encoder takes."""
    tokens = encoder.tokens
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


def _check_end(
    folder: Path, tokenizer: Any, entry: Tokenizer, encoder: Component, config: Mapping[str, Any]
) -> None:
    """Refuse an end token at which transformers does not take the encoder's pooled state.

    The browser takes it at a text's first end token.
    """
    end = tokenizer.eos_token_id
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    wanted = config.get("eos_token_id", end)
    if wanted == entry.kind.highest_end and end != highest:
        raise CheckpointError(
            f"{folder}: the end token {tokenizer.eos_token!r} has the id {end}, but {encoder.id} "
            f"takes its pooled state at the highest id, {highest} ({token!r})",
            "take the encoder's own tokenizer, whose end token has the highest id",
        )
    if wanted not in (entry.kind.highest_end, end):
        raise CheckpointError(
            f"{folder}: the end token {tokenizer.eos_token!r} has the id {end}, but "
            f"{encoder.folder}/config.json has eos_token_id {wanted}",
            "take the encoder's own tokenizer",
        )
