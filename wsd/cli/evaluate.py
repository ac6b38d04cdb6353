"""Commands that compare and time: reference, parity, bench."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsd.cli.command import Unused, command
from wsd.cli.options import (
    NAME,
    OUTPUT_FILE,
    CheckpointChoice,
    SizeType,
    adapters_option,
    checkpoint_options,
    chunks_option,
    dtype_option,
    find_host,
    host_option,
    ignored_rules_option,
    kernels_option,
    picture_options,
    random_option,
    request_options,
    schedule_options,
    settings_option,
    sizes_option,
    text_encoder_3_option,
    weights_option,
    write_report,
)
from wsd.spec.seed import MAX_SEED, MIN_SEED
from wsd.util.terminal import say

if TYPE_CHECKING:
    from wsd.evaluate.benchmark import Benchmark
    from wsd.models.schedule_options import ScheduleOptions
    from wsd.runtime.given_picture import GivenPicture
    from wsd.runtime.request import GenerationRequest
    from wsd.spec.inference_settings import DiffusionSettings
    from wsd.spec.tensor import Size


@command()
@checkpoint_options()
@request_options()
@picture_options
@schedule_options
@settings_option
def reference(
    chosen: CheckpointChoice, request: GenerationRequest, schedule: ScheduleOptions, out: Path,
    picture: GivenPicture | None, settings: DiffusionSettings | None,
) -> None:  # fmt: skip
    """Draw the same picture with diffusers, on the CPU."""
    from wsd.evaluate.diffusers_reference import (
        check_drawing,
        check_early,
        choose_size,
        draw_reference,
        load_pipeline,
    )
    from wsd.evaluate.settings_reference import fill_family_request, tile_reference
    from wsd.models.resolution import check_sizes, check_sizes_early
    from wsd.models.schedulers import describe_schedulers
    from wsd.runtime.infotext import format_settings
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    if settings is not None:
        request = fill_family_request(chosen.family(), request, settings)
    sizes = [request.size] if request.size else []
    check_sizes_early(chosen.family(), sizes)
    check_early(chosen.family(), request, picture, schedule.fine_tune)
    checkpoint = chosen.open(schedule)
    check_sizes(checkpoint.family, sizes)
    request = replace(request, size=choose_size(checkpoint.family, request, picture))
    request = check_drawing(checkpoint, request, picture)
    if picture is not None and request.size is not None:
        picture = picture.fit_to(request.size)
    pipeline = load_pipeline(checkpoint)
    if settings is not None:
        tile_reference(checkpoint.family, pipeline, settings, request.size)
    images, _latents = draw_reference(checkpoint, pipeline, request, Progress(), picture=picture)
    if request.scheduler is None:
        request = replace(request, scheduler=describe_schedulers(checkpoint.scheduler).default)
    infotext = format_settings(request, checkpoint.family.name, picture)
    for path in write_pngs(images, out, infotext):
        say(path)
    if checkpoint.safety_checker is not None:
        from wsd.evaluate.safety_reference import SafetyReference

        for number, decision in enumerate(SafetyReference(checkpoint).check(images)):
            found = ", ".join(map(str, decision.concepts))
            verdict = f"flagged, concepts {found}" if decision.flagged else "not flagged"
            say(f"picture {number}: {verdict} by the safety checker", error=True)


@command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@checkpoint_options("text_encoder_3")
@request_options("images")
@picture_options
@schedule_options
@text_encoder_3_option
@host_option
@kernels_option
@ignored_rules_option
@settings_option
@click.option("--json", "json_path", type=OUTPUT_FILE, help="The findings.")
def parity(
    folder: Path, chosen: CheckpointChoice, request: GenerationRequest, schedule: ScheduleOptions,
    out: Path, host: str, json_path: Path | None, picture: GivenPicture | None,
    settings: DiffusionSettings | None, text_encoder_3: bool | None, kernels: str,
    ignored_rules: str | None,
) -> None:  # fmt: skip
    """Compare a bundle with PyTorch on this machine; exit 1 if they differ."""
    from wsd.bundle.manifest import find_manifest, read_manifest
    from wsd.evaluate.parity import compare, describe
    from wsd.runtime.developer_build import check_developer_tvm
    from wsd.runtime.driver import LoadOptions
    from wsd.runtime.png import write_pngs
    from wsd.runtime.settings import settle_request
    from wsd.runtime.text_encoder_choice import choose_encoders
    from wsd.runtime.validation import check_ignored_rules, check_picture
    from wsd.util.progress import Progress

    manifest = choose_encoders(read_manifest(find_manifest(folder, chosen.model)), text_encoder_3)
    # Before a checkpoint is fetched, or drawn at random.
    check_developer_tvm(folder, manifest)
    check_ignored_rules(manifest, ignored_rules)
    options = LoadOptions(
        kernels=kernels, ignored_rules=ignored_rules, text_encoder_3=text_encoder_3
    )
    if settings is not None:
        request = settle_request(manifest, request, settings)
    request, picture = check_picture(manifest, request, picture)
    described = manifest.model
    # The bundle was built with these options, so it is compared with them.
    schedule = schedule.fill_in(described.options)
    checkpoint = chosen.like(manifest).open(schedule)
    found = compare(
        folder, checkpoint, request, find_host(host), Progress(), model=described.name,
        picture=picture, settings=settings, options=options,
    )  # fmt: skip
    for line in describe(found):
        say(line)
    write_pngs(found.pictures, out)
    write_report(found.report(), json_path)
    sys.exit(0 if found.good else 1)


@command(
    Unused(
        ("--weights", "--random-weights", "--lora"),
        without="--compare",
        hint="weights are for a comparison: add --compare, or leave them out",
    ),
    Unused(
        ("--size", "--repeats", "--kernels", "--ignore-rules", "--host", "--most", "--load-lora",
         "--compare", "--tune", "--seconds", "--text-encoder-3"),
        beside="--visit",
        hint="a visit is to the page as it is, in Chromium: leave them out",
    ),
    Unused(
        ("--kernels",),
        beside="--tune",
        hint="tuning chooses among all variants: leave it out",
    ),
    Unused(
        ("--seconds",),
        without="--tune",
        hint="it is how long kernels are tuned: add --tune FILE, or leave it out",
    ),
)  # fmt: skip
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", type=NAME, help="Which of its models. Default: the first.")
@click.option("--visit", is_flag=True,
              help="Time a first and a second visit to the page in Chromium instead.")  # fmt: skip
@click.option("--size", type=SizeType(), help="Default: the model's own.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=5, show_default=True,
              help="Calls of each stage that are timed.")  # fmt: skip
@kernels_option
@ignored_rules_option
@text_encoder_3_option
@host_option
@click.option("--most", type=click.IntRange(0), default=8, show_default=True,
              help="Kernels of a stage that are listed.")  # fmt: skip
@click.option("--json", "json_path", type=OUTPUT_FILE, help="Everything that was measured.")
@click.option("--plot", type=OUTPUT_FILE, help="A plot of the times, as SVG.")
@click.option(
    "--load-lora",
    "lora",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Time loading this LoRA while the model runs, other scales, and unloading it.",
)
@click.option("--tune", "choices_path", type=OUTPUT_FILE,
              help="Choose the fastest variant of each kernel on this GPU, and write them "
                   "here, beside those of other GPUs.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1, 3600), default=60,
              show_default=True, help="How long kernels are tuned at most.")  # fmt: skip
@click.option("--compare", is_flag=True,
              help="Measure onnxruntime-web and PyTorch on the denoiser too.")  # fmt: skip
@weights_option
@random_option
@adapters_option
def bench(
    folder: Path, model: str | None, visit: bool, size: tuple[int, int] | None, repeats: int,
    kernels: str, ignored_rules: str | None, text_encoder_3: bool | None, host: str, most: int,
    json_path: Path | None, plot: Path | None, lora: Path | None, choices_path: Path | None,
    seconds: float, compare: bool, weights: str | None, random_weights: int | None,
    adapters: tuple[tuple[str, float], ...],
) -> None:  # fmt: skip
    """Time a bundle's stages and kernels on this machine, or visits to its page."""
    from wsd.bundle.manifest import find_manifest, read_manifest
    from wsd.bundle.merged_adapters import check_adapters
    from wsd.evaluate.baselines import check_packages
    from wsd.evaluate.benchmark import bench as measure
    from wsd.evaluate.benchmark import describe
    from wsd.evaluate.benchmark_plot import check_plotting, draw_plot
    from wsd.evaluate.kernel_choices import (
        check_variants,
        make_table,
        read_tables,
        replace_table,
        write_tables,
    )
    from wsd.runtime.developer_build import check_developer_tvm
    from wsd.runtime.driver import LoadOptions
    from wsd.runtime.request import GenerationRequest
    from wsd.runtime.text_encoder_choice import choose_encoders
    from wsd.runtime.validation import check_request
    from wsd.util.files import write_atomically
    from wsd.util.progress import Progress

    if plot is not None:
        check_plotting()
    if visit:
        _time_visits(folder, model, json_path, plot)
        return
    described = read_manifest(find_manifest(folder, model))
    checkpoint = None
    if compare:
        manifest = choose_encoders(described, text_encoder_3)
        # Before a checkpoint is fetched, or drawn at random.
        check_developer_tvm(folder, manifest)
        check_packages()
        check_request(manifest, GenerationRequest(prompt="", size=size))
        chosen = CheckpointChoice(
            manifest.model.name, weights, random_weights=random_weights, adapters=adapters
        )
        checkpoint = chosen.like(manifest).open()
        check_adapters(manifest, checkpoint)
    options = LoadOptions(
        kernels=kernels, ignored_rules=ignored_rules, text_encoder_3=text_encoder_3
    )
    tables = []
    if choices_path is not None:
        # Before anything is measured.
        check_variants(described)
        tables = read_tables(choices_path)
    shown = 0

    def show(found: Benchmark) -> None:
        """Print what is new, and write all that is known, so that nothing is lost that follows."""
        nonlocal shown
        lines = describe(found, most)
        for line in lines[shown:]:
            say(line)
        shown = len(lines)
        if plot is not None:
            write_atomically(plot, draw_plot(found).encode())
        if choices_path is not None and found.tuning is not None:
            table = make_table(described, found.tuning)
            write_tables(choices_path, replace_table(tables, table))
        write_report(found.report(), json_path)

    measure(
        folder, model, size, repeats, options, find_host(host), Progress(), checkpoint, lora,
        None if choices_path is None else seconds, show,
    )  # fmt: skip


def _time_visits(
    folder: Path, model: str | None, json_path: Path | None, plot: Path | None
) -> None:
    from wsd.evaluate.visits import describe_visits, draw_visits, visit
    from wsd.util.files import write_atomically
    from wsd.util.progress import Progress

    found = visit(folder, model, Progress())
    for line in describe_visits(found):
        say(line)
    if plot is not None:
        write_atomically(plot, draw_visits(found).encode())
    write_report(found, json_path)


@command()
@checkpoint_options("tokenizer", "random_weights", "adapters")
@dtype_option
@sizes_option
@chunks_option
@click.option("--database", required=True, metavar="DIR", type=click.Path(path_type=Path),
              help="The schedules that were found, for wsd compile --database. One that is there "
                   "is continued.")  # fmt: skip
@click.option("--trials", type=click.IntRange(1), default=1000, show_default=True,
              help="Schedules that are timed at most.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1), default=600, show_default=True,
              help="How long to search at most.")  # fmt: skip
@click.option("--seed", type=click.IntRange(MIN_SEED, MAX_SEED), default=0, show_default=True,
              help="Decides the inputs and the order of the schedules.")  # fmt: skip
@click.option("--gain", type=click.FloatRange(1.0), default=1.05, show_default=True,
              help="How many times as fast a schedule has to make a kernel.")  # fmt: skip
@click.option("--function", "named", multiple=True, metavar="NAME",
              help="A function to search, as the table lists it; repeatable. All of them unless "
                   "given.")  # fmt: skip
def tune(
    chosen: CheckpointChoice, dtype: str | None, sizes: tuple[Size, ...], database: Path,
    trials: int, seconds: int, seed: int, gain: float, named: tuple[str, ...],
    prompt_chunks: int | None,
) -> None:  # fmt: skip
    """Search faster schedules of a model's generated kernels on this machine's WebGPU.

    What is found is kept when the search is interrupted.
    """
    from wsd.evaluate.tune_schedules import describe_database, tune_family
    from wsd.models.resolution import check_sizes, check_sizes_early
    from wsd.util.progress import Progress

    family = chosen.family()
    check_sizes_early(family, sizes)
    if chosen.is_given:
        family = chosen.variant()
    if prompt_chunks is not None:
        family = replace(family, prompt_chunks=prompt_chunks)
    found = tune_family(
        family, check_sizes(family, sizes), dtype or "f32", database, trials, seconds, seed, gain,
        named, Progress(),
    )  # fmt: skip
    for line in describe_database(found):
        say(line)
