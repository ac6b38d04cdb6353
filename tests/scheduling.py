"""One denoising trajectory, by diffusers and by the browser's coefficients."""

from __future__ import annotations

import dataclasses
import inspect
import sys

import diffusers
import diffusers.schedulers.scheduling_dpmsolver_sde as sde
import numpy as np
import pytest
import torch

from wsd.evaluate.error_growth import scale_input
from wsd.models.schedulers import (
    SCHEDULERS,
    describe_noise_schedule,
    describe_scheduler,
    dynamic_shift,
)

SHAPE = (1, 4, 8, 8)
# The schedulers of the models that the tests have checkpoints of; those of flow matching have tests
# of their own.
DISCRETE = {name: known for name, known in SCHEDULERS.items() if known.kind == "discrete"}


@dataclasses.dataclass(frozen=True)
class Begin:
    """A trajectory that begins with the clean latents of a picture.

    Attributes:
        strength: share of the steps that are run.
        masked: whether a part of the latents is kept, as the inpainting pipelines keep it.
    """

    strength: float
    masked: bool = False

    def skipped(self, count):
        """Return how many steps are left out, as diffusers' ``get_timesteps`` counts."""
        return count - min(int(count * self.strength), count)

    @property
    def is_noise(self):
        """Whether the latents begin as pure noise."""
        return self.masked and self.strength == 1


def picture_of(shape):
    """Return clean latents and a mask, both float64."""
    random = np.random.default_rng(3)
    mask = random.integers(0, 2, (shape[0], 1, *shape[2:]))
    return random.standard_normal(shape) * 0.8, mask.astype(np.float64)


def known_denoiser(sample, timestep):
    """Any smooth function of sample and time serves as a prediction."""
    return np.sin(sample * 1.3 + timestep / 300.0) * 0.8


def by_diffusers(scheduler, count, eta, shape=SHAPE, begin=None, tokens=0):
    """Return (timesteps, final latents) in float64, from float32 noise of seed 1.

    ``begin`` says that they begin with a picture, ``tokens`` how large the denoiser's is.

    The scheduler's tables keep their float32 values, but what it computes from them in each step
    is float64, as in the browser.
    """
    generator = torch.Generator().manual_seed(1)
    scheduler.set_timesteps(count, **dynamic_shift(scheduler, tokens))
    first = begin.skipped(count) * scheduler.order if begin else 0
    if hasattr(scheduler, "set_begin_index"):
        # StableDiffusionXLPipeline does so; else a timestep that comes twice is looked up wrongly.
        scheduler.set_begin_index(first)
    for table in ("sigmas", "alphas_cumprod", "final_alpha_cumprod"):
        # Where on a Brownian path noise is taken, float32 numbers decide.
        if hasattr(scheduler, table) and not hasattr(scheduler, "noise_sampler_seed"):
            setattr(scheduler, table, getattr(scheduler, table).double())
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = 1
    noise = torch.randn(shape, generator=generator)
    timesteps = scheduler.timesteps[first:]
    clean, mask = map(torch.from_numpy, picture_of(shape))

    def noisy_picture(index):
        timestep = timesteps[index : index + 1]
        if hasattr(scheduler, "scale_noise"):
            return scheduler.scale_noise(clean, timestep, noise.double())
        return scheduler.add_noise(clean, noise.double(), timestep)

    if begin is None or begin.is_noise:
        # Pipelines of flow matching begin with the noise as it is.
        sample = noise.double() * float(getattr(scheduler, "init_noise_sigma", 1.0))
    else:
        sample = noisy_picture(0)
    offered = inspect.signature(scheduler.step).parameters
    # The schedulers draw in the sample's dtype, the pipelines in float32.
    options = {"generator": Float32Noise(generator), "eta": eta}
    options = {key: value for key, value in options.items() if key in offered}
    for index, timestep in enumerate(timesteps):
        scaled = scale_input(scheduler, sample, timestep)
        prediction = torch.from_numpy(known_denoiser(scaled.numpy(), float(timestep)))
        sample = scheduler.step(prediction, timestep, sample, **options).prev_sample.double()
        if begin is not None and begin.masked:
            kept = noisy_picture(index + 1) if index + 1 < len(timesteps) else clean
            sample = (1 - mask) * kept + mask * sample
    return timesteps.tolist(), sample.numpy()


class Float32Noise:
    """Marks a generator whose noise is to be drawn in float32."""

    def __init__(self, generator):
        self.generator = generator


def round_once(method):
    """Return a tensor's method that rounds a float32 result correctly: it computes in float64."""

    def compute(tensor, *more):
        exact = tensor.double() if tensor.dtype == torch.float32 else tensor
        return method(exact, *more).to(tensor.dtype)

    return compute


@pytest.fixture
def float32_noise(monkeypatch):
    """Make schedulers draw float32 noise although the samples here are float64.

    Float32 logarithms, exponentials and roots are rounded correctly here. Those of PyTorch's
    library, MKL, are often a unit in the last place off, and depend on the processor.
    """

    def draw(shape, generator, **_):
        return torch.randn(shape, generator=generator.generator).double()

    for scheduler in SCHEDULERS.values():
        module = sys.modules[getattr(diffusers, scheduler.class_name).__module__]
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(module, "randn_tensor", draw)

    class Sampler(sde.BrownianTreeNoiseSampler):
        def __init__(self, x, *levels):
            super().__init__(x.float(), *levels)

        def __call__(self, *levels):
            return super().__call__(*levels).double()

    monkeypatch.setattr(sde, "BrownianTreeNoiseSampler", Sampler)
    for name in ("log", "exp", "__pow__"):
        monkeypatch.setattr(torch.Tensor, name, round_once(getattr(torch.Tensor, name)))


def add_float64(terms):
    """Add scaled arrays as numpy does in float64."""
    return sum(weight * array for array, weight in terms)


def weigh(weights, sample, model, kept, history):
    """Return what a combination of ``schedulers/types.ts`` adds, as (array, weight) pairs."""
    terms = [(sample, weights["sample"]), (model, weights["model"]), (kept, weights.get("kept", 0))]
    terms += zip(history, weights.get("history", []), strict=False)
    return [(array, weight) for array, weight in terms if weight]


def by_browser(
    javascript, family, name, count, eta, shape=SHAPE, add=add_float64, begin=None, **options
):
    """Return (timesteps, final latents) of a family's scheduler.

    ``begin`` says that they begin with a picture.
    ``options`` are fields of the scheduler's configuration that differ from the family's.
    """
    noise = describe_noise_schedule(family.scheduler)
    config = describe_scheduler(family.scheduler, name, noise.alphas_cumprod)
    config = config.model_copy(update=options)
    return follow(javascript, noise, config, count, eta, shape, add, begin=begin)


def follow(
    javascript,
    noise,
    config,
    count,
    eta,
    shape=SHAPE,
    add=add_float64,
    denoise=known_denoiser,
    seed=1,
    begin=None,
    tokens=0,
):
    """Follow the browser's coefficients; ``add`` sums (array, weight) pairs."""
    run = javascript(
        {
            "call": "run",
            "noise": noise.model_dump(mode="json"),
            "config": config.model_dump(mode="json"),
            "count": count,
            "eta": eta,
            "skipped": begin.skipped(count) if begin else 0,
            "tokens": tokens,
        }
    )
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator).double().numpy()
    levels = run.get("brownian")
    path = levels and sde.BrownianTreeNoiseSampler(torch.zeros(shape), *levels, seed % 2**64)
    clean, mask = picture_of(shape)

    def noisy_picture(index):
        level = run["steps"][index]["level"]
        return add([(clean, level["signal"]), (noise, level["noise"])])

    if begin is None or begin.is_noise:
        sample = add([(noise, run["initNoiseSigma"])])
    else:
        sample = noisy_picture(0)
    history, kept = [], None
    for index, step in enumerate(run["steps"]):
        model = denoise(add([(sample, step["inputScale"])]), step["timestep"])
        terms = weigh(step["next"], sample, model, kept, history)
        if "noise" in step["next"]:
            part = step["next"].get("brownian")
            fresh = path(*part) if part else torch.randn(shape, generator=generator)
            terms.append((fresh.double().numpy(), step["next"]["noise"]))
        following = add(terms)
        remembered, keep = (
            add(weigh(step[name], sample, model, kept, history)) if name in step else None
            for name in ("remember", "keep")
        )
        if remembered is not None:
            history.insert(0, remembered)
        kept = kept if keep is None else keep
        sample = following
        if begin is not None and begin.masked:
            picture = noisy_picture(index + 1) if index + 1 < len(run["steps"]) else clean
            sample = (1 - mask) * picture + mask * sample
    return [step["timestep"] for step in run["steps"]], sample


def configure(family, **options):
    return dataclasses.replace(family, scheduler={**family.scheduler, **options})
