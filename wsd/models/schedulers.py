"""The schedulers that can draw, what each needs of a model, and their constants for the manifest.

The browser computes each step's coefficients itself, in float64
(``web/src/pipeline/schedulers``). From here it needs the noise schedule that diffusers uses, to the
bit, and the configuration of each scheduler that suits the model.

A *configuration* is a mapping in diffusers' terms, as ``scheduler_config.json`` holds it,
``_class_name`` included: a family's own or a checkpoint's. What its keys may say is in
:mod:`wsd.models.scheduler_rules`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wsd.errors import CheckpointError, UsageError
from wsd.models.scheduler_rules import (
    RULES,
    check_before_construction,
    check_values,
    defaults_of,
    refusal,
)
from wsd.spec.manifest import (
    DynamicShift,
    FlowLevels,
    NoiseSchedule,
    SchedulerConfig,
    Schedulers,
)

# Most steps of one picture, whatever the scheduler.
MAX_STEPS = 100

# Kind of noise schedule: "discrete" is a table of alphas, one for each training timestep (Ho et al.
# 2020); "flow" mixes clean latents and noise on a straight line (Lipman et al. 2023, Esser et al.
# 2024), at noise levels from 1 to 0.
NoiseKind = Literal["discrete", "flow"]

# (program, sampler, scheduler) as another program names a way to draw; the scheduler is empty
# where the program has one name for both.
SamplerName = tuple[str, str, str]

_A1111, _COMFYUI, _INVOKEAI = "A1111", "ComfyUI", "InvokeAI"


@dataclass(frozen=True)
class Scheduler:
    """One way to denoise, and what it needs of a model.

    Attributes:
        title: name for people.
        class_name: class in diffusers.
        algorithm: name in ``web/src/pipeline/schedulers/index.ts``.
        options: what the name itself says; set where it is chosen for another model's
            configuration.
        kind: kind of noise schedule that it needs.
        predictions: what the model may predict.
        offered: whether manifests list it for every model that it suits, rather than only where
            it is the checkpoint's own or was asked for by name.
        samplers: what other programs call it; the first one is what WSD writes.
    """

    title: str
    class_name: str
    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: NoiseKind = "discrete"
    predictions: tuple[str, ...] = ("epsilon", "v_prediction", "sample")
    offered: bool = True
    samplers: tuple[SamplerName, ...] = ()


@dataclass(frozen=True)
class _Spacing:
    """One way to space noise levels, as a suffix of a scheduler's name."""

    suffix: str
    title: str
    key: str
    a1111: str
    comfyui: str


_SPACINGS = (
    _Spacing("karras", "Karras", "use_karras_sigmas", "Karras", "karras"),
    _Spacing("exponential", "exponential", "use_exponential_sigmas", "Exponential", "exponential"),
    _Spacing("beta", "beta", "use_beta_sigmas", "Beta", "beta"),
    _Spacing("lu", "uniform log-SNR", "use_lu_lambdas", "", ""),
    _Spacing("flow", "flow", "use_flow_sigmas", "", ""),
)


def _with_spacings(
    name: str,
    base: Scheduler,
    spacings: str = "karras exponential beta",
    offered: str = "karras",
    a1111: str = "",
    automatic: str = "",
    comfyui: tuple[str, ...] = (),
    invokeai: str = "",
) -> Iterator[tuple[str, Scheduler]]:
    """Yield a scheduler and its variants, each with the other spacings switched off.

    Args:
        name: of the scheduler on the model's own noise levels.
        base: that scheduler.
        spacings: suffixes of the variants.
        offered: suffixes of those that are offered wherever the scheduler itself is.
        a1111: the sampler in AUTOMATIC1111's web UI; empty if it has none.
        automatic: suffix of what its schedule type "Automatic" means for the sampler.
        comfyui: samplers in ComfyUI.
        invokeai: the scheduler in InvokeAI; ``_k`` is appended for Karras.
    """
    known = [s for s in _SPACINGS if s.suffix in spacings.split()]
    off = dict.fromkeys((s.key for s in known), False)
    plain: list[SamplerName] = []
    if a1111:
        # Before version 1.9 the name said both.
        plain += [(_A1111, a1111, kind) for kind in ("Uniform", "Normal", "")]
        if not automatic:
            plain.append((_A1111, a1111, "Automatic"))
    plain += [(_COMFYUI, sampler, kind) for sampler in comfyui for kind in ("normal", "simple")]
    if invokeai:
        plain.append((_INVOKEAI, invokeai, ""))
    yield name, _replace(base, options={**off, **base.options}, samplers=tuple(plain))
    for spacing in known:
        named: list[SamplerName] = []
        if a1111 and spacing.a1111:
            named.append((_A1111, a1111, spacing.a1111))
            named.append((_A1111, f"{a1111} {spacing.a1111}", ""))
            if automatic == spacing.suffix:
                named.append((_A1111, a1111, "Automatic"))
        if spacing.comfyui:
            named += [(_COMFYUI, sampler, spacing.comfyui) for sampler in comfyui]
        if invokeai and spacing.suffix == "karras":
            named.append((_INVOKEAI, f"{invokeai}_k", ""))
        # A discrete schedule's solvers take these predictions on these noise levels alone.
        flow = ("flow_prediction",) * (spacing.suffix == "flow")
        yield (
            f"{name}_{spacing.suffix}",
            _replace(
                base,
                title=f"{base.title} {spacing.title}",
                options={**off, **base.options, spacing.key: True},
                predictions=(*base.predictions, *flow),
                offered=base.offered and spacing.suffix in offered.split(),
                samplers=tuple(named),
            ),
        )


def _replace(base: Scheduler, **changes: Any) -> Scheduler:
    return Scheduler(**{**vars(base), **changes})


def _trailing(base: Scheduler, a1111: str, comfyui: str) -> Scheduler:
    """Return a scheduler whose first timestep is the last one of the training (Lin et al. 2023).

    Fast variants need it: one of few steps that begins at an earlier timestep leaves noise in the
    picture. Other programs' "SGM Uniform" has the same timesteps, but for their rounding.
    """
    return _replace(
        base,
        title=f"{base.title} trailing",
        options={**base.options, "timestep_spacing": "trailing"},
        samplers=((_A1111, a1111, "SGM Uniform"), (_COMFYUI, comfyui, "sgm_uniform")),
    )


_MULTISTEP = "karras exponential beta flow"
_DPM = "DPMSolverMultistepScheduler"

_EULER = dict(
    _with_spacings(
        "euler",
        Scheduler("Euler", "EulerDiscreteScheduler", "euler"),
        a1111="Euler",
        comfyui=("euler",),
        invokeai="euler",
    )
)
_EULER_A = Scheduler(
    "Euler ancestral",
    "EulerAncestralDiscreteScheduler",
    "euler_ancestral",
    predictions=("epsilon", "v_prediction"),
    samplers=(
        (_A1111, "Euler a", ""),
        (_A1111, "Euler a", "Automatic"),
        (_A1111, "Euler a", "Uniform"),
        (_A1111, "Euler a", "Normal"),
        (_COMFYUI, "euler_ancestral", "normal"),
        (_COMFYUI, "euler_ancestral", "simple"),
        (_INVOKEAI, "euler_a", ""),
    ),
)
_DDIM = Scheduler(
    "DDIM",
    "DDIMScheduler",
    "ddim",
    samplers=(
        (_A1111, "DDIM", ""),
        (_A1111, "DDIM", "Automatic"),
        (_COMFYUI, "ddim", "ddim_uniform"),
        (_COMFYUI, "ddim", "normal"),
        (_COMFYUI, "ddim", "simple"),
        (_INVOKEAI, "ddim", ""),
    ),
)

SCHEDULERS: dict[str, Scheduler] = {
    **dict(
        _with_spacings(
            "dpmpp_2m",
            Scheduler("DPM-Solver++ 2M", _DPM, "dpmpp2m", {"algorithm_type": "dpmsolver++"}),
            f"{_MULTISTEP} lu",
            a1111="DPM++ 2M",
            automatic="karras",
            comfyui=("dpmpp_2m",),
            invokeai="dpmpp_2m",
        )
    ),
    **dict(
        _with_spacings(
            "dpmpp_2m_sde",
            Scheduler(
                "DPM-Solver++ 2M SDE", _DPM, "dpmpp2m", {"algorithm_type": "sde-dpmsolver++"}
            ),
            f"{_MULTISTEP} lu",
            a1111="DPM++ 2M SDE",
            automatic="exponential",
            comfyui=("dpmpp_2m_sde", "dpmpp_2m_sde_gpu"),
            invokeai="dpmpp_2m_sde",
        )
    ),
    # Their last noise level may not be zero: the update divides by it.
    **dict(
        _with_spacings(
            "dpm_2m",
            Scheduler(
                "DPM-Solver 2M",
                _DPM,
                "dpmpp2m",
                {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
                offered=False,
            ),
            "karras exponential beta lu",
        )
    ),
    **dict(
        _with_spacings(
            "dpm_2m_sde",
            Scheduler(
                "DPM-Solver 2M SDE",
                _DPM,
                "dpmpp2m",
                {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
                offered=False,
            ),
            "karras exponential beta lu",
        )
    ),
    "pndm": Scheduler(
        "PNDM",
        "PNDMScheduler",
        "pndm",
        {"skip_prk_steps": True},
        predictions=("epsilon", "v_prediction"),
        samplers=(
            (_A1111, "PLMS", ""),
            (_A1111, "PLMS", "Automatic"),
            (_INVOKEAI, "pndm", ""),
        ),
    ),
    **_EULER,
    "euler_trailing": _trailing(_EULER["euler"], "Euler", "euler"),
    "euler_a": _EULER_A,
    "euler_a_trailing": _trailing(_EULER_A, "Euler a", "euler_ancestral"),
    "ddim": _DDIM,
    "ddim_trailing": _trailing(_DDIM, "DDIM", "ddim"),
    **dict(
        _with_spacings(
            "unipc",
            Scheduler("UniPC", "UniPCMultistepScheduler", "unipc"),
            _MULTISTEP,
            a1111="UniPC",
            comfyui=("uni_pc_bh2",),
            invokeai="unipc",
        )
    ),
    **dict(
        _with_spacings(
            "deis",
            Scheduler("DEIS", "DEISMultistepScheduler", "deis"),
            _MULTISTEP,
            comfyui=("deis",),
            invokeai="deis",
        )
    ),
    **dict(
        _with_spacings(
            "dpmpp_sde",
            Scheduler(
                "DPM-Solver++ SDE",
                "DPMSolverSDEScheduler",
                "dpmpp_sde",
                predictions=("epsilon", "v_prediction"),
            ),
            a1111="DPM++ SDE",
            automatic="karras",
            comfyui=("dpmpp_sde", "dpmpp_sde_gpu"),
            invokeai="dpmpp_sde",
        )
    ),
    **dict(
        _with_spacings(
            "heun",
            Scheduler("Heun", "HeunDiscreteScheduler", "heun"),
            a1111="Heun",
            comfyui=("heun",),
            invokeai="heun",
        )
    ),
    **dict(
        _with_spacings(
            "lms",
            Scheduler("LMS", "LMSDiscreteScheduler", "lms"),
            a1111="LMS",
            comfyui=("lms",),
            invokeai="lms",
        )
    ),
    "ddpm": Scheduler(
        "DDPM",
        "DDPMScheduler",
        "ddpm",
        {"variance_type": "fixed_small"},
        samplers=(
            (_COMFYUI, "ddpm", "normal"),
            (_COMFYUI, "ddpm", "simple"),
            (_INVOKEAI, "ddpm", ""),
        ),
    ),
    "lcm": Scheduler(
        "LCM",
        "LCMScheduler",
        "lcm",
        samplers=(
            (_A1111, "LCM", ""),
            (_A1111, "LCM", "Automatic"),
            (_COMFYUI, "lcm", "sgm_uniform"),
            (_COMFYUI, "lcm", "normal"),
            (_COMFYUI, "lcm", "simple"),
            (_INVOKEAI, "lcm", ""),
        ),
    ),
    "tcd": Scheduler("TCD", "TCDScheduler", "tcd", samplers=((_INVOKEAI, "tcd", ""),)),
    # A1111's names are left to the schedulers above, since its texts do not say of which kind the
    # model is, and a name that is read back must be the one that was written.
    **dict(
        _with_spacings(
            "flow_euler",
            Scheduler(
                "Flow Euler",
                "FlowMatchEulerDiscreteScheduler",
                "flow_euler",
                kind="flow",
                predictions=("flow_prediction",),
            ),
            offered="",
            comfyui=("euler",),
        )
    ),
    "flow_heun": Scheduler(
        "Flow Heun",
        "FlowMatchHeunDiscreteScheduler",
        "flow_heun",
        kind="flow",
        predictions=("flow_prediction",),
        samplers=((_COMFYUI, "heun", "normal"), (_COMFYUI, "heun", "simple")),
    ),
}

# Options that tell the names of one class apart.
_IDENTITY = (
    "algorithm_type",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
)
# diffusers' from_config carries DEIS' algorithm_type over to DPM-Solver, which takes it for
# DPM-Solver++.
_ALGORITHM_TYPES = {"deis": "dpmsolver++"}

# Pipeline of diffusers → what its constructor sets in a scheduler's configuration, whatever the
# checkpoint says. StableDiffusionPipeline does so for SD 1.x folders of before diffusers 0.3;
# StableDiffusionXLPipeline corrects nothing.
_CORRECTIONS: Mapping[str, Mapping[str, Any]] = {
    "StableDiffusionPipeline": {"steps_offset": 1, "clip_sample": False},
}


def correct_config(config: Mapping[str, Any], pipeline: str) -> Mapping[str, Any]:
    """Return a configuration as a pipeline's constructor leaves it.

    Args:
        config: the checkpoint's own configuration.
        pipeline: class of the pipeline in diffusers.
    """
    return {**config, **_CORRECTIONS.get(pipeline, {})}


def default_scheduler(config: Mapping[str, Any]) -> str:
    """Return the name of the scheduler that a configuration means.

    Args:
        config: a configuration with its ``_class_name``.

    Returns:
        A key of ``SCHEDULERS``.

    Raises:
        CheckpointError: if it is of a class that the browser does not have, or its options exclude
            each other.
    """
    wanted = config.get("_class_name")
    if (name := _own_name(config)) is not None:
        return name
    known = sorted({s.class_name for s in SCHEDULERS.values()})
    if isinstance(wanted, str) and wanted in known:
        # The class is known, but no name fits its options: they exclude each other, or one of them
        # is not understood. The rules name it.
        check_before_construction(wanted, config)
        kinds = RULES[wanted]["algorithm_type"].describe()
        raise refusal(wanted, "algorithm_type", config.get("algorithm_type"), kinds)
    raise CheckpointError(
        f"scheduler class {wanted} is not supported",
        f"choose another one with --scheduler: {', '.join(_list_suitable(config))}; "
        f"supported classes: {', '.join(known)}",
    )


def _list_suitable(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the offered schedulers that suit a model, for messages."""
    return [n for n, s in SCHEDULERS.items() if s.offered and _suits(s, config)]


def _own_name(config: Mapping[str, Any]) -> str | None:
    """Return the first name whose class and options a configuration has; None if there is none."""
    found = {key: config.get(key) or False for key in _IDENTITY}
    found["algorithm_type"] = config.get("algorithm_type") or "dpmsolver++"
    found["algorithm_type"] = _ALGORITHM_TYPES.get(
        str(found["algorithm_type"]), found["algorithm_type"]
    )
    for name, scheduler in SCHEDULERS.items():
        said = {key: value for key, value in scheduler.options.items() if key in _IDENTITY}
        if scheduler.class_name == config.get("_class_name") and all(
            found[key] == value for key, value in said.items()
        ):
            return name
    return None


def select_scheduler(config: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """Return the configuration with which a scheduler draws with a model.

    It is what ``Other.from_config(pipeline.scheduler.config)`` of diffusers makes: every key that
    the other class has carries over, but for the options that the name itself says.

    Args:
        config: the model's own configuration; its class may be unknown.
        name: a key of ``SCHEDULERS``, or None for the one that the configuration means.

    Raises:
        UsageError: for a name that does not exist.
        CheckpointError: for None, if the configuration's own class is not supported.
    """
    if name is None:
        default_scheduler(config)
        return config
    if name not in SCHEDULERS:
        raise UsageError(f"unknown scheduler {name!r}", f"known: {', '.join(SCHEDULERS)}")
    if name == _own_name(config):
        return config
    scheduler = SCHEDULERS[name]
    return {**config, **scheduler.options, "_class_name": scheduler.class_name}


def suitable_schedulers(config: Mapping[str, Any], default: str | None = None) -> tuple[str, ...]:
    """Return the names of the schedulers that a manifest lists for a model.

    A scheduler suits a model if it needs the kind of noise schedule that the model was trained
    with and supports what the model predicts. Of those that suit, the list has the default, the
    model's own, and the ones that are offered for every model.

    Args:
        config: the model's own configuration.
        default: a key of ``SCHEDULERS``, or None for the one that the configuration means.

    Raises:
        CheckpointError: for no default, if the configuration's own class is not supported.
    """
    default = default or default_scheduler(config)
    listed = (default, _own_name(config))
    return tuple(
        name
        for name, scheduler in SCHEDULERS.items()
        if (name in listed or (scheduler.offered and not _repeats(scheduler, config)))
        and _suits(scheduler, config)
    )


def _repeats(scheduler: Scheduler, config: Mapping[str, Any]) -> bool:
    """Tell whether a name says the spacing of timesteps that the model has anyway."""
    spacing = scheduler.options.get("timestep_spacing")
    return spacing is not None and spacing == config.get("timestep_spacing")


def noise_kind(config: Mapping[str, Any]) -> NoiseKind:
    """Return the kind of noise schedule of a configuration, whose class may be unknown."""
    own = _own_name(config)
    return "discrete" if own is None else SCHEDULERS[own].kind


def _prediction(config: Mapping[str, Any]) -> str:
    """Return what a model predicts: with a noise schedule of flow matching, always the flow."""
    if noise_kind(config) == "flow":
        return "flow_prediction"
    return config.get("prediction_type") or "epsilon"


def _suits(scheduler: Scheduler, config: Mapping[str, Any]) -> bool:
    return scheduler.kind == noise_kind(config) and _prediction(config) in scheduler.predictions


def build_scheduler(config: Mapping[str, Any], name: str | None = None) -> Any:
    """Build a diffusers scheduler for a model.

    Args:
        config: the model's own configuration, whose noise schedule and prediction type hold. Its
            class may be one that the browser does not have, if ``name`` is given.
        name: a key of ``SCHEDULERS``, or None for the one that the configuration means.

    Returns:
        An instance of the scheduler's class in diffusers, whose timesteps are not set.

    Raises:
        UsageError: for a name that does not exist or does not suit the model.
        CheckpointError: for a configuration that the browser cannot follow.
    """
    import diffusers
    import numpy as np

    chosen = select_scheduler(config, name)
    name = name or default_scheduler(config)
    scheduler = SCHEDULERS[name]
    if not _suits(scheduler, config):
        prediction = config.get("prediction_type") or _prediction(config)
        fitting = _list_suitable(config)
        if name == _own_name(config) or not fitting:
            understood = ", ".join(map(repr, scheduler.predictions))
            raise refusal(scheduler.class_name, "prediction_type", prediction, understood)
        raise UsageError(
            f"scheduler {name!r} does not suit this model, whose prediction_type is {prediction!r}",
            f"suitable: {', '.join(fitting)}",
        )
    check_before_construction(scheduler.class_name, chosen)
    defaults = defaults_of(scheduler.class_name)
    # diffusers reads these two options from a configuration also if the class does not have them.
    taken = (*defaults, "sigma_min", "sigma_max")
    plain = {key: value for key, value in chosen.items() if key in taken}
    try:
        # A schedule without signal at its end divides by zero; _check_noise refuses it.
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # diffusers advises another kind of DPM-Solver, where somebody asked for this one.
            warnings.filterwarnings("ignore", message=".*algorithm_type", category=FutureWarning)
            built = getattr(diffusers, scheduler.class_name).from_config(plain)
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(
            f"{scheduler.class_name} of diffusers refuses the configuration: {error}",
            "correct scheduler_config.json, or choose another scheduler with --scheduler",
        ) from error
    check_values(scheduler.class_name, {**chosen, **built.config})
    if scheduler.kind == "discrete":
        _check_noise(scheduler.class_name, built)
    return built


def _check_noise(class_name: str, built: Any) -> None:
    """Refuse a noise schedule that no scheduler could step through."""
    import torch

    products = built.alphas_cumprod
    timesteps = int(built.config.num_train_timesteps)
    falling = bool((products[1:] <= products[:-1]).all())
    if len(products) != timesteps or not falling or not bool((products >= 0).all()):
        betas = built.config.get("trained_betas")
        source = "beta_start and beta_end" if betas is None else f"{len(betas)} trained_betas"
        raise CheckpointError(
            f"{class_name}: {source} give no noise schedule of {timesteps} timesteps",
            "every beta must be from 0 to 1, and there must be one for each timestep",
        )
    if not bool(torch.isfinite(products).all()) or float(products[0]) == 0:
        raise CheckpointError(
            f"{class_name}: the noise schedule has no signal at its first timestep",
            "betas must be below 1",
        )
    if float(products[-1]) == 1:
        raise CheckpointError(
            f"{class_name}: the noise schedule adds no noise", "betas must be above 0"
        )
    # Without any signal at the last timestep, noise says nothing about the clean latents.
    if (
        float(products[-1]) == 0
        and built.config.prediction_type == "epsilon"
        and not hasattr(built, "sigmas")
        and (built.config.timestep_spacing != "leading" or class_name in _ALWAYS_FROM_THE_END)
    ):
        raise CheckpointError(
            f"scheduler option rescale_betas_zero_snr=True of {class_name} is not supported with "
            "prediction_type='epsilon'",
            "diffusers divides by zero there; a model for zero terminal SNR predicts velocities",
        )
    levels = getattr(built, "sigmas", None)
    infinite = levels is not None and not bool(torch.isfinite(levels).all())
    if float(products[-1]) == 0 and (infinite or class_name == "PNDMScheduler"):
        raise CheckpointError(
            f"{class_name}: the noise schedule has no signal at its last timestep",
            "diffusers divides by zero there; choose another scheduler, ddim for example, with "
            "--scheduler",
        )


# Classes whose first timestep is the last of the training, whatever the spacing.
_ALWAYS_FROM_THE_END = ("LCMScheduler", "TCDScheduler")


def min_steps(scheduler: Any) -> int:
    """Return the fewest steps that a scheduler can take, at least 1.

    Args:
        scheduler: of diffusers, as :func:`build_scheduler` returns it.
    """
    if scheduler.config.get("skip_prk_steps") is False:
        return 4  # Three Runge-Kutta steps come before PNDM's first own one.
    # One noise level cannot be stretched between the first and another last one.
    return 2 if _terminal(scheduler) is not None else 1


def _terminal(scheduler: Any) -> float | None:
    """Return the last noise level that a scheduler of flow matching stretches all of them to."""
    return scheduler.config.get("shift_terminal") or None


def max_steps(scheduler: Any) -> int:
    """Return the most steps that a scheduler can take, at most ``MAX_STEPS``.

    Args:
        scheduler: of diffusers, as :func:`build_scheduler` returns it.
    """
    config = scheduler.config
    train = int(config.num_train_timesteps)
    most = min(MAX_STEPS, train, int(config.get("original_inference_steps", MAX_STEPS)))
    if config.get("timestep_spacing") != "leading" or "original_inference_steps" in config:
        return most
    # The offset must not lead beyond the table of the noise schedule.
    offset = int(config.get("steps_offset", 0))
    fitting = (n for n in range(most, 0, -1) if (n - 1) * (train // n) + offset < train)
    return next(fitting, 1)


def describe_noise_schedule(config: Mapping[str, Any], default: str | None = None) -> NoiseSchedule:
    """Return the manifest's ``noise_schedule`` of a model.

    ``alphas_cumprod``, of shape (training timesteps,), has the products of (1 - beta) that
    diffusers computes in float32 (Ho et al. 2020, eq. 4). It is empty for flow matching.

    Args:
        config: the model's own configuration.
        default: a key of ``SCHEDULERS``, or None for the one that the configuration means.

    Raises:
        UsageError: for a default that does not exist or does not suit the model.
        CheckpointError: for a configuration that the browser cannot follow.
    """
    built = build_scheduler(config, default)
    return NoiseSchedule(
        kind=SCHEDULERS[default or default_scheduler(config)].kind,
        prediction_type=built.config.get("prediction_type", "flow_prediction"),
        num_train_timesteps=int(built.config.num_train_timesteps),
        alphas_cumprod=_alphas_cumprod(built),
    )


def describe_schedulers(config: Mapping[str, Any], default: str | None = None) -> Schedulers:
    """Return the manifest's ``schedulers`` of a model: those that suit it.

    Each of them takes over the model's own configuration, not that of the default. So a name draws
    the same picture whichever default was chosen, and ``wsd reference`` draws it too.

    Args:
        config: the model's own configuration; its class may be unknown if there is a default.
        default: a key of ``SCHEDULERS``, or None for the one that the configuration means.

    Raises:
        UsageError: for a default that does not exist or does not suit the model.
        CheckpointError: for a configuration that the browser cannot follow.
    """
    # The default comes first, so that its error is the one that is reported.
    alphas = _alphas_cumprod(build_scheduler(config, default))
    default = default or default_scheduler(config)
    available = {}
    for name in suitable_schedulers(config, default):
        try:
            available[name] = describe_scheduler(config, name, alphas)
        except CheckpointError:
            # Some option of the model's has no meaning for this scheduler, so it is not offered.
            if name == default:
                raise
    return Schedulers(default=default, available=available)


def describe_scheduler(
    config: Mapping[str, Any], name: str, alphas_cumprod: tuple[float, ...]
) -> SchedulerConfig:
    """Return the manifest's entry of one scheduler for a model.

    Args:
        config: the model's own configuration.
        name: a key of ``SCHEDULERS``.
        alphas_cumprod: the model's noise schedule, of shape (training timesteps,).

    Raises:
        UsageError: for a scheduler that does not suit the model.
        CheckpointError: for a configuration that the browser cannot follow, or if the class would
            draw with another noise schedule than the model's.
    """
    built = build_scheduler(config, name)
    found = _alphas_cumprod(built)
    if found[:-1] != alphas_cumprod[:-1]:
        raise CheckpointError(
            f"{SCHEDULERS[name].class_name} has another noise schedule by default than the model's",
            "write beta_start, beta_end and beta_schedule into scheduler_config.json",
        )
    terminal = None if found == alphas_cumprod else found[-1]
    return _describe(name, built, terminal)


def _alphas_cumprod(built: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in getattr(built, "alphas_cumprod", ()))


def _describe(name: str, scheduler: Any, terminal: float | None) -> SchedulerConfig:
    config = scheduler.config
    scheduled = SCHEDULERS[name]
    computed: dict[str, Any] = {
        "algorithm": scheduled.algorithm,
        "title": _title(scheduled, config),
        "min_steps": min_steps(scheduler),
        "max_steps": max_steps(scheduler),
        "timestep_spacing": config.get("timestep_spacing", "linspace"),
        "steps_offset": int(config.get("steps_offset", 0)),
        "use_karras_sigmas": bool(config.get("use_karras_sigmas", False)),
        "final_alpha_cumprod": float(getattr(scheduler, "final_alpha_cumprod", 1.0)),
        "original_inference_steps": int(config.get("original_inference_steps", MAX_STEPS)),
        "timestep_scaling": float(config.get("timestep_scaling", 1.0)),
        "terminal_alpha_cumprod": terminal,
        **(_largest_level(scheduler) if scheduled.kind == "discrete" else _flow(scheduler)),
        "last_timestep": _last_timestep(scheduler),
        "round_timesteps": (scheduled.class_name, config.get("beta_schedule"))
        != (_DPM, "squaredcos_cap_v2"),
        "disable_corrector": tuple(config.get("disable_corrector", ())),
    }
    # The other fields have diffusers' names, and defaults where the class has no such option.
    known = {*defaults_of(scheduled.class_name), "sigma_min", "sigma_max"}
    if scheduled.class_name != _DPM:
        known.discard("algorithm_type")  # DEIS has one, by a name of its own.
    if config.get("use_karras_sigmas") and scheduled.class_name in _OWN_KARRAS_RANGE:
        known -= {"sigma_min", "sigma_max"}
    carried = {
        key: config[key]
        for key in (SchedulerConfig.model_fields.keys() & known) - computed.keys()
        if config.get(key) is not None
    }
    return SchedulerConfig.model_validate(carried | computed)


# Classes whose Karras levels always run between the first and the last timestep's.
_OWN_KARRAS_RANGE = ("LMSDiscreteScheduler", "DPMSolverSDEScheduler")


def _flow(scheduler: Any) -> dict[str, FlowLevels]:
    """Return how a scheduler of flow matching places its noise levels."""
    config = scheduler.config
    shift = {key: config[key] for key in DynamicShift.model_fields} if is_dynamic(scheduler) else {}
    levels = FlowLevels(
        sigma_min=scheduler.sigma_min,
        sigma_max=scheduler.sigma_max,
        shift=config.shift,
        dynamic=DynamicShift(**shift) if shift else None,
        terminal=_terminal(scheduler),
        stochastic=bool(config.get("stochastic_sampling", False)),
    )
    return {"flow": levels}


def is_dynamic(scheduler: Any) -> bool:
    """Return whether a scheduler of diffusers shifts its noise levels by the picture's size.

    Others have the setting too, without the sizes that it needs: their pipelines do not use it.
    """
    config = scheduler.config
    return "base_image_seq_len" in config and bool(config.get("use_dynamic_shifting", False))


def dynamic_shift(scheduler: Any, tokens: int) -> dict[str, float]:
    """Return what ``set_timesteps`` takes besides the number of steps: ``mu``, or nothing.

    Args:
        scheduler: of diffusers, as :func:`build_scheduler` returns it.
        tokens: patches of the picture in the denoiser. ``mu`` is linear in them, as the function
            ``calculate_shift`` of diffusers' pipelines has it.
    """
    if not is_dynamic(scheduler):
        return {}
    config = scheduler.config
    first, last = config.base_image_seq_len, config.max_image_seq_len
    slope = (config.max_shift - config.base_shift) / (last - first)
    return {"mu": tokens * slope + (config.base_shift - slope * first)}


def _title(scheduled: Scheduler, config: Mapping[str, Any]) -> str:
    """Return the name for people, which tells the order of a DPM-Solver."""
    return scheduled.title.replace(" 2M", f" {config.get('solver_order', 2)}M")


def _largest_level(scheduler: Any) -> dict[str, float]:
    """Return what torch and numpy round otherwise than the browser in the largest noise level."""
    import numpy as np

    products = scheduler.alphas_cumprod
    if float(products[-1]) == 0:
        return {}
    # The whole table, as diffusers does: single values are computed with other instructions.
    sigmas = (((1 - products) / products) ** 0.5).numpy()
    product = np.float32(products[-1])
    found: dict[str, float] = {}
    if (sigma := sigmas[-1]) != np.sqrt((np.float32(1) - product) / product):
        found["largest_sigma"] = float(sigma)
    if (log := np.log(sigmas)[-1]) != np.float32(np.log(np.float64(sigma))):
        found["largest_log_sigma"] = float(log)
    return found


def _last_timestep(scheduler: Any) -> int | None:
    """Return how many timesteps DPM-Solver uses, if ``lambda_min_clipped`` leaves some out."""
    import torch

    least = scheduler.config.get("lambda_min_clipped", -float("inf"))
    if not hasattr(scheduler, "lambda_t") or "lambda_min_clipped" not in defaults_of(
        type(scheduler).__name__
    ):
        return None
    clipped = int(torch.searchsorted(torch.flip(scheduler.lambda_t, [0]), least))
    return int(scheduler.config.num_train_timesteps) - clipped if clipped else None
