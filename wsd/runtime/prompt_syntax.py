"""Read prompts in the syntax of AUTOMATIC1111's web UI: ``(word:1.3)``, ``[word]``, escapes.

Source: AUTOMATIC1111/stable-diffusion-webui, modules/prompt_parser.py. The page does the same in
``web/src/settings/prompt_syntax.ts``, and a test compares the two. What the web UI does with a
prompt and WSD does not is refused by name, so that no picture is silently another one. Reading
takes time in proportion to the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from wsd.errors import UsageError

PromptSyntax = Literal["plain", "a1111"]
PROMPT_SYNTAXES: tuple[PromptSyntax, ...] = ("plain", "a1111")
# So many brackets may be inside of each other: the time for them grows with their number.
MOST_NESTED_BRACKETS = 100
# A full chunk of a prompt ends behind a comma that so few tokens follow: the web UI's default.
COMMA_BACKTRACK = 20
# The greatest absolute value of a weight: far beyond useful ones, and far from float32's bounds.
MOST_PROMPT_WEIGHT = 100

_ROUND = 1.1
_SQUARE = 1 / 1.1
# White space is written out, because languages differ in what \s means.
_SPACE = r"[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_PIECES = re.compile(rf"\\[()\[\]\\]?|[()\[\]]|:{_SPACE}*([+-]?[.0-9]+){_SPACE}*\)|[^\\()\[\]:]+|:")
_SIGNS = re.compile(r"[()\[\]\\]")
_BREAK = re.compile(r"\bBREAK\b")
_AND = re.compile(r"\bAND\b")
_BEGIN_SPACE = re.compile(rf"\A{_SPACE}+")
_SPACES = re.compile(_SPACE)
_TAG = re.compile(r"<([A-Za-z0-9_]+):[^<>]*>")
_NUMBER = re.compile(rf"{_SPACE}*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?{_SPACE}*")
_PLAIN_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_LONGEST_NUMBER = 64
# How many characters of a prompt an error shows.
_SHOWN = 60


@dataclass
class WeightedText:
    """A part of a prompt, and what its embeddings are multiplied by.

    Attributes:
        text: of the part.
        weight: of each of its tokens.
        new_chunk: whether a ``BREAK`` is before it: it begins a chunk of its own.
    """

    text: str
    weight: float
    new_chunk: bool = False


def parse_weights(prompt: str, name: str, *, negative: bool = False) -> list[WeightedText]:
    """Read a prompt with weights.

    Args:
        prompt: the text.
        name: the option, for the error.
        negative: the web UI joins prompts by ``AND``; in negative prompts it is a word.

    Returns:
        its parts in their order; those beside each other have different weights, or ``BREAK``
        between them.

    Raises:
        UsageError: for what WSD does not draw: ``AND``, LoRA tags, prompts that change between
            steps; for weights and brackets out of bounds.
    """
    if tag := _TAG.search(prompt):
        raise UsageError(
            f"{name} has the tag {_show(tag[0])}, which is not a part of the text",
            "leave the tag out of the prompt",
        )
    if not negative and _AND.search(prompt):
        raise UsageError(
            f"{name} joins prompts by AND, which this version does not draw",
            "write one prompt; as a word, write and in small letters",
        )
    _refuse_editing(prompt, name)
    return _merge(_begin_chunks(_Weights(name).read(prompt)))


def needs_chunks(parts: list[WeightedText]) -> bool:
    """Tell whether words follow a ``BREAK``, so that they need a chunk of their own."""
    starts = [index for index, part in enumerate(parts) if part.new_chunk]
    return bool(starts) and any(_trim_end(part.text) for part in parts[starts[0] :])


def has_syntax(prompt: str) -> bool:
    """Tell whether the a1111 syntax refuses a prompt, or reads it otherwise than the plain one."""
    return any(pattern.search(prompt) for pattern in (_SIGNS, _TAG, _AND, _BREAK))


@dataclass
class _Part:
    """A part while its brackets are read; a BREAK has no weight."""

    text: str
    weight: float | None


class _Weights:
    """Reads the brackets of one prompt."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[_Part] = []
        self._round: list[int] = []
        self._square: list[int] = []

    def read(self, prompt: str) -> list[_Part]:
        """Return the parts with the products of the weights around them."""
        for match in _PIECES.finditer(prompt):
            piece, weight = match[0], match[1]
            if piece.startswith("\\"):
                self._parts.append(_Part(piece[1:], 1.0))
            elif piece == "(":
                self._open(self._round)
            elif piece == "[":
                self._open(self._square)
            elif weight is not None and self._round:
                self._multiply(self._round.pop(), self._to_number(weight))
            elif piece == ")" and self._round:
                self._multiply(self._round.pop(), _ROUND)
            elif piece == "]" and self._square:
                self._multiply(self._square.pop(), _SQUARE)
            else:
                self._add_text(piece)
        # What is not closed reaches to the end.
        for start in self._round:
            self._multiply(start, _ROUND)
        for start in self._square:
            self._multiply(start, _SQUARE)
        for part in self._parts:
            if part.weight is not None and abs(part.weight) > MOST_PROMPT_WEIGHT:
                raise UsageError(
                    f"{self._name} weighs {_show(part.text)} by {part.weight:g}",
                    f"weights are from -{MOST_PROMPT_WEIGHT} to {MOST_PROMPT_WEIGHT}; "
                    "useful ones are about 1",
                )
        return self._parts

    def _open(self, brackets: list[int]) -> None:
        brackets.append(len(self._parts))
        if len(brackets) > MOST_NESTED_BRACKETS:
            raise UsageError(
                f"{self._name} has more than {MOST_NESTED_BRACKETS} brackets inside of each other",
                "remove some; a bracket that is only a character is written with a backslash: \\(",
            )

    def _multiply(self, start: int, factor: float) -> None:
        for part in self._parts[start:]:
            if part.weight is not None:
                part.weight *= factor

    def _add_text(self, text: str) -> None:
        start = 0
        for match in _BREAK.finditer(text):
            self._parts.append(_Part(_trim_end(text[start : match.start()]), 1.0))
            self._parts.append(_Part("BREAK", None))
            start = match.end()
        rest = text[start:]
        self._parts.append(_Part(_BEGIN_SPACE.sub("", rest) if start else rest, 1.0))

    def _to_number(self, text: str) -> float:
        if _PLAIN_NUMBER.fullmatch(text):
            return float(text)
        raise UsageError(
            f"{self._name} has the weight {_show(text)}, which is not a number",
            "write a weight as in (word:1.3)",
        )


def _begin_chunks(parts: list[_Part]) -> list[WeightedText]:
    """Have the part behind each BREAK begin a chunk."""
    kept: list[WeightedText] = []
    begins = False
    for part in parts:
        if part.weight is not None:
            kept.append(WeightedText(part.text, part.weight, begins))
        begins = part.weight is None
    return kept


def _merge(parts: list[WeightedText]) -> list[WeightedText]:
    """Join parts of equal weights that are beside each other: one text for the tokenizer."""
    texts: list[tuple[list[str], float, bool]] = []
    for part in parts:
        if texts and texts[-1][1] == part.weight and not part.new_chunk:
            texts[-1][0].append(part.text)
        else:
            texts.append(([part.text], part.weight, part.new_chunk))
    return [WeightedText("".join(pieces), weight, new) for pieces, weight, new in texts] or [
        WeightedText("", 1.0)
    ]


@dataclass
class _Bracket:
    """An open bracket: where it begins, and where the last colon is; -1 before the first one."""

    square: bool
    start: int
    colon: int = -1
    bar: bool = False


def _refuse_editing(prompt: str, name: str) -> None:
    """Refuse what changes the prompt between steps: ``[from:to:when]`` and ``[one|other]``."""
    opened: list[_Bracket] = []
    escaped = False
    for at, character in enumerate(prompt):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "([":
            opened.append(_Bracket(character == "[", at))
        elif not opened:
            continue
        elif character == ":":
            opened[-1].colon = at
        elif character == "|":
            opened[-1].bar = True
        elif character == ("]" if opened[-1].square else ")"):
            bracket = opened.pop()
            number = prompt[bracket.colon + 1 : at] if at - bracket.colon <= _LONGEST_NUMBER else ""
            timed = bracket.colon >= 0 and _NUMBER.fullmatch(number) is not None
            if bracket.square and (bracket.bar or timed):
                raise UsageError(
                    f"{name} has {_show(prompt[bracket.start : at + 1])}, "
                    "which changes the prompt between steps",
                    "this version draws all steps with one prompt; write a weight as in (word:0.8)",
                )


def _trim_end(text: str) -> str:
    """Cut white space at the end."""
    end = len(text)
    while end and _SPACES.match(text, end - 1):
        end -= 1
    return text[:end]


def _show(text: str) -> str:
    """Quote a text for an error, shortened."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
