"""How large an error of the final latents may be, by scheduler and number of steps."""

import re

import numpy as np
import pytest

from marks import some_of
from scheduling import DISCRETE
from wsd.evaluate.error_growth import weigh_predictions
from wsd.models.registry import find_family
from wsd.models.schedulers import build_scheduler
from wsd.spec.tolerances import LATENTS_TOLERANCE, latents_tolerance
from wsd.util.files import REPOSITORY

OFFERED = [name for name, known in DISCRETE.items() if known.offered]
SD, XL = find_family("sd15").scheduler, find_family("sdxl").scheduler


@pytest.mark.parametrize("count", [1, 2, 4, 20])
@pytest.mark.parametrize("name", ["euler", "euler_karras"])
def test_the_weight_of_eulers_method(name, count):
    """By hand: its step adds the slope times the change of the noise level."""
    scheduler = build_scheduler(XL, name)
    scheduler.set_timesteps(count)
    levels = scheduler.sigmas.double().numpy()
    changes = np.diff(levels)
    # The slope is the noise: level / (level^2 + 1) times the latents.
    kept = 1 + changes * levels[:-1] / (levels[:-1] ** 2 + 1)
    weights = [change * np.prod(kept[i + 1 :]) for i, change in enumerate(changes)]
    # Karras' levels lie between training timesteps, where the products are interpolated.
    assert weigh_predictions(XL, name, count, 0.0) == pytest.approx(np.linalg.norm(weights), 1e-4)


@pytest.mark.parametrize("run", [1, 3, 15, 20])
def test_the_weight_of_the_last_steps(run):
    """Where a picture is given, the errors are those of the steps that are run."""
    scheduler = build_scheduler(XL, "euler")
    scheduler.set_timesteps(20)
    levels = scheduler.sigmas.double().numpy()
    changes = np.diff(levels)
    kept = 1 + changes * levels[:-1] / (levels[:-1] ** 2 + 1)
    weights = [changes[i] * np.prod(kept[i + 1 :]) for i in range(20 - run, 20)]
    found = weigh_predictions(XL, "euler", 20, 0.0, run)
    assert found == pytest.approx(np.linalg.norm(weights), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(OFFERED, 4))
def test_every_scheduler_can_be_weighed_from_a_later_step(name):
    assert 0 < weigh_predictions(SD, name, 20, 0.0, 6) < 2
    whole = weigh_predictions(SD, name, 20, 0.0)
    assert weigh_predictions(SD, name, 20, 0.0, 20) == pytest.approx(whole)


def test_the_weight_of_a_single_prediction_of_clean_latents():
    config = {**SD, "prediction_type": "sample", "timestep_spacing": "trailing"}
    assert weigh_predictions(config, "lcm", 1, 0.0) == pytest.approx(1, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(OFFERED, 4))
def test_the_limit_of_20_steps_is_that_of_its_constant(name):
    """LMS extrapolates over four steps, and enlarges errors by half."""
    limit = latents_tolerance(weigh_predictions(SD, name, 20, 0.0))
    assert limit == LATENTS_TOLERANCE or (name == "lms" and limit < 1.6 * LATENTS_TOLERANCE)


def test_the_documented_limits_are_these():
    text = (REPOSITORY / "docs" / "checkpoints.md").read_text()
    [said] = re.findall(r"for `tcd` ([^;.]*?(?:\.\d[^;.]*?)*)\. The limits", " ".join(text.split()))
    limits = re.findall(r"(\d\.\de-\d) with (\d+)", said)
    assert [int(count) for _, count in limits] == [8, 4, 2, 1]
    for limit, count in limits:
        weight = weigh_predictions(SD, "tcd", int(count), 0.0)
        assert float(limit) == pytest.approx(latents_tolerance(weight), 0.05)


def test_fewer_steps_have_a_wider_limit():
    limits = [latents_tolerance(weigh_predictions(SD, "tcd", n, 0.3)) for n in (20, 8, 4, 2, 1)]
    assert limits == sorted(limits)
    # All of the latents comes from one prediction, at a level of 14.6 times the signal.
    assert limits[-1] == pytest.approx(14.6 * LATENTS_TOLERANCE, 0.01)
