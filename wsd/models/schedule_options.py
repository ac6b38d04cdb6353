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
from wsd.models.scheduler_rules import PREDICTION_TYPES, TIMESTEP_SPACINGS, defaults_of
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    correct_config,
    default_scheduler,
    noise_kind,
    suitable_schedulers,
)
from wsd.spec.roles import DENOISER
from wsd.spec.tensor import Size

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
        sizes: width and height in pixels of each picture size that is asked for; empty for the
            family's. Notes about sizes depend on it, and nothing else does.
        draws: whether the checkpoint is denoised at all; if not, its scheduler is not looked at.
    """

    fine_tune: str | None = None
    scheduler: str | None = None
    prediction_type: str | None = None
    timestep_spacing: str | None = None
    zero_snr: bool | None = None
    sizes: tuple[Size, ...] = ()
    draws: bool = True

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

    def fill_in(self, recorded: Mapping[str, str]) -> ScheduleOptions:
        """Return these options, and for each that was not given the one that a bundle records.

        Args:
            recorded: ``model.options`` of a manifest, in the form of :meth:`given`.

        Raises:
            UsageError: for a recorded name that this version does not know.
        """
        switch = {"true": True, "false": False}.get(recorded.get("zero-snr", ""))
        return replace(
            self,
            fine_tune=self.fine_tune or recorded.get("fine-tune"),
            scheduler=self.scheduler or recorded.get("scheduler"),
            prediction_type=self.prediction_type or recorded.get("prediction-type"),
            timestep_spacing=self.timestep_spacing or recorded.get("timestep-spacing"),
            zero_snr=switch if self.zero_snr is None else self.zero_snr,
        )

    def need_class(self) -> bool:
        """Return whether the checkpoint must name its scheduler's class.

        It need not where nothing is denoised, or where an option or a fine-tune names a scheduler.
        """
        return self.draws and self.scheduler is None and self.fine_tune is None

    def config(self) -> dict[str, Any]:
        """Return the keys of a scheduler's configuration that were given."""
        said = {
            "prediction_type": self.prediction_type,
            "timestep_spacing": self.timestep_spacing,
            "rescale_betas_zero_snr": self.zero_snr,
        }
        return {key: value for key, value in said.items() if value is not None}


NO_OPTIONS = ScheduleOptions()
# For commands that draw nothing: compile, expect, bench.
NOT_DENOISED = ScheduleOptions(draws=False)


@dataclass(frozen=True)
class Denoising:
    """How a checkpoint is denoised.

    Attributes:
        family: with the default number of steps, guidance scale and eta.
        scheduler: configuration of the checkpoint's own scheduler in diffusers' terms, changed by
            what was said; every scheduler takes it over, as ``from_config`` does.
        default_scheduler: a key of :data:`wsd.models.schedulers.SCHEDULERS`, the scheduler that
            draws unless a picture names one; None for the one that the configuration means.
        notes: what somebody should know who did not expect it, each a sentence.
    """

    family: Family
    scheduler: Mapping[str, Any]
    default_scheduler: str | None = None
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
    taken = family.scheduler
    if own is not None and noise_kind(own) == noise_kind(taken):
        taken = own
    base = correct_config(
        taken,
        pipeline or family.architecture.diffusers_pipeline,
    )
    if not options.draws:
        return Denoising(family, base)
    if own is not None and taken is not own and options.need_class():
        raise CheckpointError(
            f"{place}: its scheduler is {own.get('_class_name')}, which has not the kind of noise "
            f"schedule of {family.name}",
            "choose another one with --scheduler: "
            + ", ".join(suitable_schedulers(family.scheduler)),
        )
    marked = {key: value for name in sorted(markers) for key, value in _MARKED[name].items()}
    said = options.config()
    name = options.scheduler
    notes: list[str] = []
    tuned = family
    if options.fine_tune is not None:
        tune = FINE_TUNES[options.fine_tune]
        _check_fine_tune(options.fine_tune, tune, family)
        notes += _note_size(options.fine_tune, tune, options.sizes or family.sizes)
        tuned = _with_defaults(family, tune)
        said = {**tune.config, **said}
        name = name or tune.scheduler
    config = {**base, **marked, **said}
    if name is None and own is None:
        name, more = _replace_unable(config)
        notes += more
    # A configuration that no scheduler follows is an error here, not after minutes of compiling.
    built = build_scheduler(config, name)
    _check_said(options.config(), built)
    if options.fine_tune is None and own is None:
        notes += _note_name(family, markers, options, place, built)
    notes += _note_overridden(own, marked, said, place)
    if own is not None and name is not None and own.get("_class_name") != type(built).__name__:
        known = own.get("_class_name", "of a class that no file names")
        notes.append(f"{place}: its own scheduler is {known}; {name} is taken as was asked")
    return Denoising(tuned, config, name, tuple(notes))


def _check_fine_tune(name: str, tune: FineTune, family: Family) -> None:
    """Refuse a fine-tune of another architecture, or of another kind of UNet."""
    embeds = family.component(DENOISER).config.get("time_cond_proj_dim") is not None
    fitting = [
        known
        for known, other in FINE_TUNES.items()
        if family.architecture.name in other.architectures and other.embeds_guidance == embeds
    ]
    hint = f"there are: {', '.join(fitting)}" if fitting else "leave the fine-tune out"
    if family.architecture.name not in tune.architectures:
        raise UsageError(f"there is no fine-tune {name} of {family.name}", hint)
    if embeds != tune.embeds_guidance:
        needed, found = ("with", "without") if tune.embeds_guidance else ("without", "with")
        raise UsageError(
            f"{name} is for UNets {needed} an embedding of the guidance scale, and this "
            f"checkpoint's is {found} one",
            f"for a UNet {found} one {hint}",
        )


def _with_defaults(family: Family, tune: FineTune) -> Family:
    return replace(family, steps=tune.steps, guidance_scale=tune.guidance_scale, eta=tune.eta)


def _check_said(said: Mapping[str, Any], built: Any) -> None:
    """Refuse what somebody says of a scheduler that has no such option, as flow matching's."""
    for key, value in said.items():
        if value and key not in defaults_of(type(built).__name__):
            option = key.replace("_", "-")
            raise UsageError(
                f"{type(built).__name__} has no {key}, which was said to be {value!r}",
                f"leave --{option} out, or choose another scheduler with --scheduler",
            )


def _replace_unable(config: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Return the scheduler to take if the family's own cannot follow what a file says of itself."""
    if noise_kind(config) == "flow":
        return None, []
    try:
        build_scheduler(config)
    except CheckpointError as error:
        unable = default_scheduler(config)
        return "euler", [f"{error.message}: euler is taken instead of {unable}"]
    return None, []


def _note_size(name: str, tune: FineTune, sizes: tuple[Size, ...]) -> list[str]:
    """Say for which size a fine-tune was trained, if it is not among those that are asked for."""
    if tune.size is None or tune.size in sizes:
        return []
    size = f"{tune.size[0]}x{tune.size[1]}"
    return [f"{name} was trained for {size}: pass --size {size}"]


def _note_name(
    family: Family, markers: frozenset[str], options: ScheduleOptions, place: str, built: Any
) -> list[str]:
    """Suggest the fine-tunes that a file may be by its name.

    Each suggestion is tried first. One that this family or these options do not allow is left out,
    and nothing is suggested if the default scheduler already is what one of them would choose.

    Args:
        family: the checkpoint's.
        markers: those that a single file holds.
        options: what a person says, without a fine-tune.
        place: name of the checkpoint.
        built: the default scheduler, of diffusers.
    """
    found = []
    for name in suggest_fine_tunes(place.rpartition("/")[2], family.architecture.name):
        try:
            tuned = compose_denoising(
                family, None, markers, replace(options, fine_tune=name), place
            )
        except (UsageError, CheckpointError):
            continue
        if _are_alike(build_scheduler(tuned.scheduler, tuned.default_scheduler), built):
            return []
        found.append(name)
    if not found:
        return []
    return [
        f"{place}: by its name it may be a fine-tune that needs other steps and another scheduler; "
        f"if it is, say so with --fine-tune {' or '.join(found)}"
    ]


def _are_alike(one: Any, other: Any) -> bool:
    """Return whether two schedulers of diffusers have one class, and the same options of it."""
    if type(one) is not type(other):
        return False
    keys = defaults_of(type(one).__name__)
    return all(one.config[key] == other.config[key] for key in keys)


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
