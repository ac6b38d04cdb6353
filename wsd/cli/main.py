"""The command line: parse and dispatch only."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsd import __version__
from wsd.cli.options import (
    SizeType,
    dtype_option,
    dump_option,
    kernels_option,
    model_option,
    random_option,
    request_options,
    sizes_option,
    tokenizer_option,
    verbose_option,
    weights_option,
)
from wsd.cli.verbosity import set_verbosity
from wsd.errors import UsageError, WsdError
from wsd.spec.tensor import Size

if TYPE_CHECKING:
    from wsd.compiler.library import Library
    from wsd.models.registry import Family
    from wsd.runtime.request import GenerationRequest
    from wsd.util.progress import Progress


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wsd")
@verbose_option
def cli(verbose: int) -> None:
    """Compile Stable Diffusion checkpoints into pages that draw on WebGPU."""
    set_verbosity(verbose)


@cli.command()
def models() -> None:
    """List the models that can be built."""
    from wsd.models.registry import FAMILIES

    for family in FAMILIES.values():
        sizes = ", ".join(f"{width}x{height}" for width, height in family.sizes)
        click.echo(f"{family.name}\t{sizes}\t{family.title}")


@cli.command()
@model_option
@dtype_option
@sizes_option
@dump_option
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="A new folder, for wsd build --library.")  # fmt: skip
def compile(  # noqa: A001 - the command's name
    model: str, dtype: str | None, sizes: tuple[Size, ...], dump: Path | None, out: Path
) -> None:
    """Compile a model without weights, for builds where no compiler is."""
    from wsd.bundle.precompiled import write_compiled
    from wsd.models.registry import find_family
    from wsd.util.files import check_absent
    from wsd.util.progress import Progress

    check_absent(out)
    with Progress() as progress:
        library = _find_library(find_family(model), dtype, sizes, None, progress, dump)
        write_compiled(library, out, progress)
    click.echo(out)


@cli.command()
@model_option
@weights_option
@tokenizer_option
@random_option
@dtype_option
@sizes_option
@dump_option
@click.option("--library", type=click.Path(path_type=Path), metavar="DIR",
              help="What `wsd compile` wrote; nothing is compiled then.")  # fmt: skip
@click.option(
    "--self-test",
    "expected",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `wsd expect` wrote; the checkpoint's own self-test.json unless given.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option("--plan", is_flag=True, help="Say what would be built, and build nothing.")
def build(
    model: str,
    weights: str | None,
    tokenizer: Path | None,
    random_weights: int | None,
    dtype: str | None,
    sizes: tuple[Size, ...],
    dump: Path | None,
    library: Path | None,
    expected: Path | None,
    out: Path | None,
    *,
    plan: bool,
) -> None:
    """Build a bundle: compiled model, weights and page."""
    if library is not None and (dtype is not None or sizes):
        raise UsageError(
            "--library is given, and --dtype or --size too",
            "a library is compiled for its sizes and its dtype: leave them out",
        )
    if library is not None and dump is not None:
        raise UsageError(
            "--library is given, and --dump-ir too",
            "a given library is not compiled: leave --dump-ir out, or give it to wsd compile",
        )
    from wsd.bundle.builder import build_bundle
    from wsd.bundle.plan import describe_plan
    from wsd.checkpoint.checkpoint import open_checkpoint
    from wsd.checkpoint.resolve import choose_checkpoint
    from wsd.models.registry import find_family
    from wsd.models.resolution import check_sizes
    from wsd.util.files import check_absent
    from wsd.util.progress import Progress

    family = find_family(model)
    if plan:
        with Progress() as progress:
            compiled = _find_library(family, dtype, sizes, library, progress, dump)
        for line in describe_plan(family, compiled):
            click.echo(line)
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    check_absent(out)
    check_sizes(family, sizes)
    path = choose_checkpoint(family, weights, random_weights)
    checkpoint = open_checkpoint(path, family, tokenizer)
    with Progress() as progress:
        compiled = _find_library(family, dtype, sizes, library, progress, dump)
        build_bundle(checkpoint, compiled, out, progress, expected)
    click.echo(out)


def _find_library(
    family: Family, dtype: str | None, sizes: tuple[Size, ...], folder: Path | None,
    progress: Progress, dump: Path | None = None,
) -> Library:  # fmt: skip
    """Compile a family, or read what was compiled."""
    from wsd.compiler.library import check_library, read_library

    if folder is None:
        from wsd.compiler.driver import compile_library
        from wsd.models.resolution import check_sizes

        return compile_library(family, check_sizes(family, sizes), dtype or "f32", progress, dump)
    library = read_library(folder)
    check_library(library, family)
    return library


@cli.command()
@model_option
@weights_option
@tokenizer_option
@click.option("--size", type=SizeType(), help="Picture size; the model's first unless given.")
@click.option("--prompt", default="", metavar="TEXT", help="What the text encoders read.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The self-test fixtures, for wsd build --self-test.")  # fmt: skip
def expect(
    model: str, weights: str | None, tokenizer: Path | None, size: Size | None, prompt: str,
    out: Path,
) -> None:  # fmt: skip
    """Compute with PyTorch what each stage must give, for the self-test page."""
    from wsd.bundle.self_test import write_fixtures
    from wsd.checkpoint.checkpoint import open_checkpoint
    from wsd.checkpoint.resolve import choose_checkpoint
    from wsd.models.registry import find_family
    from wsd.models.resolution import check_sizes
    from wsd.util.progress import Progress

    family = find_family(model)
    (chosen, *_) = check_sizes(family, [size] if size else [])
    checkpoint = open_checkpoint(choose_checkpoint(family, weights, None), family, tokenizer)
    with Progress() as progress:
        click.echo(write_fixtures(checkpoint, chosen, prompt, out, progress))


@cli.command()
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="A new folder.")  # fmt: skip
def join(folders: tuple[Path, ...], out: Path) -> None:
    """Make one bundle of several: one page that offers all their models."""
    from wsd.bundle.merge import join_bundles

    join_bundles(folders, out)
    click.echo(out)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def verify(folder: Path) -> None:
    """Check every byte of a bundle against its manifests and SRI.json."""
    from wsd.bundle.manifest import REBUILD
    from wsd.bundle.verify import verify_bundle

    faults = list(verify_bundle(folder))
    for fault in faults:
        click.echo(fault)
    if faults:
        click.echo(f"error: {len(faults)} bad files in {folder}", err=True)
        click.echo(f"hint: {REBUILD}", err=True)
        sys.exit(1)
    click.echo(f"{folder}: good")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 takes a free one.")
def serve(folder: Path, port: int) -> None:
    """Serve a bundle on this machine with the production headers."""
    from wsd.runtime.server import serve_forever

    serve_forever(folder, port)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="Which model of a bundle; the first unless given.")
@request_options
@click.option("--offload", is_flag=True, help="Keep one stage's weights on the GPU at a time.")
@click.option("--tiling", is_flag=True, help="Decode in tiles: less GPU memory.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE",
              help="Timings, adapter and digests.")  # fmt: skip
def render(
    folder: Path, model: str | None, request: GenerationRequest, out: Path,
    json_path: Path | None, *, offload: bool, tiling: bool,
) -> None:  # fmt: skip
    """Draw a picture with a bundle, in headless Chromium."""
    from wsd.runtime.driver import LoadOptions
    from wsd.runtime.driver import render as draw
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    rendered = draw(folder, request, Progress(), LoadOptions(offload, tiling), model)
    paths = write_pngs(rendered.images, out, rendered.settings)
    _write_report(rendered.report(), json_path)
    for path in paths:
        click.echo(path)


@cli.command()
@model_option
@weights_option
@tokenizer_option
@random_option
@request_options
def reference(
    model: str, weights: str | None, tokenizer: Path | None, random_weights: int | None,
    request: GenerationRequest, out: Path,
) -> None:  # fmt: skip
    """Draw the same picture with diffusers, on the CPU."""
    from wsd.checkpoint.checkpoint import open_checkpoint
    from wsd.checkpoint.resolve import choose_checkpoint
    from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
    from wsd.models.registry import find_family
    from wsd.models.resolution import check_sizes
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    family = find_family(model)
    check_sizes(family, [request.size] if request.size else [])
    path = choose_checkpoint(family, weights, random_weights)
    checkpoint = open_checkpoint(path, family, tokenizer)
    pipeline = load_pipeline(checkpoint)
    images, _latents = draw_reference(checkpoint, pipeline, request, Progress())
    for path in write_pngs(images, out):
        click.echo(path)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@model_option
@weights_option
@tokenizer_option
@random_option
@request_options
@click.option("--host", type=click.Choice(["chromium", "node"]), default="chromium",
              show_default=True, help="What runs the bundle.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE",
              help="The findings.")  # fmt: skip
def parity(
    folder: Path, model: str, weights: str | None, tokenizer: Path | None,
    random_weights: int | None, request: GenerationRequest, out: Path, host: str,
    json_path: Path | None,
) -> None:  # fmt: skip
    """Compare a bundle with PyTorch on this machine; exit 1 if they differ."""
    from wsd.checkpoint.checkpoint import open_checkpoint
    from wsd.checkpoint.resolve import choose_checkpoint
    from wsd.evaluate.parity import compare, describe
    from wsd.models.registry import find_family
    from wsd.runtime.chromium import open_page
    from wsd.runtime.dawn_node import open_node_page
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    family = find_family(model)
    path = choose_checkpoint(family, weights, random_weights)
    checkpoint = open_checkpoint(path, family, tokenizer)
    open_host = open_node_page if host == "node" else open_page
    found = compare(folder, checkpoint, request, open_host, Progress())
    for line in describe(found):
        click.echo(line)
    write_pngs(found.pictures, out)
    _write_report(found.report(), json_path)
    sys.exit(0 if found.good else 1)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="Which of its models. Default: the first.")
@click.option("--size", type=SizeType(), help="Default: the model's own.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=5, show_default=True,
              help="Calls of each stage that are timed.")  # fmt: skip
@kernels_option
@click.option("--host", type=click.Choice(("chromium", "node")), default="chromium",
              show_default=True, help="What runs the bundle.")  # fmt: skip
@click.option("--most", type=click.IntRange(0), default=8, show_default=True,
              help="Kernels of a stage that are listed.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE",
              help="Everything that was measured.")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="The same as SVG.")
@click.option("--compare", is_flag=True,
              help="Measure onnxruntime-web and PyTorch on the UNet too.")  # fmt: skip
@weights_option
@random_option
def bench(
    folder: Path, model: str | None, size: tuple[int, int] | None, repeats: int, kernels: str,
    host: str, most: int, json_path: Path | None, plot: Path | None, compare: bool,
    weights: str | None, random_weights: int | None,
) -> None:  # fmt: skip
    """Time a bundle's stages and kernels on this machine."""
    from wsd.bundle.manifest import find_manifest, read_manifest
    from wsd.checkpoint.checkpoint import open_checkpoint
    from wsd.checkpoint.resolve import choose_checkpoint
    from wsd.evaluate.benchmark import bench as measure
    from wsd.evaluate.benchmark import describe
    from wsd.evaluate.benchmark_plot import draw_plot
    from wsd.models.registry import find_family
    from wsd.runtime.chromium import open_page
    from wsd.runtime.dawn_node import open_node_page
    from wsd.runtime.driver import LoadOptions
    from wsd.util.files import write_atomically
    from wsd.util.progress import Progress

    checkpoint = None
    if compare:
        family = find_family(read_manifest(find_manifest(folder, model)).model.name)
        checkpoint = open_checkpoint(choose_checkpoint(family, weights, random_weights), family)
    elif weights is not None or random_weights is not None:
        raise UsageError("weights are for a comparison", "add --compare, or leave them out")
    open_host = open_node_page if host == "node" else open_page
    options = LoadOptions(kernels=kernels)
    found = measure(folder, model, size, repeats, options, open_host, Progress(), checkpoint)
    for line in describe(found, most):
        click.echo(line)
    if plot is not None:
        write_atomically(plot, draw_plot(found).encode())
    _write_report(found.report(), json_path)


@cli.command()
def doctor() -> None:
    """Say which lane and tools are here, and how to get what is missing."""
    from wsd.cli.doctor import examine

    checks = list(examine())
    for check in checks:
        click.echo(f"{'ok  ' if check.good else 'BAD '} {check.name}: {check.found}")
        if not check.good:
            click.echo(f"     hint: {check.hint}")
    sys.exit(0 if all(check.good for check in checks) else 1)


def _write_report(report: dict[str, Any], path: Path | None) -> None:
    """Write what a command measured to the file of its option ``--json``, if it is given."""
    from wsd.util.files import write_atomically

    if path is not None:
        write_atomically(path, json.dumps(report, indent=2).encode() + b"\n")


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
