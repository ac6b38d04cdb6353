"""Checkpoints' own configurations of Heun, LMS, DDPM, TCD, LCM, PNDM and DPM-Solver++ SDE."""

import diffusers.schedulers.scheduling_dpmsolver_sde as sde
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from scheduling import by_diffusers, configure, float32_noise, follow  # noqa: F401
from wsd.errors import CheckpointError
from wsd.evaluate.diffusers_reference import step_on_processor
from wsd.models.schedulers import (
    build_scheduler,
    default_scheduler,
    describe_noise_schedule,
    describe_scheduler,
    describe_schedulers,
    min_steps,
)

COUNTS = (1, 2, 3, 5, 20)
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("linspace", "leading", "trailing")
SIGMAS = (
    {},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True},
)

# Class → (predictions, other options, each of which is tried with every spacing).
CLASSES = {
    "HeunDiscreteScheduler": (PREDICTIONS, SIGMAS),
    "LMSDiscreteScheduler": (PREDICTIONS, SIGMAS),
    "DPMSolverSDEScheduler": (PREDICTIONS[:2], SIGMAS),
    "DDPMScheduler": (
        PREDICTIONS,
        (
            {},
            {"variance_type": "fixed_small_log"},
            {"variance_type": "fixed_large"},
            {"rescale_betas_zero_snr": True},
        ),
    ),
    "PNDMScheduler": (
        PREDICTIONS[:2],
        (
            {"skip_prk_steps": True},
            {"skip_prk_steps": False, "set_alpha_to_one": True},
            {"skip_prk_steps": False},
        ),
    ),
    "LCMScheduler": (
        PREDICTIONS,
        (
            {},
            {"original_inference_steps": 100, "timestep_scaling": 5.0},
            {"original_inference_steps": 30, "rescale_betas_zero_snr": True},
        ),
    ),
    "TCDScheduler": (
        PREDICTIONS,
        (
            {},
            {"original_inference_steps": 100, "clip_sample": True},
            {"original_inference_steps": 30, "rescale_betas_zero_snr": True},
        ),
    ),
}
# The timesteps of these come from their teacher's.
DISTILLED = ("LCMScheduler", "TCDScheduler")


def list_settings():
    """Return (class, options); those of every seventh row have each option."""
    rows = [
        (name, {"prediction_type": prediction, "timestep_spacing": spacing, **option})
        for name, (predictions, options) in CLASSES.items()
        for prediction in predictions
        for spacing in (SPACINGS[1:2] if name in DISTILLED else SPACINGS)
        for option in options
        # diffusers divides by zero; see test_no_signal_at_the_last_timestep.
        if prediction != "epsilon" or "rescale_betas_zero_snr" not in option
    ]
    # Every seventh in `tests` and `full` together, and some more in `full`.
    marks = {0: (), 3: pytest.mark.full, 7: pytest.mark.full}
    return [
        pytest.param(
            name,
            options,
            marks=marks.get(number % 14, pytest.mark.exhaustive),
            id="-".join([name, *map(str, options.values())]),
        )
        for number, (name, options) in enumerate(rows)
    ]


def configured(family, name, options):
    config = {key: value for key, value in family.scheduler.items() if key != "skip_prk_steps"}
    offset = 1 if options.get("timestep_spacing") == "leading" else 0
    return config | {"_class_name": name, "steps_offset": offset, **options}


def describe(config):
    noise = describe_noise_schedule(config)
    return noise, describe_scheduler(config, default_scheduler(config), noise.alphas_cumprod)


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize(("name", "options"), list_settings())
def test_a_checkpoints_own_scheduler_draws_as_in_diffusers(javascript, family, name, options):
    config = configured(family, name, options)
    noise, described = describe(config)
    for count, eta in zip(COUNTS, (0.0, 1.0, 0.3, 0.0, 0.3), strict=True):
        scheduler = build_scheduler(config)
        if count < min_steps(scheduler):
            with pytest.raises(ValueError, match="broadcast"):
                scheduler.set_timesteps(count)
            continue
        timesteps, expected = by_diffusers(scheduler, count, eta)
        found_timesteps, found = follow(javascript, noise, described, count, eta)
        np.testing.assert_allclose(found_timesteps, timesteps, rtol=1e-6, atol=1e-5)
        assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected), count


@pytest.mark.slow
def test_two_evaluations_a_step_are_counted(javascript, family):
    for name in ("HeunDiscreteScheduler", "DPMSolverSDEScheduler"):
        noise, described = describe(configured(family, name, {}))
        timesteps, _ = follow(javascript, noise, described, 20, 0.0)
        assert len(timesteps) == 39


class OtherProcessor(TorchFunctionMode):
    """A processor whose float32 logarithms, exponentials and powers are off by one in the end."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        names = ("log", "exp", "pow", "__pow__")
        if func in [getattr(torch.Tensor, name) for name in names] and result.dtype is torch.float:
            return torch.nextafter(result, torch.tensor(torch.inf))
        return result


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpmpp_sde", "dpmpp_sde_karras"])
@pytest.mark.parametrize("count", [2, 7, 20])
def test_the_noise_of_a_reference_does_not_depend_on_the_processor(
    javascript, family, name, count, monkeypatch
):
    """A step takes its noise from between two levels, and their last bits decide which it is."""
    levels = []

    class Recorder(sde.BrownianTreeNoiseSampler):
        def __init__(self, x, *ends):
            levels.append(list(ends[:2]))
            super().__init__(x, *ends)

        def __call__(self, *ends):
            levels.append([float(end) for end in ends])
            return super().__call__(*ends)

    monkeypatch.setattr(sde, "BrownianTreeNoiseSampler", Recorder)
    scheduler = build_scheduler(family.scheduler, name)
    scheduler.noise_sampler_seed = 1
    step_on_processor(scheduler)
    with OtherProcessor():
        scheduler.set_timesteps(count)
        sample = torch.ones(1, 4, 2, 2)
        for timestep in scheduler.timesteps:
            sample = scheduler.step(sample * 0.1, timestep, sample).prev_sample
    noise = describe_noise_schedule(family.scheduler)
    config = describe_scheduler(family.scheduler, name, noise.alphas_cumprod)
    run = javascript(
        {
            "call": "run",
            "noise": noise.model_dump(mode="json"),
            "config": config.model_dump(mode="json"),
            "count": count,
            "eta": 0,
        }
    )
    steps = [step["next"]["brownian"] for step in run["steps"] if "brownian" in step["next"]]
    assert [run["brownian"], *steps] == levels


REFUSED = [
    ("DDPMScheduler", {"variance_type": "learned_range"}),
    ("DDPMScheduler", {"variance_type": "fixed_large_log"}),
    ("DDPMScheduler", {"thresholding": True}),
    ("DDPMScheduler", {"clip_sample": True}),
    ("HeunDiscreteScheduler", {"clip_sample": True}),
    ("LCMScheduler", {"thresholding": True}),
    ("LCMScheduler", {"original_inference_steps": 1001}),
    ("TCDScheduler", {"original_inference_steps": 0}),
    ("DPMSolverSDEScheduler", {"noise_sampler_seed": 7}),
    ("DPMSolverSDEScheduler", {"prediction_type": "sample"}),
    ("PNDMScheduler", {"prediction_type": "sample"}),
]


@pytest.mark.parametrize(("name", "options"), REFUSED, ids=str)
def test_what_the_browser_cannot_follow_is_refused_by_name(family, name, options):
    ((key, value),) = options.items()
    said = rf"{key}={value!r}( \(the default\))? of {name}"
    with pytest.raises(CheckpointError, match=said):
        describe_schedulers(configured(family, name, options))


@pytest.mark.parametrize("name", [*CLASSES, "EulerDiscreteScheduler"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_no_signal_at_the_last_timestep(javascript, family, name, prediction):
    """The last beta is 1: what diffusers would divide by zero for is refused."""
    betas = [*np.linspace(0.001, 0.02, 999).tolist(), 1.0]
    options = {"trained_betas": betas, "prediction_type": prediction}
    config = configured(family, name, {**options, "timestep_spacing": "trailing"})
    if name in ("DDPMScheduler", *DISTILLED) and prediction != "epsilon":
        noise, described = describe(config)
        _, found = follow(javascript, noise, described, 5, 0.3)
        assert np.isfinite(found).all()
    else:
        with pytest.raises(CheckpointError, match=r"no signal|zero terminal SNR|prediction_type"):
            describe(config)


@pytest.mark.slow
def test_a_model_offers_these_schedulers(family):
    offered = describe_schedulers(family.scheduler).available
    for name in ("heun", "lms", "dpmpp_sde", "heun_karras", "lms_karras", "dpmpp_sde_karras"):
        assert name in offered
    assert {"ddpm", "tcd"} <= set(offered)
    assert {name for name, entry in offered.items() if entry.min_steps > 1} == set()


def test_pndm_of_a_config_without_the_key_starts_with_runge_kutta(family):
    """diffusers' own default of ``skip_prk_steps`` is False."""
    config = configured(family, "PNDMScheduler", {})
    _, described = describe(config)
    assert not described.skip_prk_steps
    assert described.min_steps == 4
    assert describe(configure(family, skip_prk_steps=True).scheduler)[1].min_steps == 1
