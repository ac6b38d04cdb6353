"""Options that several commands share."""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsd.kernels.choice import AUTO, GENERATED, LEGACY_KERNEL_MODES, resolve_kernel_choice
from wsd.kernels.registry import variant_names
from wsd.models.scheduler_rules import PREDICTION_TYPES, TIMESTEP_SPACINGS
from wsd.runtime.prompt_syntax import PROMPT_SYNTAXES, PromptSyntax
from wsd.spec.classic_names import HASHED, LAYOUTS
from wsd.spec.picture import DEFAULT_FIT, FITS, Fit
from wsd.spec.precision import DTYPES
from wsd.spec.seed import MAX_SEED, MIN_SEED
from wsd.spec.skip_layer_guidance import DEFAULT_SCALE as SKIP_SCALE
from wsd.spec.skip_layer_guidance import DEFAULT_START as SKIP_START
from wsd.spec.skip_layer_guidance import DEFAULT_STOP as SKIP_STOP
from wsd.spec.tensor import Size
from wsd.util.files import check_file_target, check_folder_target
from wsd.util.terminal import say

if TYPE_CHECKING:
    from wsd.checkpoint.checkpoint import Checkpoint
    from wsd.evaluate.benchmark import BenchmarkReport
    from wsd.evaluate.parity import ParityReport
    from wsd.evaluate.visits import Visits
    from wsd.models.registry import Family
    from wsd.models.schedule_options import ScheduleOptions
    from wsd.runtime.driver import OpenHost, RenderReport
    from wsd.runtime.request import SkipLayerGuidance
    from wsd.spec.inference_settings import DiffusionSettings
    from wsd.spec.manifest import Manifest

    Report = BenchmarkReport | ParityReport | RenderReport | Visits

Callback = Callable[..., None]

# Digits of an edge of a picture. The model decides whether such a size can be compiled.
_SIZE_DIGITS = 5


def _read_settings(
    _context: click.Context, _param: click.Parameter, path: Path | None
) -> DiffusionSettings | None:
    """Return the settings of a file, which is read when the option is."""
    from wsd.runtime.settings import read_settings

    return None if path is None else read_settings(path)


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


class CornerType(click.ParamType[tuple[int, int]]):
    """Distances from the top and from the left in pixels, written 0,0."""

    name = "TOP,LEFT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (top, left), or fail as click does."""
        top, _, left = str(value).partition(",")
        if not all(side.isdecimal() and len(side) <= _SIZE_DIGITS for side in (top, left)):
            self.fail(f"{value!r} is not a corner such as 0,0", param, ctx)
        return int(top), int(left)


class LayersType(click.ParamType[tuple[int, ...]]):
    """Numbers of layers separated by commas, written 7,8,9."""

    name = "N,N,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers, or fail as click does."""
        if isinstance(value, tuple):
            return value
        numbers = [number.strip() for number in str(value).split(",")]
        if not all(number.isdecimal() and len(number) <= _SIZE_DIGITS for number in numbers):
            self.fail(f"{value!r} are not numbers of layers such as 7,8,9", param, ctx)
        return tuple(map(int, numbers))


class TextType(click.ParamType[str]):
    """Text that JSON and tokenizers can hold: not the bytes of another encoding.

    Attributes:
        may_be_blank: whether it may be empty, as a prompt may; a name may not.
    """

    name = "TEXT"

    def __init__(self, *, may_be_blank: bool = False) -> None:
        self.may_be_blank = may_be_blank

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


# Settings as one object: steps and size, tiles, what is evicted, by the same schema as the page's.
settings_option = click.option(
    "--settings",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=_read_settings,
    help="Settings as a JSON file with inference.diffusion; other options win over it.",
)

NAME = TextType()
PROMPT = TextType(may_be_blank=True)


class AdapterType(click.ParamType[tuple[str, float]]):
    """A file of an adapter, and its scale behind a colon: ``style.safetensors:0.8``."""

    name = "FILE[:SCALE]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return the file and the scale, 1 unless given, or fail as click does."""
        if isinstance(value, tuple):
            return value
        text = NAME.convert(value, param, ctx)
        path, colon, scale = text.rpartition(":")
        # A path may hold a colon too.
        if not colon or path.lower().endswith("/") or text.lower().endswith(".safetensors"):
            return text, 1.0
        try:
            factor = float(scale)
        except ValueError:
            self.fail(f"{scale!r} behind the colon is not a number such as 0.8", param, ctx)
        if not path or not math.isfinite(factor):
            self.fail(f"{value!r} is not a file and a finite number", param, ctx)
        return path, factor


class OutputPath(click.ParamType[Path]):
    """A path that can be written, which is known before anything long begins."""

    def __init__(self, name: str, check: Callable[[Path], None]) -> None:
        """Make the type of an output.

        Args:
            name: what the help shows in place of the path.
            check: raises ``UsageError`` or ``OSError`` for a path that cannot be written.
        """
        self.name = name
        self._check = check

    def convert(
        self, value: object, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Path:
        """Return the path.

        Raises:
            UsageError: if it is a folder that must be new, and exists.
            OSError: if it cannot be written.
        """
        path = Path(str(value))
        self._check(path)
        return path


NEW_FOLDER = OutputPath("DIR", check_folder_target)
OUTPUT_FILE = OutputPath("FILE", check_file_target)


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
            say(f"warning: --kernels {option} is deprecated", error=True)
            say(f"hint: name the variants: --kernels {names}", error=True)
        return names


_CHECKPOINT = {
    "model": click.option(
        "--model", required=True, metavar="NAME", type=NAME, help="Model; see: wsd models."
    ),
    "weights": click.option(
        "--weights", metavar="FOLDER|FILE|HUB_ID", type=NAME,
        help="Checkpoint: a diffusers folder, a .safetensors or .gguf file, a hub id, or a file of "
        "a hub repository.",
    ),
    "vae": click.option(
        "--vae", metavar="FOLDER|FILE|HUB_ID", type=NAME,
        help="VAE in place of the checkpoint's own.",
    ),
    "text_encoders": click.option(
        "--text-encoders", metavar="FOLDER|FILE|HUB_ID", type=NAME,
        help="Text encoders in place of the checkpoint's own.",
    ),
    "safety_checker": click.option(
        "--safety-checker", metavar="FOLDER|HUB_ID", type=NAME,
        help="A component that looks at finished pictures, for pages that ask for it.",
    ),
    "adapters": click.option(
        "--lora", "adapters", multiple=True, type=AdapterType(),
        help="An adapter (LoRA, LoCon, LoHa, LoKr, DoRA) to merge into the weights, and its scale, "
        "1 unless given; repeatable.",
    ),
    "text_encoder_3": click.option(
        "--text-encoder-3/--no-text-encoder-3", default=None,
        help="Whether Stable Diffusion 3.5's third text encoder (T5) is taken; if the checkpoint "
        "has it unless given.",
    ),
    "tokenizer": click.option(
        "--tokenizer", metavar="FOLDER",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="CLIP's tokenizer, for a checkpoint that has none.",
    ),
    "random_weights": click.option(
        "--random-weights", metavar="SEED", type=click.IntRange(MIN_SEED, MAX_SEED),
        help="Seeded random weights, for tests.",
    ),
}  # fmt: skip
weights_option, random_option = _CHECKPOINT["weights"], _CHECKPOINT["random_weights"]
adapters_option = _CHECKPOINT["adapters"]
dtype_option = click.option(
    "--dtype", type=click.Choice(DTYPES),
    help="How weights are stored; f32 unless given.",
)  # fmt: skip
layout_option = click.option(
    "--layout", type=click.Choice(LAYOUTS), default=HASHED,
    help="Names of the files: hashed alone unless given, or also those of the original.",
)  # fmt: skip
verbose_option = click.option(
    "-v", "--verbose", count=True,
    help="Show cache lookups, timings of passes, kernels that were matched and programs that "
         "were run, on standard error; -vv shows every variant and argument.",
)  # fmt: skip
text_only_option = click.option(
    "--text-to-image-only", "text_only", is_flag=True,
    help="Leave out what encodes a picture that is given: functions, and weights.",
)  # fmt: skip
dump_option = click.option(
    "--dump-ir", "dump", metavar="DIR", type=click.Path(path_type=Path),
    help="Write the IR after each pass and every shader to a new or empty folder. Compiles even "
         "if the library is cached, and does not change the library.",
)  # fmt: skip
database_option = click.option(
    "--database", metavar="DIR", type=click.Path(path_type=Path),
    help="Tuned schedules of this model, which `wsd tune` wrote, in place of those that come with "
         "it.",
)  # fmt: skip
no_database_option = click.option(
    "--no-database", is_flag=True,
    help="Leave out the tuned schedules that come with the model.",
)  # fmt: skip
sizes_option = click.option(
    "--size", "sizes", multiple=True, type=SizeType(), help="Picture size; repeatable."
)
chunks_option = click.option(
    "--prompt-chunks", type=click.IntRange(1, 16), metavar="N",
    help="How many chunks of 75 tokens a prompt may have; 3 unless given. Each above the first has "
         "functions of its own, which make the library larger.",
)  # fmt: skip
deep_cache_option = click.option(
    "--deep-cache", is_flag=True,
    help="Let the UNet keep deep features, so that a picture's cache interval can leave out most "
         "of it in most steps. Its functions make the library larger.",
)  # fmt: skip
kernels_option = click.option(
    "--kernels", type=KernelsType(), default=AUTO, show_default=True,
    help=f"Which kernels run: {AUTO}, {GENERATED}, or names of variants separated by commas: "
    f"{', '.join(variant_names())}.",
)  # fmt: skip
ignored_rules_option = click.option(
    "--ignore-rules", "ignored_rules", metavar="NAMES",
    help="Selection rules of the bundle that do not count, separated by commas; for support cases.",
)  # fmt: skip
host_option = click.option(
    "--host", type=click.Choice(("chromium", "node")), default="chromium", show_default=True,
    help="What runs the bundle.",
)  # fmt: skip
# Options of a generation request, by the names of their parameters.
_REQUEST = {
    "prompt": click.option("--prompt", required=True, type=PROMPT, help="What to draw."),
    "negative": click.option("--negative", type=PROMPT, help="What to avoid."),
    "steps": click.option("--steps", type=int, metavar="N", help="Inference steps, 1 to 100."),
    "guidance": click.option("--guidance", type=float, metavar="X",
                             help="Guidance scale; up to 1 means none."),
    "seed": click.option("--seed", type=int, default=0, metavar="N", help="Seed, as in PyTorch."),
    "size": click.option("--size", type=SizeType(), help="Width and height in pixels."),
    "scheduler": click.option("--scheduler", metavar="NAME", type=NAME,
                              help="Scheduler; the model's own unless given."),
    "images": click.option("--images", type=int, default=1, metavar="N",
                           help="Pictures from one seed."),
    "eta": click.option("--eta", type=float, metavar="X", help="DDIM's and TCD's noise, 0 to 1."),
    "prompt_syntax": click.option(
        "--prompt-syntax", type=click.Choice(PROMPT_SYNTAXES), default="plain", show_default=True,
        help="How prompts are read: as text, or with weights as in (word:1.3)."),
    "prompt2": click.option("--second-prompt", "prompt2", type=PROMPT,
                            help="What the second text encoder reads; the prompt unless given."),
    "negative2": click.option("--second-negative", "negative2", type=PROMPT,
                              help="What it reads of the negative prompt."),
    "prompt3": click.option(
        "--third-prompt", "prompt3", type=PROMPT,
        help="What Stable Diffusion 3.5's third text encoder (T5) reads; the prompt unless given."),
    "negative3": click.option("--third-negative", "negative3", type=PROMPT,
                              help="What it reads of the negative prompt."),
    "guidance_rescale": click.option(
        "--guidance-rescale", type=float, default=0, metavar="X",
        help="Against overexposure: 0, which changes nothing, to 1."),
    "guidance_start": click.option(
        "--guidance-start", type=float, default=0, metavar="X",
        help="Share of the steps before which there is no guidance, 0 to 1."),
    "guidance_stop": click.option(
        "--guidance-stop", type=float, default=1, metavar="X",
        help="Share of the steps from which on there is none, 0 to 1."),
    "cache_interval": click.option(
        "--cache-interval", type=click.IntRange(1), default=1, metavar="N",
        help="Run the whole UNet in every so many predictions alone; 1 for all of them. Bundles of "
             "--deep-cache take it."),
    "clip_skip": click.option(
        "--clip-skip", type=click.IntRange(0), default=0, metavar="N",
        help="How many of the text encoders' last layers are left out, as in diffusers: the web "
             "UI's number less 1."),
    "skip_guidance_layers": click.option(
        "--skip-guidance-layers", type=LayersType(),
        help="Blocks of Stable Diffusion 3.5's transformer without which it predicts what guidance "
             "leads away from, such as 7,8,9."),
    "skip_layer_guidance_scale": click.option(
        "--skip-layer-guidance-scale", type=float, metavar="X",
        help=f"How strongly it leads away; {SKIP_SCALE} unless given."),
    "skip_layer_guidance_start": click.option(
        "--skip-layer-guidance-start", type=float, metavar="X",
        help=f"Share of the steps after which it begins, 0 to 1; {SKIP_START} unless given."),
    "skip_layer_guidance_stop": click.option(
        "--skip-layer-guidance-stop", type=float, metavar="X",
        help=f"Share of the steps before which it ends, 0 to 1; {SKIP_STOP} unless given."),
    "original_size": click.option("--original-size", type=SizeType(),
                                  help="What SDXL is told of the picture before it was cut."),
    "crop_top_left": click.option("--crop-top-left", type=CornerType(),
                                  help="What SDXL is told of the cut."),
    "target_size": click.option("--target-size", type=SizeType(),
                                help="What SDXL is told of the size; the drawn one unless given."),
    "negative_original_size": click.option(
        "--negative-original-size", type=SizeType(), help="The same without the prompt."),
    "negative_crop_top_left": click.option(
        "--negative-crop-top-left", type=CornerType(), help="The same without the prompt."),
    "negative_target_size": click.option(
        "--negative-target-size", type=SizeType(), help="The same without the prompt."),
    "out": click.option("--out", required=True, type=OUTPUT_FILE, metavar="PNG",
                        help="The picture; several get numbers."),
}  # fmt: skip


# What a picture is drawn from.
_PICTURE = [
    click.option("--image", type=click.Path(path_type=Path), metavar="FILE",
                 help="A PNG, JPEG, WebP, AVIF, GIF or BMP file to draw from."),
    click.option("--mask", type=click.Path(path_type=Path), metavar="FILE",
                 help="As large as the picture: what is white in it is drawn anew."),
    click.option("--strength", type=float, metavar="X",
                 help="Share of the steps that are run, up to 1; less leaves more of the picture. "
                      "0.8 unless given, and 1 with a mask."),
    click.option("--fit", type=click.Choice(FITS),
                 help="How a picture of another size is brought to the drawn one; "
                      f"{DEFAULT_FIT} unless given."),
]  # fmt: skip
# What a checkpoint's files may not say. Names are checked where they are used: the lists of
# fine-tunes and schedulers are long.
_SCHEDULE = [
    click.option("--fine-tune", metavar="NAME", type=NAME,
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
    "--scheduler", metavar="NAME", type=NAME,
    help="The bundle's default scheduler; the checkpoint's own unless given.",
)  # fmt: skip


@dataclass(frozen=True)
class CheckpointChoice:
    """The values of the options that name a checkpoint.

    Attributes:
        model: name of the family.
        weights: a diffusers folder, a file, a hub id, or a file of a hub repository.
        vae: what takes the place of the checkpoint's VAE, named the same ways.
        tokenizer: a folder with CLIP's tokenizer.
        random_weights: seed of random weights.
        safety_checker: a folder or a hub id with a component that looks at finished pictures.
        adapters: files of adapters that are merged into the weights, and their scales.
        text_encoder_3: whether text encoders that can be left out are taken; None for those that
            the checkpoint has.
        text_encoders: what takes the place of the checkpoint's text encoders.
    """

    model: str
    weights: str | None = None
    vae: str | None = None
    tokenizer: Path | None = None
    random_weights: int | None = None
    safety_checker: str | None = None
    adapters: tuple[tuple[str, float], ...] = ()
    text_encoder_3: bool | None = None
    text_encoders: str | None = None

    @property
    def is_given(self) -> bool:
        """Tell whether any option was given that names a checkpoint or a part of one."""
        return self != CheckpointChoice(self.model, text_encoder_3=self.text_encoder_3)

    def compile_options(self) -> str:
        """Return the options with which ``wsd compile`` compiles the same variant, for a shell."""
        given = {
            "--weights": self.weights,
            "--vae": self.vae,
            "--text-encoders": self.text_encoders,
            "--safety-checker": self.safety_checker,
        }
        words = [f"{name} {shlex.quote(value)}" for name, value in given.items() if value]
        if self.text_encoder_3 is not None:
            words.append(f"--{'' if self.text_encoder_3 else 'no-'}text-encoder-3")
        return " ".join(words)

    def family(self) -> Family:
        """Return the family that ``--model`` names, with the text encoders that are wanted.

        Raises:
            UsageError: if there is none of this name, or nothing can be said of its encoders.
        """
        from wsd.models.registry import find_family

        return find_family(self.model).choose_encoders(self.text_encoder_3)

    def like(self, manifest: Manifest) -> CheckpointChoice:
        """Return the choice of the checkpoint that a bundle was built from.

        Args:
            manifest: of the bundle; it says which family it is of, and which text encoders it has.

        Raises:
            UsageError: if there is no such family.
        """
        from wsd.models.registry import find_family

        name = manifest.model.family or manifest.model.name
        optional = find_family(name).conditioning.optional
        has = all(encoder in manifest.conditioning.encoders for encoder in optional)
        return replace(self, model=name, text_encoder_3=has if optional else None)

    def variant(self) -> Family:
        """Return the family as the checkpoint's configurations have it, for a compiler.

        Raises:
            UsageError, CheckpointError: as :func:`wsd.checkpoint.resolve.read_variant`.
        """
        from wsd.checkpoint.resolve import read_variant

        return read_variant(
            self.family(), self.weights, self.vae, self.safety_checker, self.text_encoders
        )

    def open(self, schedule: ScheduleOptions | None = None) -> Checkpoint:
        """Open the checkpoint; if none is named, the one that the family ships.

        Args:
            schedule: how it is denoised, where its files do not say it; None if nothing is
                drawn.

        Raises:
            UsageError, CheckpointError: as :func:`wsd.checkpoint.resolve.open_chosen`.
        """
        from wsd.checkpoint.resolve import open_chosen
        from wsd.models.schedule_options import NOT_DENOISED

        return open_chosen(
            self.family(), self.weights, self.random_weights, self.tokenizer, self.vae,
            schedule or NOT_DENOISED, self.safety_checker, self.adapters, self.text_encoders,
        )  # fmt: skip


def checkpoint_options(*without: str) -> Callable[[Callback], Callback]:
    """Give a command the options that name a checkpoint; it gets them as one ``chosen``.

    Args:
        without: parameters of :class:`CheckpointChoice` that the command has no option for.
    """
    options = {name: option for name, option in _CHECKPOINT.items() if name not in without}

    def decorate(command: Callback) -> Callback:
        @functools.wraps(command)
        def collect(**given: Any) -> None:
            chosen = CheckpointChoice(**{name: given.pop(name) for name in options})
            command(chosen=chosen, **given)

        return _add(options.values(), collect)

    return decorate


def _add(options: Iterable[Callable[[Callback], Callback]], command: Callback) -> Callback:
    """Return a command with more options, which its help shows in the given order."""
    for option in reversed(list(options)):
        command = option(command)
    return command


def schedule_options(command: Callback) -> Callback:
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
        size = None if request is None else request.size
        sizes = rest.get("sizes", ()) if size is None else (size,)
        schedule = ScheduleOptions(
            fine_tune, scheduler, prediction_type, timestep_spacing, zero_snr, sizes
        )
        command(schedule=schedule, **rest)

    return _add(_SCHEDULE, collect)


def picture_options(command: Callback) -> Callback:
    """Give a command the options of a picture to draw from; it gets them as ``picture``."""

    @functools.wraps(command)
    def collect(
        *, image: Path | None, mask: Path | None, strength: float | None, fit: Fit | None,
        **rest: Any,
    ) -> None:  # fmt: skip
        from wsd.errors import UsageError
        from wsd.runtime.given_picture import read_given_picture

        if image is not None:
            picture = read_given_picture(image, mask, strength, fit or DEFAULT_FIT)
            command(picture=picture, **rest)
            return
        for name, value in (("--mask", mask), ("--strength", strength), ("--fit", fit)):
            if value is not None:
                raise UsageError(
                    f"{name} is given without --image", "give a picture, or leave it out"
                )
        command(picture=None, **rest)

    return _add(_PICTURE, collect)


def _read_skip_layers(
    layers: tuple[int, ...] | None, scale: float | None, start: float | None, stop: float | None
) -> SkipLayerGuidance | None:
    """Return the options of skip-layer guidance as one, in the order of the options.

    Raises:
        UsageError: for a value out of range, or another option without the layers.
    """
    from wsd.errors import UsageError
    from wsd.runtime.request import SkipLayerGuidance

    values = {"scale": scale, "start": start, "stop": stop}
    given = {name: value for name, value in values.items() if value is not None}
    if layers is not None:
        return SkipLayerGuidance(layers, **given)
    if given:
        raise UsageError(
            f"--skip-layer-guidance-{next(iter(given))} is given without --skip-guidance-layers",
            "give the layers too, such as 7,8,9, or leave it out",
        )
    return None


def request_options(*without: str) -> Callable[[Callback], Callback]:
    """Give a command the options of a picture; it gets them as one ``request``.

    Args:
        without: names of options that the command does not have, without their dashes.
    """
    options = [option for name, option in _REQUEST.items() if name not in without]

    def decorate(command: Callback) -> Callback:
        @functools.wraps(command)
        def collect(
            *, prompt: str, negative: str | None, steps: int | None, guidance: float | None,
            seed: int, size: Size | None, scheduler: str | None, eta: float | None,
            prompt_syntax: PromptSyntax, prompt2: str | None, negative2: str | None,
            prompt3: str | None, negative3: str | None,
            guidance_rescale: float, guidance_start: float, guidance_stop: float, clip_skip: int,
            cache_interval: int = 1, images: int = 1, **rest: Any,
        ) -> None:  # fmt: skip
            from wsd.runtime.request import GenerationRequest, GuidanceInterval, SizeConditions

            skip_layers = _read_skip_layers(
                *(rest.pop(name) for name in _REQUEST if name.startswith("skip_"))
            )
            conditions = {each.name: rest.pop(each.name) for each in fields(SizeConditions)}
            request = GenerationRequest(
                prompt, negative, steps, guidance, seed, size, scheduler, eta, images,
                prompt_syntax, prompt2, negative2, guidance_rescale, SizeConditions(**conditions),
                clip_skip, skip_layers, prompt3, negative3,
                GuidanceInterval(guidance_start, guidance_stop), cache_interval,
            )  # fmt: skip
            command(request=request, **rest)

        return _add(options, collect)

    return decorate


def find_host(name: str) -> OpenHost:
    """Return what opens a page in the host that ``--host`` names."""
    from wsd.runtime.chromium import open_page
    from wsd.runtime.dawn_node import open_node_page

    return open_node_page if name == "node" else open_page


def write_report(report: Report, path: Path | None) -> None:
    """Write what a command measured to the file of its option ``--json``, if it is given.

    JSON has no infinity: a number that is not finite, as the PSNR of equal pictures, is ``null``.

    Args:
        report: what is written, field by field.
        path: the value of ``--json``, or None.

    Raises:
        OSError: if it cannot be written.
    """
    from pydantic_core import to_json

    from wsd.util.files import write_atomically

    if path is not None:
        write_atomically(path, to_json(asdict(report), indent=2, inf_nan_mode="null") + b"\n")
