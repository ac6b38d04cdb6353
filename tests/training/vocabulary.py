"""The tiny models' vocabularies: a byte-pair encoding in CLIP's file format, and one for T5.

``python -m training.vocabulary FOLDER`` writes the files that ``wsd/models/tiny/tokenizer`` holds,
and with ``--t5`` those of ``wsd/models/tiny/tokenizer_3``; a test writes them again and compares.

The layout of the first is CLIP's: 256 byte symbols, the same 256 with the end-of-word mark, one
token a merge, then the start and end tokens. Any text encodes, since every byte is a token; the
words that the tiny models know become one token each.

The second is a Unigram model as SentencePiece writes it for T5: three special tokens, a token for
each word, and one for each printable character of ASCII. A table of characters writes them small,
as CLIP's tokenizer does, since words of other letters would be unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import click

from charsmaps import compile_charsmap

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
CONTEXT = 77

WORDS = """
a an the of on in at with and to from one two three large small big tiny
red green blue yellow orange purple black white pink cyan brown grey gray
circle square triangle star cross diamond ring heart hexagon pentagon
circles squares triangles stars crosses diamonds rings hearts hexagons pentagons
left right above below top bottom middle center upper lower side
background gradient plain light dark color colour solid
picture drawing image shape shapes next
""".split()


def byte_symbols() -> list[str]:
    """Return the printable character for each byte 0 to 255 (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = 256
    table: dict[int, str] = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(spare)
            spare += 1
    return [table[byte] for byte in (*printable, *(b for b in range(256) if b not in printable))]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Return merges that make every word one token, most frequent pair first.

    Ties go to the pair that sorts first, so the result depends on the words alone.
    """
    pieces = [[*word[:-1], word[-1] + WORD_END] for word in sorted(set(words))]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in pieces for pair in pairwise(word))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def write_vocabulary(folder: Path) -> int:
    """Write ``vocab.json``, ``merges.txt`` and ``tokenizer_config.json``.

    Returns:
        the number of tokens.
    """
    symbols = byte_symbols()
    merges = learn_merges(WORDS)
    tokens = [
        *symbols,
        *(symbol + WORD_END for symbol in symbols),
        *("".join(pair) for pair in merges),
        START,
        END,
    ]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CONTEXT,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return len(vocabulary)


# The tokens that fill up and end a text, and the one that stands for what has no token.
_T5_SPECIAL = ("<pad>", "</s>", "<unk>")
_SPACE = "\u2581"
_T5_CONTEXT = 512
# Logarithms of probabilities: one token for a word is likelier than one for each of its letters.
_WORD_SCORE, _LETTER_SCORE = -5.0, -10.0


def write_t5_vocabulary(folder: Path) -> int:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``.

    Returns:
        the number of tokens.
    """
    from transformers import T5Tokenizer

    letters = [chr(code) for code in range(33, 127)]
    scores = [(name, 0.0) for name in _T5_SPECIAL]
    scores += [(_SPACE + word, _WORD_SCORE) for word in sorted(set(WORDS))]
    scores += [(name, _LETTER_SCORE) for name in (_SPACE, *letters)]
    small = {letter: letter.lower() for letter in letters if letter.isupper()}
    made = T5Tokenizer(
        vocab=scores,
        extra_ids=0,
        _spm_precompiled_charsmap=compile_charsmap(small),
        model_max_length=_T5_CONTEXT,
    )
    made.save_pretrained(folder)
    return len(scores)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--t5", is_flag=True, help="T5's in place of CLIP's.")
def main(folder: Path, t5: bool) -> None:
    """Write a vocabulary of the tiny models to a folder."""
    print((write_t5_vocabulary if t5 else write_vocabulary)(folder), "tokens")


if __name__ == "__main__":
    main()
