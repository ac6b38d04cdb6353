"""The browser's scheduler steps against diffusers' schedulers, with a known denoiser."""

import dataclasses

import numpy as np
import pytest
import torch

from wsd.errors import CheckpointError, UsageError
from wsd.schedulers import SCHEDULERS, build_scheduler, max_steps, scheduler_constants

SHAPE = (1, 4, 8, 8)


def known_denoiser(sample, timestep):
    """Any smooth function of sample and time serves as a prediction."""
    return np.sin(sample * 1.3 + timestep / 300.0) * 0.8


def by_diffusers(scheduler, count, eta):
    """Return (timesteps, final latents) in float64, from float32 noise."""
    generator = torch.Generator().manual_seed(1)
    scheduler.set_timesteps(count)
    noise = torch.randn(SHAPE, generator=generator)
    sample = noise.double() * float(scheduler.init_noise_sigma)
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep)
        prediction = torch.from_numpy(known_denoiser(scaled.numpy(), float(timestep)))
        options = {}
        if "Ancestral" in type(scheduler).__name__ or "LCM" in type(scheduler).__name__:
            # The schedulers draw in the sample's dtype, the pipelines in float32.
            options["generator"] = Float32Noise(generator)
        if "DDIM" in type(scheduler).__name__:
            options = {"eta": eta}
            if eta > 0:
                options["variance_noise"] = torch.randn(SHAPE, generator=generator).double()
        sample = scheduler.step(prediction, timestep, sample, **options).prev_sample.double()
    return scheduler.timesteps.tolist(), sample.numpy()


class Float32Noise:
    """Marks a generator whose noise is to be drawn in float32."""

    def __init__(self, generator):
        self.generator = generator


@pytest.fixture
def float32_noise(monkeypatch):
    """Make schedulers draw float32 noise although the samples here are float64."""
    import diffusers.schedulers.scheduling_euler_ancestral_discrete as ancestral
    import diffusers.schedulers.scheduling_lcm as lcm

    def draw(shape, generator, **_):
        return torch.randn(shape, generator=generator.generator).double()

    for module in (ancestral, lcm):
        monkeypatch.setattr(module, "randn_tensor", draw)


def by_browser(javascript, constants, name, count, eta):
    """Follow the browser's coefficients in float64."""
    run = javascript(
        {"call": "run", "constants": constants, "name": name, "count": count, "eta": eta}
    )
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(SHAPE, generator=generator).double().numpy() * run["initNoiseSigma"]
    history, kept = [], None
    for step in run["steps"]:
        model = known_denoiser(sample * step["inputScale"], step["timestep"])
        following = step["next"]
        total = following["sample"] * (kept if following.get("fromKept") else sample)
        total = total + following["model"] * model
        for weight, old in zip(following["history"], history, strict=False):
            total = total + weight * old
        if "noise" in following:
            total = total + following["noise"] * torch.randn(SHAPE, generator=generator).numpy()
        if remember := step.get("remember"):
            history.insert(0, remember["sample"] * sample + remember["model"] * model)
        if step.get("keepSample"):
            kept = sample
        sample = total
    return [step["timestep"] for step in run["steps"]], sample


def configure(family, **options):
    return dataclasses.replace(family, scheduler={**family.scheduler, **options})


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 14, 15, 20, 50, 100])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_trajectory_equals_diffusers(javascript, family, name, count, prediction):
    family = configure(family, prediction_type=prediction)
    scheduler = build_scheduler(family, name)
    count = min(count, max_steps(scheduler))
    eta = 0.7 if count == 4 else 0.0
    timesteps, expected = by_diffusers(scheduler, count, eta)
    constants = scheduler_constants(family)
    found_timesteps, found = by_browser(javascript, constants, name, count, eta)
    np.testing.assert_array_equal(np.float32(found_timesteps), np.float32(timesteps))
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("count", [1, 4, 7, 30])
@pytest.mark.parametrize(
    "name", [name for name in SCHEDULERS if name not in ("lcm", "dpmpp_2m_karras")]
)
def test_every_spacing(javascript, family, name, count, spacing):
    scheduler = build_scheduler(family, name)
    scheduler = type(scheduler).from_config(scheduler.config, timestep_spacing=spacing)
    constants = scheduler_constants(family)
    constants["schedulers"][name]["timestep_spacing"] = spacing
    if name == "pndm" and spacing != "leading":
        # Its corrector looks a whole stride beyond its timestep; with few steps of
        # these spacings diffusers itself runs off the end of its table.
        count = 30
    timesteps, expected = by_diffusers(scheduler, count, 0.0)
    found_timesteps, found = by_browser(javascript, constants, name, count, 0.0)
    np.testing.assert_array_equal(np.float32(found_timesteps), np.float32(timesteps))
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    "options",
    [{"prediction_type": "sample"}, {"algorithm_type": "sde-dpmsolver++"}, {"thresholding": True}],
    ids=str,
)
def test_an_unsupported_configuration_is_refused(family, options):
    ((key, value),) = options.items()
    with pytest.raises(CheckpointError, match=f"{key}={value!r}".replace("+", r"\+")):
        scheduler_constants(configure(family, **options))


def test_unknown_names_are_refused(family):
    with pytest.raises(UsageError, match="unknown scheduler 'magic'"):
        build_scheduler(family, "magic")
    with pytest.raises(CheckpointError, match="class UniPC"):
        scheduler_constants(configure(family, _class_name="UniPCMultistepScheduler"))
