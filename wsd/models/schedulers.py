"""The schedulers that can draw, what each needs of a model, and their constants for the manifest.

The browser computes each step's coefficients itself, in float64
(``web/src/pipeline/schedulers``). From here it needs the noise schedule that diffusers uses, to the
bit, and the configuration of each scheduler that suits the model.

A *configuration* is a mapping in diffusers' terms, as ``scheduler_config.json`` holds it,
``_class_name`` included: a family's own or a checkpoint's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wsd.errors import CheckpointError, UsageError
from wsd.spec.manifest import NoiseSchedule, SchedulerConfig, Schedulers

MAX_STEPS = 100

# Family of noise schedules: "discrete" is a table of alphas, one for each training timestep (Ho
# et al. 2020). Flow matching, whose sigmas are continuous, would be another word here.
NoiseKind = Literal["discrete"]


@dataclass(frozen=True)
class Scheduler:
    """One way to denoise, and what it needs of a model.

    Attributes:
        title: name for people.
        class_name: class in diffusers.
        algorithm: name in ``web/src/pipeline/schedulers/index.ts``.
        options: configuration on top of the model's.
        kind: kind of noise schedule that it needs.
        predictions: what the model may predict.
    """

    title: str
    class_name: str
    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: NoiseKind = "discrete"
    predictions: tuple[str, ...] = ("epsilon", "v_prediction")


SCHEDULERS: dict[str, Scheduler] = {
    "dpmpp_2m": Scheduler("DPM-Solver++ 2M", "DPMSolverMultistepScheduler", "dpmpp2m"),
    "dpmpp_2m_karras": Scheduler(
        "DPM-Solver++ 2M Karras",
        "DPMSolverMultistepScheduler",
        "dpmpp2m",
        {"use_karras_sigmas": True},
    ),
    "pndm": Scheduler("PNDM", "PNDMScheduler", "pndm", {"skip_prk_steps": True}),
    "euler": Scheduler("Euler", "EulerDiscreteScheduler", "euler"),
    "euler_a": Scheduler("Euler ancestral", "EulerAncestralDiscreteScheduler", "euler_ancestral"),
    "ddim": Scheduler("DDIM", "DDIMScheduler", "ddim"),
    "lcm": Scheduler("LCM", "LCMScheduler", "lcm"),
}

# Keys of a configuration that describe the model and hold for every scheduler.
_OF_THE_MODEL = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type",
    "steps_offset", "set_alpha_to_one", "clip_sample",
)  # fmt: skip

# Values that the browser's schedulers implement; a key that diffusers' class lacks is skipped.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "algorithm_type": ("dpmsolver++",),
    "solver_order": (2,),
    "solver_type": ("midpoint",),
    "lower_order_final": (True,),
    "final_sigmas_type": ("zero",),
    "prediction_type": ("epsilon", "v_prediction"),
    "thresholding": (False,),
    "clip_sample": (False,),
    "rescale_betas_zero_snr": (False,),
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
}


def default_scheduler(config: Mapping[str, Any]) -> str:
    """Return the name of the scheduler that a configuration means.

    Raises:
        CheckpointError: if it is of a class that the browser does not have.
    """
    wanted = config["_class_name"]
    karras = bool(config.get("use_karras_sigmas"))
    for name, scheduler in SCHEDULERS.items():
        options = scheduler.options
        if scheduler.class_name == wanted and bool(options.get("use_karras_sigmas")) == karras:
            return name
    raise CheckpointError(
        f"scheduler class {wanted} is not supported",
        f"supported: {', '.join(sorted({s.class_name for s in SCHEDULERS.values()}))}",
    )


def suitable_schedulers(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the schedulers that can draw with a model.

    A scheduler suits if it needs the kind of noise schedule that the model was trained with and
    supports what the model predicts.

    Args:
        config: the model's own configuration.

    Raises:
        CheckpointError: if the configuration's own class is not supported.
    """
    kind = SCHEDULERS[default_scheduler(config)].kind
    prediction = config.get("prediction_type", "epsilon")
    return tuple(
        name
        for name, scheduler in SCHEDULERS.items()
        if scheduler.kind == kind and prediction in scheduler.predictions
    )


def build_scheduler(config: Mapping[str, Any], name: str | None = None) -> Any:
    """Build a diffusers scheduler for a model.

    Args:
        config: the model's own configuration, whose noise schedule and prediction type hold.
        name: a key of ``SCHEDULERS``, or None for the one that the configuration means.

    Raises:
        UsageError: for a name that does not exist or does not suit the model.
        CheckpointError: for a configuration that the browser cannot follow.
    """
    import diffusers

    own = default_scheduler(config)
    name = name or own
    if name not in SCHEDULERS:
        raise UsageError(f"unknown scheduler {name!r}", f"known: {', '.join(SCHEDULERS)}")
    suitable = (own, *suitable_schedulers(config))
    if name not in suitable:
        raise UsageError(
            f"scheduler {name!r} does not suit this model", f"suitable: {', '.join(suitable)}"
        )
    scheduler = SCHEDULERS[name]
    wanted = dict(config)
    if name != own:
        # Another scheduler keeps the model's keys and its own defaults for the rest.
        wanted = {key: wanted[key] for key in _OF_THE_MODEL if key in wanted}
    wanted |= scheduler.options
    wanted.pop("_class_name", None)
    built = getattr(diffusers, scheduler.class_name).from_config(wanted)
    for key, allowed in _SUPPORTED.items():
        if key in built.config and built.config[key] not in allowed:
            raise CheckpointError(
                f"scheduler option {key}={built.config[key]!r} is not supported",
                f"supported: {', '.join(map(repr, allowed))}",
            )
    return built


def max_steps(scheduler: Any) -> int:
    """Return the most steps that a diffusers scheduler can take here."""
    return min(MAX_STEPS, int(getattr(scheduler.config, "original_inference_steps", MAX_STEPS)))


def describe_noise_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """Return the manifest's ``noise_schedule`` of a model.

    ``alphas_cumprod`` is the product of (1 - beta) that diffusers computes in float32, one value
    for each training timestep (Ho et al. 2020, eq. 4).

    Raises:
        CheckpointError: for a configuration that the browser cannot follow.
    """
    built = build_scheduler(config)
    return NoiseSchedule(
        kind=SCHEDULERS[default_scheduler(config)].kind,
        prediction_type=built.config.prediction_type,
        num_train_timesteps=int(built.config.num_train_timesteps),
        alphas_cumprod=tuple(float(value) for value in built.alphas_cumprod),
    )


def describe_schedulers(config: Mapping[str, Any]) -> Schedulers:
    """Return the manifest's ``schedulers`` of a model: those that suit it.

    Raises:
        CheckpointError: for a configuration that the browser cannot follow.
    """
    # The model's own scheduler comes first, so that its error is the one that is reported.
    build_scheduler(config)
    return Schedulers(
        default=default_scheduler(config),
        available={
            name: _describe(name, build_scheduler(config, name))
            for name in suitable_schedulers(config)
        },
    )


def _describe(name: str, scheduler: Any) -> SchedulerConfig:
    config = scheduler.config
    return SchedulerConfig.model_validate(
        {
            "algorithm": SCHEDULERS[name].algorithm,
            "title": SCHEDULERS[name].title,
            "max_steps": max_steps(scheduler),
            "timestep_spacing": config.get("timestep_spacing", "linspace"),
            "steps_offset": int(config.get("steps_offset", 0)),
            "use_karras_sigmas": bool(config.get("use_karras_sigmas", False)),
            "final_alpha_cumprod": float(getattr(scheduler, "final_alpha_cumprod", 1.0)),
            "original_inference_steps": int(config.get("original_inference_steps", MAX_STEPS)),
            "timestep_scaling": float(config.get("timestep_scaling", 1.0)),
        }
    )
