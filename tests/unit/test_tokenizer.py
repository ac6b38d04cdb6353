"""The browser's tokenizer against transformers', on thousands of strings."""

import random
import sys
import unicodedata

import pytest
from transformers import CLIPTokenizer

from training.vocabulary import WORDS, write_vocabulary
from wsd.checkpoint.tokenizer import tokenizer_file
from wsd.checkpoint.weight_source import TokenizerFiles

BY_HAND = [
    "",
    " ",
    "a large red circle left of a small blue square",
    "it's we're I'll you'd they've I'm can't",
    "ÉCOLE  naïve\tcafé\n\nstraße İstanbul",
    "12 345 6,789.01",
    "你好 世界 こんにちは 안녕하세요 مرحبا שלום ไทย हिन्दी",
    "👩‍👩‍👧‍👦 🏳️‍🌈 😀 ✨",
    "<|startoftext|> inside <|endoftext|> text",
    "a" * 500,
    "red " * 200,
    "!?#$%&'()*+,-./:;=@[]^_`{|}~\\\"",
    "e\u0301 \u212b \ufb01 \u00a0 \u200b \u3000 \u2028",
    "\ud7ff\ue000\U0010fffd",
]


def random_strings(count):
    """Words, digits, marks and any assigned character of Unicode, in any order."""
    generator = random.Random(0)
    assigned = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    makers = [
        lambda: generator.choice(WORDS),
        lambda: generator.choice(WORDS).upper(),
        lambda: str(generator.randrange(10**6)),
        lambda: generator.choice("!?.,;:'\"()[]-_ \t\n"),
        lambda: "".join(generator.choices(assigned, k=generator.randrange(1, 6))),
        lambda: "".join(chr(generator.randrange(32, 0x250)) for _ in range(5)),
    ]
    for _ in range(count):
        parts = [generator.choice(makers)() for _ in range(generator.randrange(1, 25))]
        yield generator.choice(["", " "]).join(parts)


@pytest.fixture(scope="module")
def both(javascript, family):
    """Return a function that tokenizes texts in Python and in JavaScript."""
    [entry] = family.tokenizers
    python = CLIPTokenizer.from_pretrained(entry.fallback)
    data, settings = tokenizer_file(TokenizerFiles(entry.fallback))

    def tokenize(texts):
        expected = python(
            texts, padding="max_length", truncation=True, max_length=settings["max_length"]
        ).input_ids
        found = javascript(
            {"call": "tokenize", "tokenizer": data.decode(), "entry": settings, "texts": texts}
        )
        return expected, found

    return tokenize


@pytest.mark.slow
def test_thousands_of_strings(both):
    texts = [*BY_HAND, *random_strings(5000)]
    expected, found = both(texts)
    different = [t for t, e, f in zip(texts, expected, found, strict=True) if e != f]
    assert different == []


def test_a_long_text_is_cut_and_still_ends(both):
    expected, found = both(["red " * 200])
    assert found[0] == expected[0]
    assert len(found[0]) == 77
    assert found[0][-1] == 719


def test_the_shipped_vocabulary_is_what_its_program_writes(family, tmp_path):
    write_vocabulary(tmp_path)
    for path in family.tokenizers[0].fallback.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
