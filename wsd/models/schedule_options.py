"""How a checkpoint is denoised, where its files do not say it or a person says otherwise.

From the weakest word to the strongest: the family's own configuration, the checkpoint's, the
markers of a single file, the fine-tune that a person names, and each option that a person gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wsd.errors import CheckpointError, UsageError
from wsd.models.family import Family
from wsd.models.fine_tunes import FINE_TUNES, FineTune, suggest_fine_tunes
from wsd.models.scheduler_rules import PREDICTION_TYPES, TIMESTEP_SPACINGS
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    correct_config,
    default_scheduler,
    select_scheduler,
)
from wsd.spec.roles import DENOISER

# Marker of a single file → what it says.
_MARKED: Mapping[str, Mapping[str, Any]] = {
    "v_pred": {"prediction_type": "v_prediction"},
    "ztsnr": {"rescale_betas_zero_snr": True},
}


@dataclass(frozen=True)
class ScheduleOptions:
    """What a person says about how a checkpoint is denoised; None for what they do not say.

    Attributes:
        fine_tune: a key of :data:`wsd.models.fine_tunes.FINE_TUNES`.
        scheduler: a key of :data:`wsd.models.schedulers.SCHEDULERS`: the bundle's default.
        prediction_type: one of :data:`PREDICTION_TYPES`.
        timestep_spacing: one of :data:`TIMESTEP_SPACINGS`.
        zero_snr: whether the noise schedule is rescaled to zero terminal SNR (Lin et al. 2023).
    """

    fine_tune: str | None = None
    scheduler: str | None = None
    prediction_type: str | None = None
    timestep_spacing: str | None = None
    zero_snr: bool | None = None

    def __post_init__(self) -> None:
        """Refuse names that do not exist, before anything is loaded."""
        for option, value, known in (
            ("fine-tune", self.fine_tune, tuple(FINE_TUNES)),
            ("scheduler", self.scheduler, tuple(SCHEDULERS)),
            ("prediction type", self.prediction_type, PREDICTION_TYPES),
            ("timestep spacing", self.timestep_spacing, TIMESTEP_SPACINGS),
        ):
            if value is not None and value not in known:
                raise UsageError(f"unknown {option} {value!r}", f"known: {', '.join(known)}")

    def given(self) -> dict[str, str]:
        """Return the options that were given, by their names on the command line."""
        switch = None if self.zero_snr is None else str(self.zero_snr).lower()
        named = {
            "fine-tune": self.fine_tune,
            "scheduler": self.scheduler,
            "prediction-type": self.prediction_type,
            "timestep-spacing": self.timestep_spacing,
            "zero-snr": switch,
        }
        return {name: value for name, value in named.items() if value is not None}

    def config(self) -> dict[str, Any]:
        """Return the keys of a scheduler's configuration that were given."""
        said = {
            "prediction_type": self.prediction_type,
            "timestep_spacing": self.timestep_spacing,
            "rescale_betas_zero_snr": self.zero_snr,
        }
        return {key: value for key, value in said.items() if value is not None}


NO_OPTIONS = ScheduleOptions()


@dataclass(frozen=True)
class Denoising:
    """How a checkpoint is denoised.

    Attributes:
        family: with the default number of steps, guidance scale and eta.
        scheduler: configuration of the default scheduler, in diffusers' terms.
        notes: what somebody should know who did not expect it, each a sentence.
    """

    family: Family
    scheduler: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def compose_denoising(
    family: Family,
    own: Mapping[str, Any] | None,
    markers: frozenset[str],
    options: ScheduleOptions,
    place: str,
    pipeline: str | None = None,
) -> Denoising:
    """Return how a checkpoint is denoised, by everything that is said about it.

    Args:
        family: the checkpoint's, as it is compiled.
        own: the checkpoint's own scheduler configuration; None if it has none.
        markers: those that a single file holds.
        options: what a person says.
        place: name of the checkpoint, for notes and for suggestions.
        pipeline: class of the pipeline that the checkpoint names, whose constructor may correct
            the configuration; the family's unless given.

    Raises:
        UsageError: for options that do not suit the family.
        CheckpointError: for a configuration that the browser cannot follow.
    """
    base = dict(own or family.scheduler)
    base = dict(correct_config(base, pipeline or family.architecture.diffusers_pipeline))
    marked = {key: value for name in sorted(markers) for key, value in _MARKED[name].items()}
    tune = None if options.fine_tune is None else FINE_TUNES[options.fine_tune]
    notes: list[str] = []
    if tune is not None:
        _check_fine_tune(options.fine_tune or "", tune, family)
        notes += _note_size(options.fine_tune or "", tune, family)
        family = _with_defaults(family, tune)
    elif own is None:
        notes += _note_name(place, family)
    said = {**({} if tune is None else tune.config), **options.config()}
    name = options.scheduler or (None if tune is None else tune.scheduler)
    if name is None and own is None:
        name, more = _replace_unable({**base, **marked, **said})
        notes += more
    config = {**select_scheduler({**base, **marked, **said}, name), **said}
    # A configuration that no scheduler follows is an error here, not after minutes of compiling.
    build_scheduler(config)
    notes += _note_overridden(own, marked, said, place)
    if own is not None and name is not None and own.get("_class_name") != config["_class_name"]:
        notes.append(
            f"{place}: its own scheduler is {own.get('_class_name')}; {name} is taken as was asked"
        )
    return Denoising(family, config, tuple(notes))


def _check_fine_tune(name: str, tune: FineTune, family: Family) -> None:
    """Refuse a fine-tune of another architecture, or of another kind of UNet."""
    if family.architecture.name not in tune.architectures:
        fitting = [n for n, t in FINE_TUNES.items() if family.architecture.name in t.architectures]
        raise UsageError(
            f"there is no fine-tune {name} of {family.name}", f"there are: {', '.join(fitting)}"
        )
    embeds = family.component(DENOISER).config.get("time_cond_proj_dim") is not None
    if embeds != tune.embeds_guidance:
        needed, found = ("with", "without") if tune.embeds_guidance else ("without", "with")
        raise UsageError(
            f"{name} is for UNets {needed} an embedding of the guidance scale, and this "
            f"checkpoint's is {found} one",
            "a UNet with one is an lcm, a merged LoRA an lcm-lora",
        )


def _with_defaults(family: Family, tune: FineTune) -> Family:
    return replace(family, steps=tune.steps, guidance_scale=tune.guidance_scale, eta=tune.eta)


def _replace_unable(config: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Return the scheduler to take if the family's own cannot follow what a file says of itself."""
    try:
        build_scheduler(config)
    except CheckpointError as error:
        unable = default_scheduler(config)
        return "euler", [f"{error.message}: euler is taken instead of {unable}"]
    return None, []


def _note_size(name: str, tune: FineTune, family: Family) -> list[str]:
    if tune.size is None or tune.size in family.sizes:
        return []
    size = f"{tune.size[0]}x{tune.size[1]}"
    return [f"{name} was trained for {size}, which is compiled with --size {size}"]


def _note_name(place: str, family: Family) -> list[str]:
    found = suggest_fine_tunes(place.rpartition("/")[2], family.architecture.name)
    if not found:
        return []
    return [
        f"{place}: by its name it may be a fine-tune that needs other steps and another scheduler; "
        f"if it is, build it with --fine-tune {' or '.join(found)}"
    ]


def _note_overridden(
    own: Mapping[str, Any] | None,
    marked: Mapping[str, Any],
    said: Mapping[str, Any],
    place: str,
) -> list[str]:
    """Say which of the checkpoint's own words do not hold."""
    written = {**(own or {}), **marked}
    return [
        f"{place}: {key} is {written[key]!r}; {value!r} is taken as was asked"
        for key, value in said.items()
        if key in written and written[key] != value
    ]
