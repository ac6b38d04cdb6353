"""One denoising trajectory, by diffusers and by the browser's coefficients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from wsd.models.schedulers import describe_noise_schedule, describe_schedulers

SHAPE = (1, 4, 8, 8)


def known_denoiser(sample, timestep):
    """Any smooth function of sample and time serves as a prediction."""
    return np.sin(sample * 1.3 + timestep / 300.0) * 0.8


def by_diffusers(scheduler, count, eta, shape=SHAPE):
    """Return (timesteps, final latents) in float64, from float32 noise."""
    generator = torch.Generator().manual_seed(1)
    scheduler.set_timesteps(count)
    noise = torch.randn(shape, generator=generator)
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
                options["variance_noise"] = torch.randn(shape, generator=generator).double()
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


def add_float64(terms):
    """Add scaled arrays as numpy does in float64."""
    return sum(weight * array for array, weight in terms)


def weigh(weights, sample, model, kept, history):
    """Return what a combination of ``schedulers/types.ts`` adds, as (array, weight) pairs."""
    terms = [(sample, weights["sample"]), (model, weights["model"]), (kept, weights.get("kept", 0))]
    terms += zip(history, weights.get("history", []), strict=False)
    return [(array, weight) for array, weight in terms if weight]


def by_browser(javascript, family, name, count, eta, shape=SHAPE, add=add_float64, **options):
    """Follow the browser's coefficients; ``add`` sums (array, weight) pairs.

    ``options`` are fields of the scheduler's configuration that differ from the family's.
    """
    config = describe_schedulers(family.scheduler).available[name].model_copy(update=options)
    run = javascript(
        {
            "call": "run",
            "noise": describe_noise_schedule(family.scheduler).model_dump(mode="json"),
            "config": config.model_dump(mode="json"),
            "count": count,
            "eta": eta,
        }
    )
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(shape, generator=generator).double().numpy()
    sample = add([(noise, run["initNoiseSigma"])])
    history, kept = [], None
    for step in run["steps"]:
        model = known_denoiser(add([(sample, step["inputScale"])]), step["timestep"])
        terms = weigh(step["next"], sample, model, kept, history)
        if "noise" in step["next"]:
            fresh = torch.randn(shape, generator=generator).double().numpy()
            terms.append((fresh, step["next"]["noise"]))
        following = add(terms)
        remembered, keep = (
            add(weigh(step[name], sample, model, kept, history)) if name in step else None
            for name in ("remember", "keep")
        )
        if remembered is not None:
            history.insert(0, remembered)
        kept = kept if keep is None else keep
        sample = following
    return [step["timestep"] for step in run["steps"]], sample


def configure(family, **options):
    return dataclasses.replace(family, scheduler={**family.scheduler, **options})
