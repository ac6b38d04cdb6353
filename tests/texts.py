"""Texts for tests of tokenizers: of many scripts, with odd spaces, and at random."""

import random
import sys
import unicodedata

from training.vocabulary import WORDS

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
    "ΣΑΣ Σ. αΣ ὈΔΥΣΣΕΎΣ ΣΑΣ",
    "J\u030c \u1e9e \u0130 \u212a",
    "\u200d\ufeff \ufeff\u200d \u0085 a\ufeffb",
    "<|STARTOFTEXT|>",
    "<|EndOfText|><|endoftext|>!!",
]


def assigned_characters():
    """Return the characters that this Python knows; newer versions of Unicode assign more."""
    return [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]


def random_strings(count):
    """Words, digits, marks and any assigned character of Unicode, in any order."""
    generator = random.Random(0)
    assigned = assigned_characters()
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


def every_character(letter, count):
    """Return every character of Unicode in texts of so many words, each of one character.

    It stands beside a letter, beside a digit and beside itself, so that every pattern sees it.
    """
    words = [f"{letter}{each}1{each}{each}" for each in assigned_characters()]
    return [" ".join(words[start : start + count]) for start in range(0, len(words), count)]
