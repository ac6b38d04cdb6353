"""The options of one picture, shared by ``wsd render`` and ``wsd reference``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from wsd.errors import UsageError
from wsd.models.schedulers import MAX_STEPS, SCHEDULERS
from wsd.runtime.prompt_syntax import PromptSyntax, parse_weights
from wsd.spec.inference_settings import MAX_GUIDANCE
from wsd.spec.seed import MAX_SEED, MIN_SEED
from wsd.spec.skip_layer_guidance import DEFAULT_SCALE, DEFAULT_START, DEFAULT_STOP

MAX_IMAGES = 16


@dataclass(frozen=True)
class SizeConditions:
    """What SDXL's UNet is told of sizes and crops; what is None is as in diffusers.

    Attributes:
        original_size: (width, height) of the picture before it was cut and resized.
        crop_top_left: (top, left) of the cut.
        target_size: (width, height) to which it was resized.
        negative_original_size: the same without the prompt; goes with the negative target size,
            unless a picture is drawn from.
        negative_crop_top_left: not with a picture, with which diffusers takes the prompt's.
        negative_target_size: goes with the negative original size.
    """

    original_size: tuple[int, int] | None = None
    crop_top_left: tuple[int, int] | None = None
    target_size: tuple[int, int] | None = None
    negative_original_size: tuple[int, int] | None = None
    negative_crop_top_left: tuple[int, int] | None = None
    negative_target_size: tuple[int, int] | None = None

    def given(self) -> dict[str, tuple[int, int]]:
        """Return those that are given, by their names."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def arguments(self) -> dict[str, tuple[int, int]]:
        """Return those that are given as arguments of diffusers' pipelines: heights first."""
        return {
            name.replace("crop_top_left", "crops_coords_top_left"): pair
            if name.endswith("crop_top_left")
            else pair[::-1]
            for name, pair in self.given().items()
        }


@dataclass(frozen=True)
class SkipLayerGuidance:
    """Guidance away from what a transformer predicts without some of its blocks.

    Attributes:
        layers: blocks that are left out, counted from 0; diffusers' ``skip_guidance_layers``.
        scale: how much of the difference is added to the guided prediction, 0 to 50.
        start: it begins after this share of the steps, 0 to 1.
        stop: it ends before this share of the steps, above ``start`` and up to 1.
    """

    layers: tuple[int, ...]
    scale: float = DEFAULT_SCALE
    start: float = DEFAULT_START
    stop: float = DEFAULT_STOP

    def __post_init__(self) -> None:
        """Refuse what is out of range, or would have no effect."""
        if not self.layers or min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
            listed = ",".join(map(str, self.layers))
            raise UsageError(
                f"skip guidance layers is {listed!r}",
                "give numbers of the transformer's blocks from 0 on, each once, such as 7,8,9",
            )
        if not 0 <= self.scale <= MAX_GUIDANCE:
            raise UsageError(
                f"skip layer guidance scale is {self.scale}",
                f"it must be from 0 to {MAX_GUIDANCE:g}",
            )
        if not 0 <= self.start < self.stop <= 1:
            raise UsageError(
                f"skip layer guidance starts at {self.start} and stops at {self.stop}",
                "both are shares of the steps from 0 to 1, and the start is less than the stop",
            )

    def arguments(self) -> dict[str, Any]:
        """Return them as arguments of diffusers' pipeline."""
        return {
            "skip_guidance_layers": list(self.layers),
            "skip_layer_guidance_scale": self.scale,
            "skip_layer_guidance_start": self.start,
            "skip_layer_guidance_stop": self.stop,
        }


@dataclass(frozen=True)
class GuidanceInterval:
    """The part of a run in which classifier-free guidance has an effect.

    Kynkäänniemi et al. 2024, "Applying guidance in a limited interval improves sample and
    distribution quality in diffusion models"; the arguments are those of diffusers'
    ``ClassifierFreeGuidance``. Outside of it the prediction with the prompt is taken alone.

    Attributes:
        start: share of the run's predictions before which there is none, from 0 to below 1.
        stop: share from which on there is none, from ``start`` up to 1.
    """

    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what diffusers refuses."""
        if not (0 <= self.start < 1 and self.start <= self.stop <= 1):
            raise UsageError(
                f"guidance starts at {self.start} and stops at {self.stop}",
                "both are shares of the steps: the start is from 0 to below 1, and the stop from "
                "the start up to 1",
            )

    @property
    def is_whole(self) -> bool:
        """Tell whether all predictions are guided, however many there are."""
        return self == GuidanceInterval()

    def guided(self, predictions: int) -> range:
        """Return the indices of the predictions that are guided, rounded as in diffusers.

        diffusers counts the steps of a run. They are its predictions but with schedulers that
        predict more often, of which it would leave the last ones unguided without any interval.

        Args:
            predictions: how many a run has.
        """
        return range(int(self.start * predictions), int(self.stop * predictions))


@dataclass(frozen=True)
class GenerationRequest:
    """What to draw; the names are diffusers'.

    Attributes:
        prompt: text to draw.
        negative_prompt: text to stay away from; used when guidance_scale > 1. None
            is the empty text, and for SDXL zeros in its place, as in diffusers.
        steps: number of inference steps, 1 to 100.
        guidance_scale: classifier-free guidance, 0 to 50; up to 1 means none.
        seed: of ``torch.Generator().manual_seed``, -2**63 to 2**64 - 1; a negative one means
            2**64 more, and the noise depends on the low 32 bits.
        size: (width, height) in pixels, or None for the model's default.
        scheduler: a key of ``wsd.models.schedulers.SCHEDULERS``, or None for the model's own.
        images: pictures from one seed, 1 to 16.
        eta: share of DDPM's noise that DDIM and TCD add, 0 to 1, or None for the model's default;
            other schedulers ignore it.
        prompt_syntax: how the prompts are read; see :mod:`wsd.runtime.prompt_syntax`.
        prompt2: what the second text encoder of SDXL and of Stable Diffusion 3.5 reads; the prompt
            if None or empty.
        negative_prompt2: the same of the negative prompt, with which it goes.
        prompt3: what the third text encoder of Stable Diffusion 3.5 reads; the prompt if None or
            empty.
        negative_prompt3: the same of the negative prompt.
        guidance_rescale: how much the guided prediction is brought back to the deviation of the
            prompt's, 0 to 1 (Lin et al. 2023, section 3.4).
        conditions: what SDXL is told of sizes and crops.
        clip_skip: how many of the text encoders' last layers are left out. As in diffusers the
            negative prompt is read by all of them; with a prompt syntax of weights it is not, as
            in the web UI.
        skip_layers: guidance away from the prediction without some blocks, or None for none. As
            in diffusers' pipeline it has no effect without classifier-free guidance.
        cache_interval: every so many predictions the whole UNet runs, and its outermost layers
            alone in the others, as ``cache_interval`` of the package DeepCache; 1 for all of them.
        guidance_interval: in which part of the run there is guidance. Skip-layer guidance has an
            effect inside of it alone, so the two must overlap.
    """

    prompt: str
    negative_prompt: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int = 0
    size: tuple[int, int] | None = None
    scheduler: str | None = None
    eta: float | None = None
    images: int = 1
    prompt_syntax: PromptSyntax = "plain"
    prompt2: str | None = None
    negative_prompt2: str | None = None
    guidance_rescale: float = 0.0
    conditions: SizeConditions = field(default_factory=SizeConditions)
    clip_skip: int = 0
    skip_layers: SkipLayerGuidance | None = None
    prompt3: str | None = None
    negative_prompt3: str | None = None
    guidance_interval: GuidanceInterval = field(default_factory=GuidanceInterval)
    cache_interval: int = 1

    def runs_whole(self, index: int, guided: range) -> bool:
        """Tell whether a prediction runs the whole UNet, and not its outermost layers alone.

        It does so every ``cache_interval`` predictions, as in the package DeepCache, which counts
        timesteps and does not tell two of one value apart. It also does where guidance begins: no
        prediction without the prompt has left features before.

        Args:
            index: of the prediction in the run.
            guided: those that are guided; none without guidance.
        """
        begins = index in guided and index - 1 not in guided
        return begins or index % self.cache_interval == 0

    def texts(self) -> tuple[str, str, str]:
        """Return what the first, a second and a third text encoder read."""
        return self.prompt, self.prompt2 or self.prompt, self.prompt3 or self.prompt

    def negative_texts(self) -> tuple[str, str, str]:
        """Return the same of the negative prompt, which is empty if there is none."""
        first = self.negative_prompt or ""
        return first, self.negative_prompt2 or first, self.negative_prompt3 or first

    def __post_init__(self) -> None:
        """Refuse what is out of range, before anything is loaded."""
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"steps is {self.steps}", f"it must be from 1 to {MAX_STEPS}")
        if not 1 <= self.images <= MAX_IMAGES:
            raise UsageError(f"images is {self.images}", f"it must be from 1 to {MAX_IMAGES}")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise UsageError(f"eta is {self.eta}", "it must be from 0 to 1")
        if self.scheduler is not None and self.scheduler not in SCHEDULERS:
            raise UsageError(
                f"unknown scheduler {self.scheduler!r}", f"known: {', '.join(SCHEDULERS)}"
            )
        if not MIN_SEED <= self.seed <= MAX_SEED:
            raise UsageError(f"seed is {self.seed}", f"it must be from {MIN_SEED} to {MAX_SEED}")
        if self.guidance_scale is not None and not 0 <= self.guidance_scale <= MAX_GUIDANCE:
            raise UsageError(
                f"guidance is {self.guidance_scale}", f"it must be from 0 to {MAX_GUIDANCE:g}"
            )
        if not 0 <= self.guidance_rescale <= 1:
            raise UsageError(
                f"guidance rescale is {self.guidance_rescale}", "it must be from 0 to 1"
            )
        skip, interval = self.skip_layers, self.guidance_interval
        if skip is not None and not (interval.start < skip.stop and skip.start < interval.stop):
            raise UsageError(
                f"skip-layer guidance is from {skip.start} to {skip.stop} of the steps, and "
                f"guidance from {interval.start} to {interval.stop}",
                "let the two overlap: skip-layer guidance is a part of guidance, and has no "
                "effect without it",
            )
        if self.cache_interval < 1:
            raise UsageError(
                f"cache interval is {self.cache_interval}",
                "it must be 1, with which the whole UNet always runs, or more predictions",
            )
        if self.clip_skip < 0:
            raise UsageError(f"clip skip is {self.clip_skip}", "it must be 0 or more layers")
        if self.prompt_syntax != "plain":
            for text, name, negative in (
                (self.prompt, "prompt", False),
                (self.prompt2, "prompt2", False),
                (self.negative_prompt, "negative prompt", True),
                (self.negative_prompt2, "negative prompt2", True),
                (self.prompt3, "prompt3", False),
                (self.negative_prompt3, "negative prompt3", True),
            ):
                parse_weights(text or "", name, negative=negative)
