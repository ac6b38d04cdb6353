"""The documentation and the command line say the same."""

import json
import re
import shlex
import tomllib

import click
import pytest

from tools.readme_figures import FILE, README, with_figures
from wsd import errors
from wsd.cli.main import cli
from wsd.util.files import REPOSITORY

PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
TEXT = (REPOSITORY / "docs" / "commands.md").read_text()


def test_every_command_and_option_is_documented():
    for name, command in cli.commands.items():
        assert f"`wsd {name}" in TEXT, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[0]}`" in TEXT, (name, parameter.opts)


def test_every_documented_option_exists():
    known = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert set(re.findall(r"`(--[a-z-]+)`", TEXT)) <= known


def test_links_of_the_documentation_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            # Code documentation is made when the site is.
            made = target.startswith("reference/")
            assert made or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_error_class_has_an_entry_in_troubleshooting():
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    python = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    page = re.findall(
        r"^export class (\w+)", (REPOSITORY / "web/src/api/errors.ts").read_text(), re.M
    )
    assert len(page) > 5
    for name in {*python, *page}:
        assert f"| `{name}` |" in text, name


def test_every_error_that_a_module_raises_is_one_of_them():
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    for path in (REPOSITORY / "wsd").rglob("*.py"):
        raised = set(re.findall(r"raise (\w+Error)\(", path.read_text()))
        # Refused by Python's own names: a digest of NaN, an engine that does not answer. Errors of
        # the file system are explained where a command ends.
        assert raised - known <= {
            "AssertionError", "KeyError", "TypeError", "ValueError",
            "OSError", "IsADirectoryError", "NotADirectoryError",
        }, path.name  # fmt: skip


def commands(line):
    """Yield the words of each command of a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|"):
            yield words
            words = []
        elif words or not re.match(r"[A-Z_]+=", word):  # variables
            words.append(word)


def documented_commands():
    """Yield the words of every command line of `wsd` in a block of shell."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                for words in commands(line):
                    if words[:1] == ["wsd"]:
                        yield pytest.param(words[1:], id=f"{page.name}: {shlex.join(words)}")


@pytest.mark.parametrize("words", list(documented_commands()))
def test_documented_commands_are_understood(words, tmp_path, monkeypatch):
    # Options name folders that a reader has.
    monkeypatch.chdir(tmp_path)
    for option, word in zip(["", *words], words, strict=False):
        if option != "--out" and re.fullmatch(r"[A-Za-z0-9-]+", word):
            (tmp_path / word).mkdir(exist_ok=True)
    command = cli.commands[words[0]]
    command.make_context(words[0], words[1:])  # raises what the command would say


def test_the_readmes_figures_are_those_that_were_measured():
    assert README.read_text() == with_figures(README.read_text(), json.loads(FILE.read_text()))


def test_the_quick_checks_before_a_commit_are_those_of_the_sessions():
    text = (REPOSITORY / ".pre-commit-config.yaml").read_text()
    constraints = (REPOSITORY / "constraints.txt").read_text().split()
    for pin in re.findall(r"[\w-]+==[\d.]+", text):
        assert pin in constraints
    lint = json.loads((REPOSITORY / "web" / "lint" / "package.json").read_text())
    assert f"prettier@{lint['devDependencies']['prettier']}" in text


def test_every_session_is_documented():
    sessions = re.findall(
        r"^@nox\.session(?:\(name=\"([\w-]+)\"\))?\ndef (\w+)",
        (REPOSITORY / "noxfile.py").read_text(), re.M,
    )  # fmt: skip
    assert len(sessions) > 10
    text = "".join(page.read_text() for page in PAGES)
    for name, function in sessions:
        assert f"nox -s {name or function}" in text or f"`{name or function}`" in text, function


def test_every_page_is_in_the_sites_menu():
    menu = (REPOSITORY / "mkdocs.yml").read_text()
    for page in REPOSITORY.glob("docs/**/*.md"):
        assert f"- {page.relative_to(REPOSITORY / 'docs').as_posix()}\n" in menu


def test_extras_name_what_the_sessions_install():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    text = (REPOSITORY / "noxfile.py").read_text()
    for package in extras["optional-dependencies"]["docs"]:
        assert re.split(r"[<>=]", package)[0] in text
