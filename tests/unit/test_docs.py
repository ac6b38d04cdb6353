"""The documentation and the command line say the same."""

import re

import click

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
