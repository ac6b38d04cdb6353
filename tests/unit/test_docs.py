"""The documentation and the command line say the same."""

import re

import click

from wsd import errors
from wsd.cli import cli
from wsd.folders import REPOSITORY

TEXT = (REPOSITORY / "docs" / "commands.md").read_text()


def test_every_command_and_option_is_documented():
    for name, command in cli.commands.items():
        assert f"`wsd {name}" in TEXT, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[0]}`" in TEXT, (name, parameter.opts)


def test_every_documented_option_exists():
    known = {o for c in cli.commands.values() for p in c.params for o in p.opts}
    assert set(re.findall(r"`(--[a-z-]+)`", TEXT)) <= known


def test_links_of_the_documentation_lead_somewhere():
    pages = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_error_class_has_an_entry_in_troubleshooting():
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    python = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    page = re.findall(r"^export class (\w+)", (REPOSITORY / "web/src/errors.ts").read_text(), re.M)
    assert len(page) > 5
    for name in {*python, *page}:
        assert f"| `{name}` |" in text, name


def test_every_error_that_a_module_raises_is_one_of_them():
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    for path in (REPOSITORY / "wsd").rglob("*.py"):
        raised = set(re.findall(r"raise (\w+Error)\(", path.read_text()))
        # Refused by Python's own names: a digest of NaN, an engine that does not answer.
        assert raised - known <= {"AssertionError", "KeyError", "TypeError", "ValueError"}, (
            path.name
        )
