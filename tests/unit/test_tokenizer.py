"""The browser's tokenizer against transformers', and which tokenizers suit an encoder."""

import itertools
import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from marks import some_of
from mutations import MOST_SECONDS_OF_LARGE
from texts import BY_HAND, every_character, random_strings
from timing import at_most
from training.vocabulary import write_vocabulary
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.checkpoint.tokenizer import load_tokenizer, open_tokenizer, tokenizer_file
from wsd.errors import CheckpointError
from wsd.models.registry import find_family
from wsd.models.stable_diffusion.clip import CLIP_TOKENIZER


def compare(javascript, folder, texts, tokens=77):
    """Return the texts whose ids differ between transformers and the browser's code."""
    python = load_tokenizer(CLIP_TOKENIZER, folder)
    python.model_max_length = tokens
    data, entry = tokenizer_file(python)
    expected = python(texts, padding="max_length", truncation=True).input_ids
    found = javascript(
        {"call": "tokenize", "tokenizer": data.decode(), "entry": entry, "texts": texts}
    )
    return [text for text, e, f in zip(texts, expected, found, strict=True) if e != f]


@pytest.fixture(scope="module")
def fallback(family):
    [entry] = family.tokenizers
    return entry.fallback


@pytest.mark.slow
@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.full)])
def test_thousands_of_strings(javascript, fallback, count):
    assert compare(javascript, fallback, [*BY_HAND, *random_strings(count)]) == []


@pytest.mark.exhaustive
def test_every_character_of_unicode(javascript, fallback):
    """Beside a letter, beside a digit and beside itself, so that every pattern sees it."""
    different = compare(javascript, fallback, every_character("A", 100), tokens=2500)
    # Name the characters, not the texts that they are in.
    assert compare(javascript, fallback, " ".join(different).split(" ")) == []
    assert different == []


def test_a_long_text_is_cut_and_still_ends(javascript, fallback):
    assert compare(javascript, fallback, ["red " * 200, "red " * 75, "red " * 76]) == []


ADDED_TEXTS = [
    "".join(parts)
    for parts in itertools.product(
        ["", "x", "ΑΣ", "<|EndOfText|>", "\u0301", "_", "²", " ", "\u3000\u0085", "\ufeff", "."],
        ["cat", "CAT", "<cat-toy>", "<Cat-Toy>", "<cat-toy>s", "cat<cat-toy>", "cat cat"],
        ["", "x", "ª", "\u200d", "_", "  red", "\ufeff", "<|STARTOFTEXT|>", "!"],
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("content", some_of(["<cat-toy>", "cat", "<CAT-toy>"], 3))
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(
    "flags", [(), ("special",), ("single_word",), ("lstrip",), ("rstrip",),
              ("single_word", "lstrip", "rstrip")], ids="+".join,
)  # fmt: skip
def test_tokens_that_were_added(javascript, fallback, tmp_path, content, normalized, flags):
    """Textual inversion adds tokens, and every program gives them other flags."""
    plain = dict.fromkeys(("special", "single_word", "lstrip", "rstrip"), False)
    plain["normalized"] = normalized
    tokens = {
        "720": {**plain, **dict.fromkeys(flags, True), "content": content},
        "721": {**plain, "content": content + "s"},
    }
    copy_tokenizer(fallback, tmp_path, {"tokenizer_config.json": {"added_tokens_decoder": tokens}})
    assert compare(javascript, tmp_path, ADDED_TEXTS) == []


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("pad", ["!", "<|endoftext|>"])
def test_special_tokens_as_published_files_have_them(
    javascript, fallback, tmp_path, normalized, pad
):
    flags = {**dict.fromkeys(("lstrip", "rstrip", "single_word"), False), "normalized": normalized}
    special = {
        "bos_token": {**flags, "content": "<|startoftext|>"},
        "eos_token": {**flags, "content": "<|endoftext|>"},
        "pad_token": pad,
    }
    copy_tokenizer(fallback, tmp_path, {"special_tokens_map.json": special})
    assert compare(javascript, tmp_path, BY_HAND) == []


# Settings of published files and of transformers, and values that somebody may give them.
SETTINGS = {
    **dict.fromkeys(
        (
            "add_bos_token", "add_eos_token", "add_prefix_space", "do_lower_case", "use_fast",
            "clean_up_tokenization_spaces", "legacy", "trim_offsets",
        ),
        (True, False, None),
    ),
    "errors": ("strict", "replace"),
    "tokenizer_class": ("GPT2Tokenizer", "CLIPTokenizerFast", "T5Tokenizer"),
    "unk_token": ("<|startoftext|>", "red</w>", ""),
    "bos_token": ("red</w>", "<|endoftext|>"),
    "eos_token": ("red</w>", {"content": "<|endoftext|>", "lstrip": True, "single_word": True}),
    "pad_token": ("!", "red</w>", "<|startoftext|>"),
    "mask_token": ("red</w>",),
    "sep_token": ("red</w>",),
    "additional_special_tokens": (["red</w>"], ["red"], []),
    "extra_special_tokens": ({"image_token": "red"}, ["red"]),
    "max_length": (5,),
    "max_len": (20,),
    "stride": (2,),
    "padding": ("max_length",),
    "truncation_strategy": ("only_first", "do_not_truncate"),
    "pad_to_multiple_of": (80,),
    "backend": ("tokenizers", "sentencepiece", "custom"),
    "vocab": (None, {"a": 0}),
    "normalizer": (None, "x"),
    "special_tokens_pattern": ("cls_sep", "bos", "none"),
    "unheard_of": (1, None, {}),
}  # fmt: skip
SETTINGS_TEXTS = ["", "RED  circle's", "<|endoftext|> red", "red</w> red", "red " * 90, "É ΣΑΣ 12"]


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.full) for n in range(1, 9))]
)
def test_no_setting_gives_other_ids_in_silence(javascript, family, fallback, tmp_path, file, seed):
    """Whatever settings are added or changed: transformers' ids, or an error."""
    generator = random.Random(f"{file} {seed}")
    folder = link_checkpoint(family, tmp_path / "checkpoint", "tokenizer")
    compared = 0
    for trial in range(15):
        names = generator.sample(list(SETTINGS), generator.randint(1, 3))
        given = copy_tokenizer(
            fallback, tmp_path / str(trial),
            {file: {name: generator.choice(SETTINGS[name]) for name in names}},
        )  # fmt: skip
        try:
            source = DiffusersFolder(folder, family, given)
            ours = open_tokenizer(family, source, family.tokenizers[0])
        except CheckpointError:
            continue
        theirs = load_tokenizer(CLIP_TOKENIZER, given, family.tokenizers[0].pad_token)
        # As the pipelines of diffusers call it.
        expected = theirs(
            SETTINGS_TEXTS, padding="max_length", max_length=77, truncation=True
        ).input_ids
        data, entry = tokenizer_file(ours)
        found = javascript(
            {"call": "tokenize", "tokenizer": data.decode(), "entry": entry,
             "texts": SETTINGS_TEXTS}
        )  # fmt: skip
        assert found == expected, names
        compared += 1
    assert compared


def copy_tokenizer(source, folder, tables):
    """Copy a tokenizer's vocabulary and merges, and write tables beside or over them."""
    folder.mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((source / name).read_bytes())
    for name, table in tables.items():
        if table is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(table if isinstance(table, str) else json.dumps(table))
    return folder


def link_checkpoint(family, folder, *without):
    """Copy the shipped checkpoint of a family without some of its folders; weights are links."""
    shutil.copytree(
        family.weights, folder, copy_function=copy_or_link,
        ignore=lambda _, names: {*without} & {*names},
    )  # fmt: skip
    return folder


def copy_or_link(source, target):
    if source.endswith(".safetensors"):
        Path(target).symlink_to(source)
    else:
        shutil.copyfile(source, target)


@pytest.mark.slow
@pytest.mark.parametrize("length", ["absent", None, 77, 78, 512, 1.5e9, 10**30], ids=str)
def test_the_encoder_says_how_long_a_text_is(family, fallback, tmp_path, length):
    """transformers writes 10^30 where nobody said anything; vocabulary and merges are enough."""
    folder = link_checkpoint(family, tmp_path / "checkpoint", "tokenizer")
    config = {} if length == "absent" else {"tokenizer_config.json": {"model_max_length": length}}
    copy_tokenizer(fallback, folder / "tokenizer", config)
    opened = open_checkpoint(folder, family)
    tokenizer = open_tokenizer(opened.family, opened.source, family.tokenizers[0])
    data, settings = tokenizer_file(tokenizer)
    shipped = open_checkpoint(family.weights, family)
    assert (data, settings) == tokenizer_file(
        open_tokenizer(family, shipped.source, family.tokenizers[0])
    )
    assert settings["max_length"] == 77
    assert len(tokenizer("red", padding="max_length").input_ids) == 77


@pytest.mark.slow
def test_added_tokens_come_with_the_encoder_that_has_their_embeddings(family, fallback, tmp_path):
    """As diffusers saves a pipeline after training by textual inversion."""
    folder = link_checkpoint(family, tmp_path / "copy", "tokenizer", "text_encoder")
    copy_tokenizer(fallback, folder / "tokenizer", {"added_tokens.json": {"<cat-toy>": 720}})
    source, target = family.weights / "text_encoder", folder / "text_encoder"
    target.mkdir()
    weights = load_file(source / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("token_embedding.weight"))
    weights[name] = torch.cat([weights[name], weights[name][:1]])
    save_file(weights, target / "model.safetensors")
    config = json.loads((source / "config.json").read_text()) | {"vocab_size": 721}
    (target / "config.json").write_text(json.dumps(config))
    opened = open_checkpoint(folder, family)
    tokenizer = open_tokenizer(opened.family, opened.source, family.tokenizers[0])
    assert tokenizer("red <cat-toy>").input_ids == [718, 693, 720, 719]


CONFIG, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
NAMES = [f"<{number}>" for number in range(50_000)]
WRONG = {
    "no files": ({"vocab.json": None, "merges.txt": None}, "vocab.json or tokenizer.json is miss"),
    "no merges": ({"merges.txt": None}, "merges.txt is missing"),
    "no vocabulary": ({"vocab.json": None}, "is missing"),
    "short": ({CONFIG: {"model_max_length": 20}}, "model_max_length is 20, but text_encoder take"),
    "text as length": ({CONFIG: {"model_max_length": "77"}}, "is '77', which is no number"),
    "flag as length": ({CONFIG: {"model_max_length": True}}, "is True, which is no number"),
    "no length": ({CONFIG: {"model_max_length": -1}}, "model_max_length is -1, but text_encoder t"),
    "padding": ({CONFIG: {"padding_side": "left"}}, "padding_side is 'left'"),
    "truncation": ({CONFIG: {"truncation_side": "left"}}, "truncation_side is 'left'"),
    "split": ({CONFIG: {"split_special_tokens": True}}, "split_special_tokens is True"),
    "null": ({CONFIG: {"bos_token": None}}, "bos_token is null"),
    "null pad": ({SPECIAL: {"pad_token": None}}, "pad_token is null"),
    "begin": ({CONFIG: {"bos_token": "<s>"}}, "token '<s>' has the id 720"),
    "pad": ({SPECIAL: {"pad_token": "[PAD]"}}, "token '[PAD]' has the id 720"),
    "inversion": ({ADDED: {"<cat-toy>": 720}}, "'<cat-toy>' has the id 720, but text_encoder has"),
    "list": ({"vocab.json": [1]}, "vocab.json: not a JSON object"),
    "deep": ({CONFIG: "[" * 4000}, "nested deeper"),
    "broken": ({SPECIAL: '{"bos_token": '}, "not JSON at line 1"),
    "texts as ids": ({"vocab.json": {"a": "0"}}, "not a CLIP tokenizer"),
    "negative": ({"vocab.json": {"a": -1}}, "not a CLIP tokenizer"),
    "merges": ({"merges.txt": "#version: 0.2\nzzz qqq\n"}, "not a CLIP tokenizer"),
    "unigram": ({"tokenizer.json": {"model": {"type": "Unigram"}}}, "'Unigram', but CLIP's is 'B"),
    "words": ({"tokenizer.json": {"model": {"type": "WordLevel"}}}, "'WordLevel'"),
    "nothing": ({"tokenizer.json": {}}, "model type is None"),
    # transformers takes seconds for these.
    "settings": ({CONFIG: {f"x{n}": "" for n in range(200_000)}}, "more than 5000 commas"),
    "special": ({SPECIAL: {"additional_special_tokens": NAMES}}, "more than 5000 commas"),
    "special too": ({CONFIG: {"extra_special_tokens": NAMES}}, "more than 5000 commas"),
    "added": ({ADDED: dict.fromkeys(NAMES, 720)}, "more than 5000 commas"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("files", "words"), WRONG.values(), ids=WRONG)
def test_a_tokenizer_that_does_not_suit_is_refused_by_name(
    family, fallback, tmp_path, files, words
):
    """When the checkpoint is opened, before anything is compiled or any weight is read."""
    folder = link_checkpoint(family, tmp_path / "checkpoint", "tokenizer")
    given = copy_tokenizer(fallback, tmp_path / "given", files)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder, family, given)
    assert words in caught.value.message
    assert str(given) in caught.value.message
    assert caught.value.hint


@pytest.mark.slow
@pytest.mark.timed
def test_as_many_special_tokens_as_are_taken_are_read_soon(family, fallback, tmp_path):
    folder = link_checkpoint(family, tmp_path / "checkpoint", "tokenizer")
    names = {"additional_special_tokens": NAMES[:4990]}
    given = copy_tokenizer(fallback, tmp_path / "given", {CONFIG: names, SPECIAL: names})
    with (
        at_most(MOST_SECONDS_OF_LARGE),
        pytest.raises(CheckpointError, match="but text_encoder has"),
    ):
        open_checkpoint(folder, family, given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("eos_token_id", "eos_token", "words"),
    [
        (719, "<|endoftext|>", None),
        (2, "<|endoftext|>", None),
        (718, "<|endoftext|>", "text_encoder_2/config.json: eos_token_id is 718"),
        (2, "red</w>", "at the highest id, 719 ('<|endoftext|>')"),
        (719, "red</w>", "the end token 'red</w>' has the id 693"),
    ],
)
def test_the_pooled_state_is_taken_where_transformers_takes_it(
    fallback, tmp_path, eos_token_id, eos_token, words
):
    family = find_family("tiny-sdxl")
    folder = link_checkpoint(family, tmp_path / "copy", "tokenizer_2", "text_encoder_2")
    copy_tokenizer(fallback, folder / "tokenizer_2", {SPECIAL: {"eos_token": eos_token}})
    source, target = family.weights / "text_encoder_2", folder / "text_encoder_2"
    target.mkdir()
    for path in source.glob("*.safetensors*"):
        (target / path.name).symlink_to(path)
    config = json.loads((source / "config.json").read_text()) | {"eos_token_id": eos_token_id}
    (target / "config.json").write_text(json.dumps(config))
    if words is None:
        open_checkpoint(folder, family)
        return
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder, family)
    assert words in caught.value.message


@pytest.mark.slow
def test_the_shipped_vocabulary_is_what_its_program_writes(family, tmp_path):
    write_vocabulary(tmp_path)
    for path in family.tokenizers[0].fallback.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
