"""How a command ends: its exit code, and its error as ``error:`` and ``hint:`` lines."""

from __future__ import annotations

import os

import click

from wsd.errors import WsdError


def run_command(command: click.Command, name: str, arguments: list[str] | None = None) -> int:
    """Run a command so that its errors come with a hint; returns the exit code."""
    # WSD has its own progress bars, and reads no image with transformers.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        code = command.main(arguments, prog_name=name, standalone_mode=False)
        return int(code or 0)
    except WsdError as error:
        if os.environ.get("WSD_DEBUG"):
            raise
        _complain(error.message, error.hint)
    except click.ClickException as error:
        place = getattr(error, "ctx", None)
        _complain(
            error.format_message().rstrip("."),
            f"see: {place.command_path if place else name} --help",
        )
    except (click.exceptions.Abort, KeyboardInterrupt):
        _complain("interrupted", "nothing was written; run it again")
    return 2


def _complain(message: str, hint: str) -> None:
    click.echo(f"error: {message}", err=True)
    click.echo(f"hint: {hint}", err=True)
