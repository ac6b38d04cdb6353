"""The tiny models' vocabulary: a byte-pair encoding in CLIP's file format.

``python -m training.vocabulary FOLDER`` writes the files that
``wsd/models/tiny/tokenizer`` holds; a test writes them again and compares.

The layout is CLIP's: 256 byte symbols, the same 256 with the end-of-word mark,
one token a merge, then the start and end tokens. Any text encodes, since every
byte is a token; the words that the tiny models know become one token each.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

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


if __name__ == "__main__":
    print(write_vocabulary(Path(sys.argv[1])), "tokens")
