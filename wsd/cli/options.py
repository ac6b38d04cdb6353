"""Options that several commands share."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from wsd.kernels.choice import AUTO, GENERATED, LEGACY_KERNEL_MODES, resolve_kernel_choice
from wsd.kernels.registry import variant_names
from wsd.models.scheduler_rules import PREDICTION_TYPES, TIMESTEP_SPACINGS
from wsd.spec.precision import DTYPES
from wsd.spec.seed import MAX_SEED, MIN_SEED
from wsd.spec.tensor import Size
from wsd.util.files import check_file_target, check_folder_target

# Digits of an edge of a picture. The model decides whether such a size can be compiled.
_SIZE_DIGITS = 5


class SizeType(click.ParamType[Size]):
    """Width and height in pixels, written 512x512."""

    name = "WxH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Size:
        """Return (width, height), or fail as click does."""
        width, _, height = str(value).partition("x")
        if not all(edge.isdecimal() and len(edge) <= _SIZE_DIGITS for edge in (width, height)):
            self.fail(f"{value!r} is not a size such as 512x512", param, ctx)
        return int(width), int(height)


class TextType(click.ParamType[str]):
    """Text that JSON and tokenizers can hold: not the bytes of another encoding."""

    name = "TEXT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text, or fail as click does."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not UTF-8", param, ctx)
        return text


class OutputFolder(click.ParamType[Path]):
    """A folder that does not exist and can be made, which is known before anything long begins."""

    name = "DIR"

    def convert(
        self, value: object, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Path:
        """Return the path.

        Raises:
            UsageError: if it exists.
            OSError: if it cannot be made.
        """
        path = Path(str(value))
        check_folder_target(path)
        return path


class OutputFile(click.ParamType[Path]):
    """A file that can be written, which is known before anything long begins."""

    name = "FILE"

    def convert(
        self, value: object, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Path:
        """Return the path.

        Raises:
            OSError: if it is a folder, or cannot be written.
        """
        path = Path(str(value))
        check_file_target(path)
        return path


class KernelsType(click.ParamType[str]):
    """``auto``, ``generated``, or names of kernel variants separated by commas."""

    name = "NAMES"

    def convert(
        self, value: object, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> str:
        """Return the option as the page takes it.

        Raises:
            UsageError: for a name that no variant has.
        """
        option = str(value)
        names = resolve_kernel_choice(option)
        if option in LEGACY_KERNEL_MODES:
            click.echo(f"warning: --kernels {option} is deprecated", err=True)
            click.echo(f"hint: name the variants: --kernels {names}", err=True)
        return names


model_option = click.option(
    "--model", required=True, metavar="NAME", help="Model; see: wsd models."
)
weights_option = click.option(
    "--weights",
    metavar="FOLDER|FILE|HUB_ID",
    type=TextType(),
    help="Checkpoint: a diffusers folder, a .safetensors or .gguf file, a hub id, or a file of a "
    "hub repository.",
)
vae_option = click.option(
    "--vae",
    metavar="FOLDER|FILE|HUB_ID",
    type=TextType(),
    help="VAE in place of the checkpoint's own.",
)
tokenizer_option = click.option(
    "--tokenizer", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="CLIP's tokenizer, for a checkpoint that has none.",
)  # fmt: skip
random_option = click.option(
    "--random-weights",
    metavar="SEED",
    type=click.IntRange(MIN_SEED, MAX_SEED),
    help="Seeded random weights, for tests.",
)
dtype_option = click.option(
    "--dtype", type=click.Choice(DTYPES),
    help="How weights are stored; f32 unless given.",
)  # fmt: skip
verbose_option = click.option(
    "-v", "--verbose", count=True,
    help="Show cache lookups, timings of passes, kernels that were matched and programs that "
         "were run, on standard error; -vv shows every variant and argument.",
)  # fmt: skip
dump_option = click.option(
    "--dump-ir", "dump", metavar="DIR", type=click.Path(path_type=Path),
    help="Write the IR after each pass and every shader to a new or empty folder. Compiles even "
         "if the library is cached, and does not change the library.",
)  # fmt: skip
sizes_option = click.option(
    "--size", "sizes", multiple=True, type=SizeType(), help="Picture size; repeatable."
)
kernels_option = click.option(
    "--kernels", type=KernelsType(), default=AUTO, show_default=True,
    help=f"Which kernels run: {AUTO}, {GENERATED}, or names of variants separated by commas: "
    f"{', '.join(variant_names())}.",
)  # fmt: skip
# Options of a generation request.
_REQUEST = [
    click.option("--prompt", required=True, type=TextType(), help="What to draw."),
    click.option("--negative", type=TextType(), help="What to avoid."),
    click.option("--steps", type=int, metavar="N", help="Inference steps, 1 to 100."),
    click.option("--guidance", type=float, metavar="X", help="Guidance scale; up to 1 means none."),
    click.option("--seed", type=int, default=0, metavar="N", help="Seed, as in PyTorch."),
    click.option("--size", type=SizeType(), help="Width and height in pixels."),
    click.option("--scheduler", metavar="NAME", help="Scheduler; the model's own unless given."),
    click.option("--images", type=int, default=1, metavar="N", help="Pictures from one seed."),
    click.option("--eta", type=float, metavar="X", help="DDIM's and TCD's noise, 0 to 1."),
    click.option("--out", required=True, type=OutputFile(), metavar="PNG"),
]


# What a checkpoint's files may not say. Names are checked where they are used: the lists of
# fine-tunes and schedulers are long.
_SCHEDULE = [
    click.option("--fine-tune", metavar="NAME",
                 help="Kind of fine-tune, for what its files do not say: lightning-4step for "
                      "example, which sets scheduler, steps and guidance."),
    click.option("--prediction-type", type=click.Choice(PREDICTION_TYPES),
                 help="What the UNet predicts, if the checkpoint does not say it."),
    click.option("--timestep-spacing", type=click.Choice(TIMESTEP_SPACINGS),
                 help="How timesteps are spaced, if the checkpoint does not say it."),
    click.option("--zero-snr/--no-zero-snr", default=None,
                 help="Whether the noise schedule has zero terminal SNR."),
]  # fmt: skip
scheduler_option = click.option(
    "--scheduler", metavar="NAME",
    help="The bundle's default scheduler; the checkpoint's own unless given.",
)  # fmt: skip


def schedule_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the noise schedule; it gets them as one ``schedule``."""

    @functools.wraps(command)
    def collect(
        *, fine_tune: str | None, prediction_type: str | None, timestep_spacing: str | None,
        zero_snr: bool | None, **rest: Any,
    ) -> None:  # fmt: skip
        from wsd.models.schedule_options import ScheduleOptions

        request = rest.get("request")
        # Commands that draw have the option among those of the picture.
        scheduler = rest.pop("scheduler", None) if request is None else request.scheduler
        schedule = ScheduleOptions(
            fine_tune, scheduler, prediction_type, timestep_spacing, zero_snr
        )
        command(schedule=schedule, **rest)

    decorated: Callable[..., None] = collect
    for option in reversed(_SCHEDULE):
        decorated = option(decorated)
    return decorated


def request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a picture; it gets them as one ``request``."""

    @functools.wraps(command)
    def collect(
        *, prompt: str, negative: str | None, steps: int | None, guidance: float | None, seed: int,
        size: Size | None, scheduler: str | None, eta: float | None, images: int, **rest: Any,
    ) -> None:  # fmt: skip
        from wsd.runtime.request import GenerationRequest

        request = GenerationRequest(
            prompt, negative, steps, guidance, seed, size, scheduler, eta, images
        )
        command(request=request, **rest)

    decorated: Callable[..., None] = collect
    for option in reversed(_REQUEST):
        decorated = option(decorated)
    return decorated


def write_report(report: dict[str, Any], path: Path | None) -> None:
    """Write what a command measured to the file of its option ``--json``, if it is given."""
    from wsd.util.files import write_atomically

    if path is not None:
        write_atomically(path, json.dumps(report, indent=2).encode() + b"\n")
