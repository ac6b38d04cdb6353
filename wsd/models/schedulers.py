"""Schedulers by name, and their constants for the browser.

The browser computes each step's coefficients itself, in float64
(``web/src/pipeline/schedulers``); what it needs from here is the noise schedule that
diffusers uses, to the bit, and each scheduler's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsd.errors import CheckpointError, UsageError
from wsd.models.registry import Family

MAX_STEPS = 100


@dataclass(frozen=True)
class Scheduler:
    """One way to denoise.

    Attributes:
        title: for people.
        class_name: class in diffusers.
        algorithm: name in ``web/src/pipeline/schedulers/index.ts``.
        options: configuration on top of the family's.
    """

    title: str
    class_name: str
    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)


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

# Keys of a configuration that belong to the model, whichever scheduler draws.
_OF_THE_MODEL = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type",
    "steps_offset", "set_alpha_to_one", "clip_sample",
)  # fmt: skip

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


def default_scheduler(family: Family) -> str:
    """Return the name of the scheduler that the family's configuration means.

    Raises:
        CheckpointError: if it is of a class that the browser does not have.
    """
    wanted = family.scheduler["_class_name"]
    karras = bool(family.scheduler.get("use_karras_sigmas"))
    for name, scheduler in SCHEDULERS.items():
        options = scheduler.options
        if scheduler.class_name == wanted and bool(options.get("use_karras_sigmas")) == karras:
            return name
    raise CheckpointError(
        f"scheduler class {wanted} is not supported",
        f"supported: {', '.join(sorted({s.class_name for s in SCHEDULERS.values()}))}",
    )


def build_scheduler(family: Family, name: str | None = None) -> Any:
    """Build a diffusers scheduler for a family.

    Args:
        family: whose noise schedule and prediction type it takes.
        name: a key of ``SCHEDULERS``, or None for the family's own.

    Raises:
        UsageError: for a name that does not exist.
        CheckpointError: for a configuration that the browser cannot follow.
    """
    import diffusers

    own = default_scheduler(family)
    name = name or own
    if name not in SCHEDULERS:
        raise UsageError(f"unknown scheduler {name!r}", f"known: {', '.join(SCHEDULERS)}")
    scheduler = SCHEDULERS[name]
    config = dict(family.scheduler)
    if name != own:
        # Another scheduler keeps the model's keys and its own defaults for the rest.
        config = {key: config[key] for key in _OF_THE_MODEL if key in config}
    config |= scheduler.options
    config.pop("_class_name", None)
    built = getattr(diffusers, scheduler.class_name).from_config(config)
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


def scheduler_constants(family: Family) -> dict[str, Any]:
    """Return the manifest's ``scheduler`` object.

    ``alphas_cumprod`` is the product of (1 - beta) that diffusers computes in
    float32, one value a training timestep (Ho et al. 2020, eq. 4).

    Raises:
        CheckpointError: for a configuration that the browser cannot follow.
    """
    built = {name: build_scheduler(family, name) for name in SCHEDULERS}
    own = default_scheduler(family)
    config = built[own].config
    return {
        "default": own,
        "num_train_timesteps": int(config.num_train_timesteps),
        "prediction_type": config.prediction_type,
        "alphas_cumprod": [float(value) for value in built[own].alphas_cumprod],
        "schedulers": {name: _describe(name, scheduler) for name, scheduler in built.items()},
    }


def _describe(name: str, scheduler: Any) -> dict[str, Any]:
    config = scheduler.config
    return {
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
