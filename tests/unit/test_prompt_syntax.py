"""Prompts with weights: Python and the page read them alike, as AUTOMATIC1111's web UI does."""

import random

import pytest

from marks import some_of
from timing import check_growth
from wsd.errors import UsageError
from wsd.runtime.prompt_syntax import (
    MOST_NESTED_BRACKETS,
    MOST_PROMPT_WEIGHT,
    WeightedText,
    has_syntax,
    parse_weights,
)

# Values of the web UI's own examples (modules/prompt_parser.py), and what its patterns give.
READ = {
    "": [("", 1.0)],
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1.0),
        ("house", 1.5730000000000004),
        (" ", 1.1),
        ("on", 1.0),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641000000000006),
        (".", 1.1),
    ],
    "[less] more": [("less", 1 / 1.1), (" more", 1.0)],
    "(a: 1.3 )": [("a", 1.3)],
    "(a:-0.5)": [("a", -0.5)],
    "(a:0)": [("a", 0.0)],
    "16:9) b": [("16:9) b", 1.0)],
    r"back\\slash \x": [(r"back\slash x", 1.0)],
    "(a [b) c]": [("a ", 1.1), ("b", 1.1 * (1 / 1.1)), (" c", 1 / 1.1)],
    "one BREAK ": [("one", 1.0), ("", 1.0, True)],
    "one BREAK two": [("one", 1.0), ("two", 1.0, True)],
    "BREAK two": [("", 1.0), ("two", 1.0, True)],
    "one BREAK BREAK two": [("one", 1.0), ("", 1.0, True), ("two", 1.0, True)],
    "(one BREAK two:1.2)": [("one", 1.2), ("two", 1.2, True)],
    "one BREAK (two)": [("one", 1.0), ("", 1.0, True), ("two", 1.1)],
    "BREAKFAST bREAK": [("BREAKFAST bREAK", 1.0)],
    "SAND and ANDROID": [("SAND and ANDROID", 1.0)],
    "a [b:c] d": [("a ", 1.0), ("b:c", 1 / 1.1), (" d", 1.0)],
    "a | b (c|d)": [("a | b ", 1.0), ("c|d", 1.1)],
    "<3 (x)": [("<3 ", 1.0), ("x", 1.1)],
}
REFUSED = {
    "cat AND dog": "joins prompts by AND",
    "a <lora:shiny:0.8> cat": "has the tag",
    "a [cat:dog:0.5]": "changes the prompt between steps",
    "a [cat:10]": "changes the prompt between steps",
    "a [:dog: 0.5 ]": "changes the prompt between steps",
    "a [cat|dog]": "changes the prompt between steps",
    "(a:1.2.3)": "is not a number",
    "(a:.)": "is not a number",
    "(a:1000)": "by 1000",
    "(" * (MOST_NESTED_BRACKETS + 1): "inside of each other",
    "(" * 60 + "a": "by 304.482",
}


@pytest.mark.parametrize("prompt", READ)
def test_it_reads_what_the_web_ui_reads(prompt):
    expected = [WeightedText(*part) for part in READ[prompt]]
    assert parse_weights(prompt, "prompt") == expected


@pytest.mark.parametrize("prompt", REFUSED)
def test_what_is_not_drawn_is_refused_by_name(prompt):
    with pytest.raises(UsageError) as raised:
        parse_weights(prompt, "negative prompt" if "AND" not in prompt else "prompt")
    assert REFUSED[prompt] in raised.value.message
    assert raised.value.hint
    assert has_syntax(prompt)


def test_and_is_a_word_of_negative_prompts():
    [part] = parse_weights("cat AND dog", "negative prompt", negative=True)
    assert (part.text, part.weight) == ("cat AND dog", 1.0)


def random_prompts(count):
    """Brackets, numbers, escapes and words in any order, and white space of any kind."""
    generator = random.Random(28)
    makers = [
        lambda: generator.choice("()[]()[]:\\|<>"),
        lambda: generator.choice(["(", "((", "[", "[["]),
        lambda: generator.choice([":1.2)", ": 0.5 )", ":-1)", ":1.)", ":.5)", ":1..2)", ":0.5]"]),
        lambda: generator.choice(["\\(", "\\)", "\\[", "\\]", "\\\\"]),
        lambda: generator.choice([" BREAK ", "AND", "BREAK", "éBREAK", "²AND", "<lora:a:1>"]),
        lambda: generator.choice(["a", "red circle", "你好", "é", "😀", "1.5", "_"]),
        lambda: generator.choice([" ", "\t", "\n", "\xa0", "\u3000", "\ufeff", "\x85", "\x1c"]),
        lambda: chr(generator.randrange(32, 0x2FF)),
    ]
    weights = [6, 2, 3, 1, 0.1, 8, 4, 1]
    for _ in range(count):
        chosen = generator.choices(makers, weights, k=generator.randrange(1, 40))
        yield "".join(make() for make in chosen)


def read_or_refuse(prompt, *, negative=False):
    try:
        parts = parse_weights(prompt, "prompt", negative=negative)
    except UsageError as error:
        return {"hint": error.hint}
    return [
        {"text": part.text, "weight": part.weight, "newChunk": part.new_chunk} for part in parts
    ]


def without_message(answer):
    """The sentences quote texts as each language does; their hints are the same."""
    return {"hint": answer["hint"]} if isinstance(answer, dict) else answer


@pytest.mark.slow
@pytest.mark.parametrize("side", ["positive", "negative"])
def test_the_page_reads_thousands_of_prompts_alike(javascript, side):
    prompts = [*READ, *REFUSED, *random_prompts(5000)]
    found = javascript({"call": "weights", "prompts": prompts, "side": side})
    expected = [read_or_refuse(prompt, negative=side == "negative") for prompt in prompts]
    different = [
        (prompt, ours, theirs)
        for prompt, ours, theirs in zip(prompts, expected, found, strict=True)
        if ours != without_message(theirs)
    ]
    assert different == []
    # The prompts are not all refused: most of them have weights.
    weighted = [parts for parts in expected if isinstance(parts, list) and len(parts) > 1]
    assert len(weighted) > 2000
    most = max(abs(part["weight"]) for parts in weighted for part in parts)
    assert 1.1 < most <= MOST_PROMPT_WEIGHT


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    "unit",
    some_of(
        [
            "(",
            "[",
            "a",
            " ",
            "(a)",
            "(a:",
            "[:",
            ":1",
            "\\",
            " BREAK",
            "<a",
            "[a(]",
            "[(" + "a)]",
            "|",
        ],
        4,
    ),
)
def test_long_prompts_take_no_longer_by_the_character(unit):
    check_growth(lambda count: read_or_refuse(unit * count), 2_000)
