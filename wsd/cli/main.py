"""The command line: a group of the commands that the other modules of this room define."""

from __future__ import annotations

import click

from wsd import __version__
from wsd.cli import build, doctor, evaluate, run
from wsd.cli.error_report import run_command
from wsd.cli.options import verbose_option
from wsd.cli.verbosity import set_verbosity

__all__ = ["cli", "main", "run_command"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wsd")
@verbose_option
def cli(verbose: int) -> None:
    """Compile Stable Diffusion checkpoints into pages that draw on WebGPU."""
    set_verbosity(verbose)


for _command in (
    build.models, build.compile, build.build, build.package, build.expect, build.join,
    build.lora, build.verify,
    run.serve, run.render,
    evaluate.reference, evaluate.parity, evaluate.bench, evaluate.tune,
    doctor.doctor,
):  # fmt: skip
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(cli, "wsd", arguments)
