"""The browser's scheduler steps against diffusers' scheduler."""

import numpy as np
import pytest
import torch

from wsd.modules import build_scheduler
from wsd.schedulers import scheduler_constants


def known_denoiser(sample, timestep):
    """Any smooth function of sample and time serves as a noise prediction."""
    return np.sin(sample * 1.3 + timestep / 300.0) * 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 4, 14, 15, 20, 50, 100])
def test_trajectory_equals_diffusers(javascript, family, count):
    steps = javascript({"call": "steps", "constants": scheduler_constants(family), "count": count})
    scheduler = build_scheduler(family)
    scheduler.set_timesteps(count)
    assert [step["timestep"] for step in steps] == scheduler.timesteps.tolist()

    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    expected, sample, previous = start, start.numpy(), np.zeros((1, 4, 8, 8))
    for step, timestep in zip(steps, scheduler.timesteps, strict=True):
        noise = torch.from_numpy(known_denoiser(expected.numpy(), float(timestep)))
        expected = scheduler.step(noise, timestep, expected).prev_sample
        clean, following = step["denoised"], step["next"]
        denoised = clean["sample"] * sample + clean["noise"] * known_denoiser(
            sample, step["timestep"]
        )
        sample = (
            following["sample"] * sample
            + following["denoised"] * denoised
            + following["previousDenoised"] * previous
        )
        previous = denoised
    error = np.linalg.norm(sample - expected.numpy()) / np.linalg.norm(expected.numpy())
    assert error < 1e-5


def test_an_unsupported_configuration_is_refused(family):
    import dataclasses

    from wsd.errors import CheckpointError

    other = dataclasses.replace(
        family, scheduler={**family.scheduler, "prediction_type": "v_prediction"}
    )
    with pytest.raises(CheckpointError, match="prediction_type='v_prediction'"):
        scheduler_constants(other)
