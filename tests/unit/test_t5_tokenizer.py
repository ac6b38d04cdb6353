"""The browser's tokenizer of T5 against transformers': Unigram, with a table of characters."""

import random
import unicodedata

import pytest
from transformers import T5Tokenizer

from charsmaps import compile_charsmap
from texts import BY_HAND, every_character, random_strings
from training.vocabulary import WORDS, write_t5_vocabulary
from wsd.checkpoint.tokenizer import load_tokenizer, tokenizer_file
from wsd.models.registry import find_family
from wsd.models.sd35.t5 import SMALL_TOKENIZER, T5_TOKENIZER

SPACE = "\u2581"
LENGTH = 256
T5_TEXTS = [
    *(
        text.replace("<|startoftext|>", "<pad>").replace("<|endoftext|>", "</s>")
        for text in BY_HAND
    ),
    "<extra_id_0> red <extra_id_7>red</s>",
    "a\u2581b \u2581\u2581c \u2581",
    "\u0085a\ufeffb \u2028c\u3000d\u200be",
    "ﬁﬂ ½ ² ㎏ ㍿ Ⅷ ｱﾞ \uff5e ﷺ",
    "e\u0301\u0301\u0301\u0301 \u1100\u1161\u11a8 क्षि 🇩🇪🇫🇷",
    "\0 a\0b \x7f\x01\x0b",
]


@pytest.fixture(scope="module")
def tokenizer():
    """Return T5's tokenizer with a small vocabulary, and NFKC of many characters as its table."""
    generator = random.Random(1)
    words = sorted({word for word in WORDS if word.isascii()})
    letters = [chr(code) for code in range(33, 127)] + list("éßñåçøœюябвгд你好世界")
    pieces = {word[a:b] for word in words for a in range(3) for b in range(a + 1, len(word) + 1)}
    names = [
        SPACE,
        *(SPACE + word for word in words),
        *sorted(pieces - set(letters)),
        *letters,
        *(SPACE + letter for letter in letters[:60]),
    ]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    # T5's scores are logarithms of probabilities with six digits, and several are equal.
    vocabulary += [(name, round(-generator.uniform(2, 14), 2)) for name in dict.fromkeys(names)]
    vocabulary += [(f"<extra_id_{number}>", 0.0) for number in range(99, -1, -1)]
    made = T5Tokenizer(
        vocab=vocabulary, _spm_precompiled_charsmap=compile_charsmap(list_replacements())
    )
    made.model_max_length = LENGTH
    return made


def list_replacements():
    """Return what nmt_nfkc of SentencePiece mostly does: NFKC, and spaces of every kind."""
    found = {}
    for code in (*range(0xA0, 0x3400), *range(0xF900, 0xFFF0), *range(0x1F100, 0x1F200)):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Cs", "Co"):
            continue
        if (normal := unicodedata.normalize("NFKC", character)) != character:
            found[character] = normal
            # As the table of SentencePiece has them: the character by its parts.
            if (parts := unicodedata.normalize("NFD", character)) != character:
                found[parts] = normal
    for code in range(0xC0, 0x180):
        if (parts := unicodedata.normalize("NFD", chr(code))) != chr(code):
            found[parts] = chr(code)
    found |= dict.fromkeys("\t\n\r\u0085\u1680\u200b\u2028\u2029\ufeff", " ")
    found |= dict.fromkeys(map(chr, (*range(1, 9), 11, *range(14, 32), 127)), "")
    return {key: value for key, value in found.items() if "\0" not in key}


def compare(javascript, tokenizer, texts):
    """Return the texts whose ids differ between transformers and the browser's code."""
    data, entry = tokenizer_file(tokenizer)
    assert "bos_token_id" not in entry
    expected = tokenizer(texts, padding="max_length", truncation=True).input_ids
    found = javascript(
        {"call": "tokenize", "tokenizer": data.decode(), "entry": entry, "texts": texts}
    )
    return [text for text, e, f in zip(texts, expected, found, strict=True) if e != f]


@pytest.mark.slow
def test_strings_by_hand(javascript, tokenizer):
    assert compare(javascript, tokenizer, T5_TEXTS) == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [800, pytest.param(4000, marks=pytest.mark.full)])
def test_thousands_of_strings(javascript, tokenizer, count):
    assert compare(javascript, tokenizer, list(random_strings(count))) == []


@pytest.mark.slow
def test_a_long_text_is_cut_and_still_ends(javascript, tokenizer):
    texts = ["red " * count for count in (254, 255, 256, 400)]
    assert compare(javascript, tokenizer, texts) == []
    ids = tokenizer(texts, padding="max_length", truncation=True).input_ids
    assert {len(row) for row in ids} == {LENGTH}
    assert {row[-1] for row in ids[1:]} == {tokenizer.eos_token_id}


@pytest.mark.exhaustive
def test_every_character_of_unicode(javascript, tokenizer):
    assert compare(javascript, tokenizer, every_character("a", 20)) == []


@pytest.mark.slow
def test_the_table_is_what_decides(tokenizer):
    """The vocabulary and the table of the fixture are used: else the tests above compare little."""
    ids = tokenizer("ﬁre", add_special_tokens=False).input_ids
    assert ids == tokenizer("fire", add_special_tokens=False).input_ids
    *words, end = tokenizer.convert_ids_to_tokens(tokenizer("red circle").input_ids)
    assert "".join(words) == f"{SPACE}red{SPACE}circle"
    assert len(words) < len("red circle")
    assert end == "</s>"
    unknown = tokenizer("\u0416\u0416\u0416", add_special_tokens=False).input_ids
    assert unknown.count(tokenizer.unk_token_id) == 1


@pytest.mark.slow
def test_the_small_vocabulary_is_what_its_program_writes(tmp_path):
    write_t5_vocabulary(tmp_path)
    for path in SMALL_TOKENIZER.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    shipped = find_family("tiny-sd35").weights / "tokenizer_3" / "tokenizer.json"
    assert shipped.read_bytes() == (tmp_path / shipped.name).read_bytes()


@pytest.mark.slow
def test_the_small_vocabulary_in_the_browser(javascript):
    """It writes capital letters small, as CLIP's does, and has words, letters and nothing else."""
    small = load_tokenizer(T5_TOKENIZER, SMALL_TOKENIZER)
    small.model_max_length = LENGTH
    assert compare(javascript, small, [*T5_TEXTS, "A Large RED circle!", "xyz", ""]) == []
    assert compare(javascript, small, list(random_strings(300))) == []
    ids = small("A Large RED circle").input_ids
    assert ids == small("a large red circle").input_ids
    assert len(ids) == 5
