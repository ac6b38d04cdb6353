"""Every option that is given has an effect, or is refused: blank, repeated and unused ones."""

import click
import pytest

from commands import exit_code
from wsd.cli.command import Command
from wsd.cli.main import cli

# A value for each parameter that a command requires. Nothing is read or written: what would have
# no effect is refused before.
VALUES = {
    "model": "tiny-sd15", "prompt": "x", "out": "out", "folder": "dist", "folders": "dist",
    "file": "a.safetensors", "database": "tuned",
}  # fmt: skip
PARAMETERS = [
    pytest.param(name, parameter, id=f"{name} {parameter.opts[0]}")
    for name, command in cli.commands.items()
    for parameter in command.params
]


def is_flag(parameter):
    return isinstance(parameter, click.Option) and parameter.is_flag


def words_of(parameter, value):
    """Return a parameter as it is typed."""
    if isinstance(parameter, click.Argument):
        return [value]
    return [parameter.opts[0]] if is_flag(parameter) else [parameter.opts[0], value]


def required(name, without):
    """Return what a command requires, without one of its parameters."""
    return [
        word
        for parameter in cli.commands[name].params
        if parameter.required and parameter is not without
        for word in words_of(parameter, VALUES[parameter.name])
    ]


def assert_refused(capsys, words, said):
    assert exit_code(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    message, hint = captured.err.splitlines()
    assert message.startswith("error: ")
    assert said in message
    assert hint.startswith("hint: ")


def may_be_blank(parameter):
    return isinstance(parameter, click.Option) and parameter.name in (
        "prompt", "negative", "prompt2", "negative2", "prompt3", "negative3"
    )  # fmt: skip


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("blank", ["", pytest.param(" \t", marks=pytest.mark.full)])
def test_no_value_is_blank(name, parameter, blank, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if is_flag(parameter):
        return
    words = [*required(name, parameter), *words_of(parameter, blank)]
    if may_be_blank(parameter):
        cli.commands[name].make_context(name, words)  # raises what the command would say
    else:
        shown = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.metavar
        assert_refused(capsys, [name, *words], f"{shown} is empty")
    assert not list(tmp_path.iterdir())


def test_one_of_several_values_is_blank(tmp_path, capsys):
    out = tmp_path / "out"
    assert_refused(capsys, ["join", "a", "", "b", "--out", out], "DIR... is empty")
    words = ["build", "--model", "tiny-sd15", "--size", "64x64", "--size", "", "--out", out]
    assert_refused(capsys, words, "--size is empty")


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_no_option_counts_once_of_two(name, parameter, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if isinstance(parameter, click.Argument) or parameter.multiple:
        return
    words = [name, *required(name, parameter), *2 * words_of(parameter, "1")]
    assert_refused(capsys, words, f"{parameter.opts[0]} is given 2 times")


RULES = [
    pytest.param(name, rule, option, id=f"{name} {option} {rule.beside or rule.without}")
    for name, command in cli.commands.items()
    for rule in command.unused
    for option in rule.options
]


@pytest.mark.parametrize(("name", "rule", "option"), RULES)
def test_unused_options_are_refused(name, rule, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = {parameter.opts[0]: parameter for parameter in cli.commands[name].params}
    words = [name, *required(name, None), *words_of(known[option], "1")]
    if rule.beside is not None:
        words += words_of(known[rule.beside], "1")
    assert_refused(capsys, words, option)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("build", "--plan", "--out", "x"),
        ("build", "--plan", "--self-test", "x"),
        ("build", "--library", "x", "--dtype", "f16", "--out", "y"),
        ("build", "--library", "x", "--size", "8x8", "--size", "8x8", "--out", "y"),
        ("build", "--library", "x", "--dump-ir", "z", "--plan"),
    ],
)
def test_what_a_build_would_not_use(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert_refused(capsys, [*words, "--model", "tiny-sd15"], f"{words[1]} is given, and {words[-2]}"
                   if words[1] == "--plan" else "--library is given, and")  # fmt: skip


@pytest.mark.parametrize("option", ["--weights", "--random-weights"])
def test_weights_are_for_a_comparison(option, capsys):
    assert_refused(capsys, ["bench", "dist", option, "1"], f"{option} is given without --compare")


@pytest.mark.parametrize(
    "words",
    [
        ("--size", "64x64"), ("--repeats", "2"), ("--kernels", "generated"), ("--host", "node"),
        ("--ignore-rules", "x"), ("--most", "1"), ("--compare",), ("--load-lora", __file__),
    ],
)  # fmt: skip
def test_a_visit_is_to_the_page_as_it_is(words, capsys):
    said = f"--visit is given, and {words[0]}"
    assert_refused(capsys, ["bench", "dist", "--visit", *words], said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tune", "t.json", "--kernels", "auto"), "--tune is given, and --kernels too"),
        (("--seconds", "5"), "--seconds is given without --tune"),
        (("--tune", "t.json", "--visit"), "--visit is given, and --tune too"),
        (("--tune", "t.json", "--seconds", "0"), "0 is not in the range 1<=x<=3600"),
    ],
)
def test_tuning_chooses_among_all_kernels(capsys, words, said):
    assert_refused(capsys, ["bench", "dist", *words], said)


def test_every_command_checks_its_options():
    assert all(isinstance(command, Command) for command in cli.commands.values())


def test_help_is_shown_whatever_else_is_given(capsys):
    assert exit_code("build", "--out", "", "--plan", "--plan", "--help") == 0
    assert "--plan" in capsys.readouterr().out
