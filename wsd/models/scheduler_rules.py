"""Rules for scheduler configurations: which values of which key the browser follows, as data.

Every key of a configuration is *understood* (a rule below accepts its value, and the browser or
diffusers uses it), *harmless* (no rule, but the value is the default of diffusers' class, so it
changes nothing), or *refused by name*, with its value and the values that are accepted.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from wsd.errors import CheckpointError

# The largest number of training timesteps that is understood: every scheduler of a bundle has
# tables of this length.
MAX_TRAIN_TIMESTEPS = 10_000
# What a model predicts, and how timesteps are spaced: the values that options offer.
PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
TIMESTEP_SPACINGS = ("linspace", "leading", "trailing")


class Rule(Protocol):
    """Which values of a key are understood."""

    def accepts(self, value: object) -> bool:
        """Return whether a value is understood."""

    def describe(self) -> str:
        """Return the understood values in words."""


@dataclass(frozen=True)
class OneOf:
    """Understand exactly these values, each in its own type: 1 is not taken for True.

    Attributes:
        values: what is understood.
    """

    values: tuple[object, ...]

    def accepts(self, value: object) -> bool:
        """Return whether a value is one of them."""
        return any(type(value) is type(known) and value == known for known in self.values)

    def describe(self) -> str:
        """Return the values as Python writes them."""
        return ", ".join(map(repr, self.values))


@dataclass(frozen=True)
class Number:
    """Understand numbers from ``low`` to ``high``, both included.

    Attributes:
        low: least value.
        high: most value.
        whole: whether the number must be an integer.
        optional: whether None is understood too.
    """

    low: float
    high: float
    whole: bool = False
    optional: bool = False

    def accepts(self, value: object) -> bool:
        """Return whether a value is such a number; NaN and truth values are not."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return self.low <= value <= self.high

    def describe(self) -> str:
        """Return the range in words."""
        kind = "a whole number" if self.whole else "a number"
        return f"{'None or ' * self.optional}{kind} from {self.low} to {self.high}"


@dataclass(frozen=True)
class Betas:
    """Understand None, or a list of numbers from 0 to 1.

    The list is of shape (training timesteps,); its length is checked when the noise schedule is
    built.
    """

    def accepts(self, value: object) -> bool:
        """Return whether a value is such a list."""
        beta = Number(0.0, 1.0)
        return value is None or (
            isinstance(value, (list, tuple))
            and 0 < len(value) <= MAX_TRAIN_TIMESTEPS
            and all(map(beta.accepts, value))
        )

    def describe(self) -> str:
        """Return the form in words."""
        return "None or a list of numbers from 0 to 1"


@dataclass(frozen=True)
class Steps:
    """Understand a list of step numbers, of any length."""

    def accepts(self, value: object) -> bool:
        """Return whether a value is such a list."""
        step = Number(0, MAX_TRAIN_TIMESTEPS, whole=True)
        return isinstance(value, (list, tuple)) and all(map(step.accepts, value))

    def describe(self) -> str:
        """Return the form in words."""
        return "a list of whole numbers"


_SWITCH = OneOf((False, True))
_OFF = OneOf((False, None))

# The noise schedule, which diffusers itself computes, and the spacing of timesteps.
_SHARED: Mapping[str, Rule] = {
    "num_train_timesteps": Number(1, MAX_TRAIN_TIMESTEPS, whole=True),
    "beta_start": Number(0.0, 1.0),
    "beta_end": Number(0.0, 1.0),
    "beta_schedule": OneOf(
        ("linear", "scaled_linear", "squaredcos_cap_v2", "exp", "laplace", "sigmoid")
    ),
    "trained_betas": Betas(),
    "rescale_betas_zero_snr": OneOf((False, True)),
    "timestep_spacing": OneOf(TIMESTEP_SPACINGS),
    "steps_offset": Number(0, MAX_TRAIN_TIMESTEPS, whole=True),
    "prediction_type": OneOf(PREDICTION_TYPES),
    # Dynamic thresholding takes a quantile of the latents, and clipping clamps them: neither is a
    # linear combination, which is all that the page's kernel computes.
    "thresholding": _OFF,
    "clip_sample": _OFF,
    # These keys matter only where thresholding or clipping is on.
    "dynamic_thresholding_ratio": Number(0.0, 1.0),
    "sample_max_value": Number(0.0, 1e6),
    "clip_sample_range": Number(0.0, 1e6),
}
_LEVEL = Number(1e-6, 1e6, optional=True)
_SIGMAS: Mapping[str, Rule] = {
    "use_karras_sigmas": _SWITCH,
    "use_exponential_sigmas": _SWITCH,
    "use_beta_sigmas": _SWITCH,
    "sigma_min": _LEVEL,
    "sigma_max": _LEVEL,
}
# Multistep solvers in terms of the signal-to-noise ratio.
_MULTISTEP: Mapping[str, Rule] = {
    **_SHARED,
    **_SIGMAS,
    "prediction_type": OneOf((*PREDICTION_TYPES, "flow_prediction")),
    "use_flow_sigmas": _SWITCH,
    "flow_shift": Number(1e-3, 1e3),
    "solver_order": Number(1, 3, whole=True),
    "lower_order_final": OneOf((False, True)),
    "final_sigmas_type": OneOf(("zero", "sigma_min")),
    # Pipelines of SD 1.x and SDXL never say by how much to shift.
    "use_dynamic_shifting": _OFF,
    "time_shift_type": OneOf(("exponential",)),
}
_CONSISTENCY: Mapping[str, Rule] = {
    **_SHARED,
    "original_inference_steps": Number(1, MAX_TRAIN_TIMESTEPS, whole=True),
    "timestep_scaling": Number(1e-3, 1e3),
    "set_alpha_to_one": OneOf((False, True)),
}
_FLOW: Mapping[str, Rule] = {
    "num_train_timesteps": Number(1, MAX_TRAIN_TIMESTEPS, whole=True),
    "shift": Number(1e-3, 1e3),
}
_NO_SAMPLE: Mapping[str, Rule] = {"prediction_type": OneOf(("epsilon", "v_prediction"))}

# Class of diffusers → key → rule. diffusers ignores a key that its class does not have.
RULES: Mapping[str, Mapping[str, Rule]] = {
    "DPMSolverMultistepScheduler": {
        **_MULTISTEP,
        "algorithm_type": OneOf(("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++")),
        "solver_type": OneOf(("midpoint", "heun")),
        "euler_at_final": OneOf((False, True)),
        "use_lu_lambdas": _SWITCH,
        "lambda_min_clipped": Number(-float("inf"), 0.0),
        # A UNet that predicts its variance too has twice the channels, and no such UNet is
        # compiled. The others are DDPM's, and change nothing here.
        "variance_type": OneOf(
            (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")
        ),
    },
    "UniPCMultistepScheduler": {
        **_MULTISTEP,
        "predict_x0": OneOf((False, True)),
        "solver_type": OneOf(("bh1", "bh2")),
        "disable_corrector": Steps(),
        "solver_p": OneOf((None,)),
        "shift_terminal": OneOf((None,)),
    },
    "DEISMultistepScheduler": {
        **_MULTISTEP,
        "algorithm_type": OneOf(("deis",)),
        "solver_type": OneOf(("logrho",)),
    },
    "EulerDiscreteScheduler": {
        **_SHARED,
        **_SIGMAS,
        "interpolation_type": OneOf(("linear", "log_linear")),
        "timestep_type": OneOf(("discrete", "continuous")),
        "final_sigmas_type": OneOf(("zero", "sigma_min")),
    },
    "EulerAncestralDiscreteScheduler": {**_SHARED, **_NO_SAMPLE},
    "DDIMScheduler": {**_SHARED, "set_alpha_to_one": OneOf((False, True))},
    "PNDMScheduler": {
        **_SHARED,
        **_NO_SAMPLE,
        "set_alpha_to_one": OneOf((False, True)),
        "skip_prk_steps": OneOf((False, True)),
    },
    "HeunDiscreteScheduler": {**_SHARED, **_SIGMAS},
    "LMSDiscreteScheduler": {**_SHARED, **_SIGMAS},
    "DPMSolverSDEScheduler": {
        **_SHARED,
        **_SIGMAS,
        **_NO_SAMPLE,
        # The seed of the request is that of the noise; with one here, all pictures would share it.
        "noise_sampler_seed": OneOf((None,)),
    },
    "DDPMScheduler": {
        **_SHARED,
        # The learned ones need a UNet of twice the channels; diffusers takes the root of negative
        # numbers for "fixed_large_log".
        "variance_type": OneOf(("fixed_small", "fixed_small_log", "fixed_large")),
    },
    "LCMScheduler": _CONSISTENCY,
    "FlowMatchEulerDiscreteScheduler": {
        **_FLOW,
        **_SIGMAS,
        "use_dynamic_shifting": OneOf((False, True)),
        "time_shift_type": OneOf(("exponential", "linear")),
        "base_shift": Number(0.0, 100.0),
        "max_shift": Number(0.0, 100.0),
        "base_image_seq_len": Number(1, 1e9, whole=True),
        "max_image_seq_len": Number(1, 1e9, whole=True),
        "shift_terminal": Number(0.0, 0.999, optional=True),
        "stochastic_sampling": OneOf((False, True)),
        # The noise levels of Mochi, which draws videos, go from 0 to 1.
        "invert_sigmas": _OFF,
    },
    "FlowMatchHeunDiscreteScheduler": _FLOW,
    "TCDScheduler": {
        **_CONSISTENCY,
        # Its step never clips, whatever these keys say.
        "thresholding": OneOf((False, True, None)),
        "clip_sample": OneOf((False, True, None)),
    },
}

# Values that diffusers takes, but with which its own scheduler gives no finite numbers.
_IMPOSSIBLE: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver", "solver_order": 3}),
    ("UniPCMultistepScheduler", {"solver_type": "bh1", "final_sigmas_type": "zero"}),
    ("UniPCMultistepScheduler", {"predict_x0": False, "final_sigmas_type": "zero"}),
    ("UniPCMultistepScheduler", {"lower_order_final": False, "final_sigmas_type": "zero"}),
)

# Values with which rounding grows until pictures are no longer those that diffusers draws.
_UNSTABLE: Sequence[tuple[str, Mapping[str, Any]]] = tuple(
    ("DPMSolverMultistepScheduler", {"algorithm_type": algorithm, "use_flow_sigmas": True})
    for algorithm in ("dpmsolver", "sde-dpmsolver")
)

# Keys of older versions of diffusers, which today's ignores. The values change nothing.
_RETIRED: Mapping[str, Rule] = {
    "tensor_format": OneOf(("pt", "np")),
    "timestep_values": OneOf((None,)),
    "predict_epsilon": OneOf((True,)),
}
# At most one of these may be on: diffusers itself refuses the first three together, and silently
# prefers one of the others.
SIGMA_SPACINGS = (
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
)


# Key → the option of ``wsd build``, ``reference`` and ``parity`` that sets it.
_SAID_BY: Mapping[str, str] = {
    "prediction_type": "--prediction-type",
    "timestep_spacing": "--timestep-spacing",
    "rescale_betas_zero_snr": "--no-zero-snr",
}

# Options that diffusers reads from a configuration even if the class's signature lacks them.
_READ_ANYWAY = ("sigma_min", "sigma_max")

# Keys that are checked before the class is constructed, because it computes with them.
_CHECKED_FIRST = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
    "solver_order", "timestep_spacing", "steps_offset", "prediction_type", "shift",
    "time_shift_type",
)  # fmt: skip


@cache
def defaults_of(class_name: str) -> Mapping[str, Any]:
    """Return key → default of a scheduler class of diffusers.

    Args:
        class_name: name of the class; for a name that diffusers does not have, nothing is returned.
    """
    import diffusers

    class_ = getattr(diffusers, class_name, None)
    if not inspect.isclass(class_):
        return {}
    parameters = inspect.signature(class_.__init__).parameters
    return {name: p.default for name, p in parameters.items() if name != "self"}


def check_before_construction(class_name: str, config: Mapping[str, Any]) -> None:
    """Refuse values that a scheduler class must not even be constructed with.

    They would take all memory, or make diffusers raise an error that names no key.

    Args:
        class_name: a key of ``RULES``.
        config: the configuration before the class adds its defaults.

    Raises:
        CheckpointError: that names the key, its value and what is understood.
    """
    for key in (*_CHECKED_FIRST, *SIGMA_SPACINGS):
        if key in config and key in RULES[class_name]:
            _require(class_name, key, config[key], RULES[class_name][key])
    defaults = defaults_of(class_name)
    chosen = [key for key in SIGMA_SPACINGS if key in defaults and config.get(key)]
    if len(chosen) > 1:
        raise CheckpointError(
            f"scheduler options {_join(dict.fromkeys(chosen, True))} exclude each other",
            f"leave at most one of them on in the configuration of {class_name}",
        )


def check_values(class_name: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that the browser would not follow.

    Args:
        class_name: a key of ``RULES``, the class of diffusers that is to run with it.
        config: the configuration with the class's defaults for what it does not say.

    Raises:
        CheckpointError: that names the key, its value and what is understood.
    """
    rules = RULES[class_name]
    defaults = defaults_of(class_name)
    for key, value in config.items():
        if key.startswith("_"):
            continue
        if key in rules and (key in defaults or key in _READ_ANYWAY):
            _require(class_name, key, value, rules[key])
        elif key in defaults:
            if value != defaults[key]:
                raise refusal(class_name, key, value, repr(defaults[key]))
        else:
            _check_foreign(class_name, key, value)
    for refused, what in ((_IMPOSSIBLE, "give no finite numbers"), (_UNSTABLE, "enlarge rounding")):
        for name, options in refused:
            if name == class_name and all(config[key] == options[key] for key in options):
                raise CheckpointError(
                    f"scheduler options {_join(options)} of {class_name} {what}",
                    "change one of them, or choose another scheduler with --scheduler",
                )
    if config.get("prediction_type") == "flow_prediction":
        _check_flow(class_name, config)
    if config.get("use_dynamic_shifting") and "base_image_seq_len" in rules:
        _check_dynamic_shifting(config)
    teachers = config["original_inference_steps"] if "original_inference_steps" in rules else 0
    if teachers > (timesteps := config["num_train_timesteps"]):
        most = f"a whole number from 1 to num_train_timesteps={timesteps}"
        raise refusal(class_name, "original_inference_steps", teachers, most)


def _check_flow(class_name: str, config: Mapping[str, Any]) -> None:
    """Refuse a model of flow matching whose prediction the class would take for another kind."""
    needed: dict[str, tuple[Any, ...]] = {"use_flow_sigmas": (True,), "predict_x0": (True,)}
    if class_name == "DPMSolverMultistepScheduler":
        needed["algorithm_type"] = ("dpmsolver++", "sde-dpmsolver++")
    for key, values in needed.items():
        if key in defaults_of(class_name) and config[key] not in values:
            raise CheckpointError(
                f"scheduler option {key}={config[key]!r} of {class_name} is not supported with "
                "prediction_type='flow_prediction'",
                f"supported: {', '.join(map(repr, values))}",
            )


def _check_dynamic_shifting(config: Mapping[str, Any]) -> None:
    """Refuse a shift that is no line over the number of tokens."""
    if (tokens := config["base_image_seq_len"]) == config["max_image_seq_len"]:
        raise CheckpointError(
            f"scheduler options base_image_seq_len and max_image_seq_len are both {tokens}",
            "diffusers divides by their difference: correct scheduler_config.json",
        )


def _join(options: Mapping[str, Any]) -> str:
    return " and ".join(f"{key}={value!r}" for key, value in options.items())


def _check_foreign(class_name: str, key: str, value: object) -> None:
    """Refuse a key that a class does not have, unless ignoring it is right."""
    if key == "rescale_betas_zero_snr" and value:
        # diffusers would ignore it and draw with a noise schedule that the model was not
        # trained with.
        raise CheckpointError(
            f"scheduler option {key}={value!r}: {class_name} has no such option",
            "choose a scheduler that has it, euler or ddim for example, with --scheduler",
        )
    if key == "use_dynamic_shifting" and value and RULES[class_name] is _FLOW:
        # diffusers' pipelines pass a shift that the class does not take.
        raise CheckpointError(
            f"scheduler option {key}={value!r}: {class_name} has no such option",
            "choose a scheduler that has it, flow_euler for example, with --scheduler",
        )
    if _is_known(key):
        return  # An option of another class, which has no meaning for this one.
    if key in _RETIRED:
        _require(class_name, key, value, _RETIRED[key])
    elif not _OFF.accepts(value):
        raise CheckpointError(
            f"scheduler option {key}={_short(value)} of {class_name} is not supported",
            "the class has no such option, and WSD does not know what it means: if it changes "
            "nothing, delete it from scheduler_config.json",
        )


def _require(class_name: str, key: str, value: object, rule: Rule) -> None:
    if not rule.accepts(value):
        raise refusal(class_name, key, value, rule.describe())


def refusal(class_name: str, key: str, value: object, understood: str) -> CheckpointError:
    """Return the error for a value that is not understood; a file need not have said it.

    The hint names only what helps: another scheduler, if there is one that takes the value, and the
    command-line option of this key, if it has one.

    Args:
        class_name: the class of diffusers that is to run with the value.
        key: key of the configuration.
        value: what the configuration says, or the class's default.
        understood: the understood values in words.
    """
    defaults = defaults_of(class_name)
    said = _short(value) + " (the default)" * (key in defaults and defaults[key] == value)
    ways = [f"supported: {understood}"]
    alike = [name for name in RULES if _is_of_flow(name) == _is_of_flow(class_name)]
    if any(_takes(other, key, value) for other in alike):
        ways.append("choose another scheduler with --scheduler")
    if key in _SAID_BY:
        ways.append(f"say what holds with {_SAID_BY[key]}")
    return CheckpointError(
        f"scheduler option {key}={said} of {class_name} is not supported", "; or ".join(ways)
    )


def _is_of_flow(class_name: str) -> bool:
    """Return whether a class is for models of flow matching, which no other class suits."""
    return "shift" in RULES[class_name]


def _takes(class_name: str, key: str, value: object) -> bool:
    """Return whether a class understands a value, or ignores its key as it should."""
    rules, defaults = RULES[class_name], defaults_of(class_name)
    if key in rules and (key in defaults or key in _READ_ANYWAY):
        return rules[key].accepts(value)
    if key in defaults:
        return bool(value == defaults[key])
    return _is_known(key)


def _is_known(key: str) -> bool:
    return any(key in defaults_of(name) for name in (*RULES, *_OTHER_CLASSES))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# Classes whose options may lie in a configuration although WSD does not have them.
_OTHER_CLASSES: Sequence[str] = (
    "DPMSolverSinglestepScheduler",
    "EDMEulerScheduler",
    "KDPM2DiscreteScheduler",
    "SASolverScheduler",
)
