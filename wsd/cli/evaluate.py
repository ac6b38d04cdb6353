"""Commands that compare and time: reference, parity, bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsd.cli.error_report import printable
from wsd.cli.options import (
    OutputFile,
    SizeType,
    kernels_option,
    model_option,
    random_option,
    request_options,
    schedule_options,
    tokenizer_option,
    vae_option,
    weights_option,
    write_report,
)
from wsd.errors import UsageError

if TYPE_CHECKING:
    from wsd.models.schedule_options import ScheduleOptions
    from wsd.runtime.request import GenerationRequest


@click.command()
@model_option
@weights_option
@vae_option
@tokenizer_option
@random_option
@request_options
@schedule_options
def reference(
    model: str, weights: str | None, vae: str | None, tokenizer: Path | None,
    random_weights: int | None, request: GenerationRequest, schedule: ScheduleOptions, out: Path,
) -> None:  # fmt: skip
    """Draw the same picture with diffusers, on the CPU."""
    from wsd.checkpoint.resolve import open_chosen
    from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
    from wsd.models.registry import find_family
    from wsd.models.resolution import check_sizes
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    family = find_family(model)
    check_sizes(family, [request.size] if request.size else [])
    checkpoint = open_chosen(family, weights, random_weights, tokenizer, vae, schedule)
    pipeline = load_pipeline(checkpoint)
    images, _latents = draw_reference(checkpoint, pipeline, request, Progress())
    for path in write_pngs(images, out):
        click.echo(printable(path))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@model_option
@weights_option
@vae_option
@tokenizer_option
@random_option
@request_options
@schedule_options
@click.option("--host", type=click.Choice(["chromium", "node"]), default="chromium",
              show_default=True, help="What runs the bundle.")  # fmt: skip
@click.option("--json", "json_path", type=OutputFile(),
              help="The findings.")  # fmt: skip
def parity(
    folder: Path, model: str, weights: str | None, vae: str | None, tokenizer: Path | None,
    random_weights: int | None, request: GenerationRequest, schedule: ScheduleOptions, out: Path,
    host: str, json_path: Path | None,
) -> None:  # fmt: skip
    """Compare a bundle with PyTorch on this machine; exit 1 if they differ."""
    from wsd.checkpoint.resolve import open_chosen
    from wsd.evaluate.parity import compare, describe
    from wsd.models.registry import find_family
    from wsd.runtime.chromium import open_page
    from wsd.runtime.dawn_node import open_node_page
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    family = find_family(model)
    checkpoint = open_chosen(family, weights, random_weights, tokenizer, vae, schedule)
    open_host = open_node_page if host == "node" else open_page
    found = compare(folder, checkpoint, request, open_host, Progress())
    for line in describe(found):
        click.echo(line)
    write_pngs(found.pictures, out)
    write_report(found.report(), json_path)
    sys.exit(0 if found.good else 1)


@click.command()
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
@click.option("--json", "json_path", type=OutputFile(),
              help="Everything that was measured.")  # fmt: skip
@click.option("--plot", type=OutputFile(), help="The same as SVG.")
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
    from wsd.checkpoint.resolve import open_chosen
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
        checkpoint = open_chosen(family, weights, random_weights)
    elif weights is not None or random_weights is not None:
        raise UsageError("weights are for a comparison", "add --compare, or leave them out")
    open_host = open_node_page if host == "node" else open_page
    options = LoadOptions(kernels=kernels)
    found = measure(folder, model, size, repeats, options, open_host, Progress(), checkpoint)
    for line in describe(found, most):
        click.echo(line)
    if plot is not None:
        write_atomically(plot, draw_plot(found).encode())
    write_report(found.report(), json_path)
