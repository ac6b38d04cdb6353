"""The command line: parse and dispatch only."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsd import __version__
from wsd.errors import WsdError

if TYPE_CHECKING:
    from wsd.drawing import Drawing

Size = tuple[int, int]


class _SizeType(click.ParamType[Size]):
    name = "WxH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Size:
        width, _, height = str(value).partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            self.fail(f"{value!r} is not a size such as 512x512", param, ctx)
        return int(width), int(height)


_model = click.option("--model", required=True, metavar="NAME", help="Model; see: wsd models.")
_weights = click.option(
    "--weights",
    metavar="FOLDER|FILE|HUB_ID",
    help="Checkpoint: a diffusers folder, a .safetensors file or a hub id.",
)
_tokenizer = click.option(
    "--tokenizer", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="CLIP's tokenizer, for a checkpoint that brings none.",
)  # fmt: skip
_random = click.option(
    "--random-weights", metavar="SEED", type=int, help="Seeded random weights, for tests."
)
_drawing = [
    click.option("--prompt", required=True, metavar="TEXT", help="What to draw."),
    click.option("--negative", metavar="TEXT", help="What to stay away from."),
    click.option("--steps", type=int, metavar="N", help="Inference steps, 1 to 100."),
    click.option("--guidance", type=float, metavar="X", help="Guidance scale; up to 1 means none."),
    click.option("--seed", type=int, default=0, metavar="N", help="Seed, as in PyTorch."),
    click.option("--size", type=_SizeType(), help="Width and height in pixels."),
    click.option("--scheduler", metavar="NAME", help="Scheduler; the model's own unless given."),
    click.option("--images", type=int, default=1, metavar="N", help="Pictures from one seed."),
    click.option("--eta", type=float, default=0.0, metavar="X", help="DDIM's noise, 0 to 1."),
    click.option("--out", required=True, type=click.Path(path_type=Path), metavar="PNG"),
]


def _drawing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a picture; it gets them as one ``drawing``."""

    @functools.wraps(command)
    def collect(
        *, prompt: str, negative: str | None, steps: int | None, guidance: float | None, seed: int,
        size: Size | None, scheduler: str | None, eta: float, images: int, **rest: Any,
    ) -> None:  # fmt: skip
        from wsd.drawing import Drawing

        drawing = Drawing(prompt, negative, steps, guidance, seed, size, scheduler, eta, images)
        command(drawing=drawing, **rest)

    decorated: Callable[..., None] = collect
    for option in reversed(_drawing):
        decorated = option(decorated)
    return decorated


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wsd")
def cli() -> None:
    """Compile Stable Diffusion checkpoints into pages that draw on WebGPU."""


@cli.command()
def models() -> None:
    """List the models that can be built."""
    from wsd.zoo import FAMILIES

    for family in FAMILIES.values():
        sizes = ", ".join(f"{width}x{height}" for width, height in family.sizes)
        click.echo(f"{family.name}\t{sizes}\t{family.title}")


@cli.command()
@_model
@_weights
@_tokenizer
@_random
@click.option("--dtype", type=click.Choice(["f32", "f16", "w8a16"]), default="f32",
              show_default=True, help="How weights are stored.")  # fmt: skip
@click.option("--size", "sizes", multiple=True, type=_SizeType(), help="Picture size; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option("--plan", is_flag=True, help="Say what would be built, and build nothing.")
def build(
    model: str,
    weights: str | None,
    tokenizer: Path | None,
    random_weights: int | None,
    dtype: str,
    sizes: tuple[Size, ...],
    out: Path | None,
    *,
    plan: bool,
) -> None:
    """Build a bundle: compiled model, weights and page."""
    from wsd.build import build_bundle, check_sizes
    from wsd.checkpoint import Checkpoint, choose_checkpoint
    from wsd.compile import compile_library
    from wsd.folders import check_absent
    from wsd.plan import describe_plan
    from wsd.progress import Progress
    from wsd.zoo import find_family

    family = find_family(model)
    chosen = check_sizes(family, sizes)
    if plan:
        with Progress() as progress:
            library = compile_library(family, chosen, dtype, progress)
        for line in describe_plan(family, library, chosen, dtype):
            click.echo(line)
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    check_absent(out)
    path = choose_checkpoint(family, weights, random_weights)
    checkpoint = Checkpoint(path, family, tokenizer)
    with Progress() as progress:
        build_bundle(checkpoint, chosen, out, progress, dtype)
    click.echo(out)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def verify(folder: Path) -> None:
    """Check every byte of a bundle against its manifests."""
    from wsd.manifest import verify_bundle

    faults = list(verify_bundle(folder))
    for fault in faults:
        click.echo(fault)
    if faults:
        click.echo(f"error: {len(faults)} bad files in {folder}", err=True)
        click.echo("hint: run wsd build again, or fetch the bundle anew", err=True)
        sys.exit(1)
    click.echo(f"{folder}: good")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 takes a free one.")
def serve(folder: Path, port: int) -> None:
    """Serve a bundle on this machine with the production headers."""
    from wsd.serve import serve_forever

    serve_forever(folder, port)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_drawing_options
@click.option("--offload", is_flag=True, help="Keep one stage's weights on the GPU at a time.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE",
              help="Timings, adapter and digests.")  # fmt: skip
def render(
    folder: Path, drawing: Drawing, out: Path, json_path: Path | None, *, offload: bool
) -> None:
    """Draw a picture with a bundle, in headless Chromium."""
    from wsd.folders import write_atomically
    from wsd.progress import Progress
    from wsd.render import render as draw
    from wsd.render import write_pngs

    rendered = draw(folder, drawing, Progress(), offload=offload)
    paths = write_pngs(rendered.images, out, rendered.settings)
    if json_path is not None:
        write_atomically(json_path, json.dumps(rendered.report(), indent=2).encode() + b"\n")
    for path in paths:
        click.echo(path)


@cli.command()
@_model
@_weights
@_tokenizer
@_random
@_drawing_options
def reference(
    model: str, weights: str | None, tokenizer: Path | None, random_weights: int | None,
    drawing: Drawing, out: Path,
) -> None:  # fmt: skip
    """Draw the same picture with diffusers, on the CPU."""
    from wsd.build import check_sizes
    from wsd.checkpoint import Checkpoint, choose_checkpoint
    from wsd.progress import Progress
    from wsd.reference import draw_reference, load_pipeline
    from wsd.render import write_pngs
    from wsd.zoo import find_family

    family = find_family(model)
    check_sizes(family, [drawing.size] if drawing.size else [])
    path = choose_checkpoint(family, weights, random_weights)
    checkpoint = Checkpoint(path, family, tokenizer)
    pipeline = load_pipeline(checkpoint)
    images, _latents = draw_reference(checkpoint.family, pipeline, drawing, Progress())
    for path in write_pngs(images, out):
        click.echo(path)


@cli.command()
def doctor() -> None:
    """Say which lane and tools are here, and how to get what is missing."""
    from wsd.doctor import examine

    checks = list(examine())
    for check in checks:
        click.echo(f"{'ok  ' if check.good else 'BAD '} {check.name}: {check.found}")
        if not check.good:
            click.echo(f"     hint: {check.hint}")
    sys.exit(0 if all(check.good for check in checks) else 1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(cli, "wsd", arguments)


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
        _complain(error.format_message().rstrip("."), f"see: {name} --help")
    except (click.exceptions.Abort, KeyboardInterrupt):
        _complain("interrupted", "nothing was written; run it again")
    return 2


def _complain(message: str, hint: str) -> None:
    click.echo(f"error: {message}", err=True)
    click.echo(f"hint: {hint}", err=True)
