"""How much the denoiser's errors show in the final latents, by scheduler and number of steps."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from wsd.evaluate.diffusers_reference import begin_at_first_step
from wsd.models.schedulers import build_scheduler, dynamic_shift


def weigh_predictions(
    config: Mapping[str, Any],
    name: str | None,
    steps: int,
    eta: float,
    run: int | None = None,
    tokens: int = 0,
) -> float:
    """Return how many times larger the final latents' error is than that of one prediction.

    Every prediction of the denoiser has an error, which later steps carry on. The errors are taken
    to be independent and of equal size, so their weights in the final latents are added as squares.
    What later steps leave of an error depends on the denoiser. This one is exact for latents that
    are normally distributed with variance 1, the variance for which latents are scaled (Rombach et
    al. 2022, appendix G). It leaves more of an error than one for a narrower distribution would.

    A run is linear with this denoiser, so the weights are the differences of two runs with the same
    noise, of which one has an error of 1 in one prediction of each picture.

    Args:
        config: configuration of the model's own scheduler, in diffusers' terms.
        name: a key of :data:`wsd.models.schedulers.SCHEDULERS`, or None for the one that the
            configuration means.
        steps: number of steps.
        eta: share of noise that DDIM and TCD add.
        run: how many of the last steps are run, where a picture is given; all unless given.
        tokens: patches of the picture in the denoiser, for noise levels that depend on its size.

    Raises:
        UsageError, CheckpointError: as :func:`wsd.models.schedulers.build_scheduler`.
    """
    skipped = 0 if run is None else steps - run
    exact, off = (
        _run(build_scheduler(config, name), tokens, steps, eta, skipped, error)
        for error in (0.0, 1.0)
    )
    return float((off - exact).norm())


def _run(
    scheduler: Any, tokens: int, steps: int, eta: float, skipped: int, error: float
) -> torch.Tensor:
    """Denoise one number for each prediction, and add an error to this prediction of it.

    Returns:
        float64, (predictions,).
    """
    begin_at_first_step(scheduler)
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = 0
    scheduler.set_timesteps(steps, **dynamic_shift(scheduler, tokens))
    begin = skipped * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    timesteps = scheduler.timesteps[begin:]
    sample = torch.zeros(len(timesteps), 1, 1, 1, dtype=torch.float64)
    taken = inspect.signature(scheduler.step).parameters
    given = {"generator": torch.Generator().manual_seed(0), "eta": eta}
    options = {key: value for key, value in given.items() if key in taken}
    with warnings.catch_warnings():
        # torchsde says that it moves the rounded ends into the range of its Brownian path.
        warnings.filterwarnings("ignore", message="Should have t", module="torchsde")
        for index, timestep in enumerate(timesteps):
            scaled = scale_input(scheduler, sample, timestep)
            prediction = _predict(scheduler, scaled, float(timestep))
            prediction[index] += error
            sample = scheduler.step(prediction, timestep, sample, **options).prev_sample.double()
    return sample.flatten()


def _predict(scheduler: Any, sample: torch.Tensor, timestep: float) -> torch.Tensor:
    """Predict for latents that are normally distributed with variance 1 when they are clean.

    Args:
        scheduler: of diffusers.
        sample: what the denoiser reads, of any shape.
        timestep: of training, perhaps between two of them.

    Returns:
        Noise, velocity or clean latents, as the scheduler understands the prediction.
    """
    if not hasattr(scheduler, "alphas_cumprod"):
        return _predict_flow(sample, timestep / scheduler.config.num_train_timesteps)
    products = scheduler.alphas_cumprod.double().numpy()
    signal = float(np.interp(timestep, np.arange(len(products)), products))
    match scheduler.config.prediction_type:
        case "epsilon":
            factor = math.sqrt(1 - signal)
        case "sample":
            factor = math.sqrt(signal)
        case "v_prediction":
            # Noise and clean latents are expected in the proportion at which they cancel.
            factor = 0.0
        case _:
            return _predict_flow(sample, timestep / len(products))
    return factor * sample


def _predict_flow(sample: torch.Tensor, time: float) -> torch.Tensor:
    """Predict noise less clean latents, of (1 - time) clean latents and time times noise."""
    return (2 * time - 1) / ((1 - time) ** 2 + time**2) * sample


def scale_input(scheduler: Any, sample: torch.Tensor, timestep: Any) -> torch.Tensor:
    """Return what the denoiser reads of latents; flow matching's schedulers do not scale them."""
    if not hasattr(scheduler, "scale_model_input"):
        return sample
    scaled: torch.Tensor = scheduler.scale_model_input(sample, timestep)
    return scaled
