"""The browser's scheduler steps against diffusers' schedulers, with a known denoiser."""

import numpy as np
import pytest

from scheduling import by_browser, by_diffusers, configure, float32_noise  # noqa: F401
from wsd.errors import CheckpointError, UsageError
from wsd.models.schedulers import SCHEDULERS, build_scheduler, describe_schedulers, max_steps


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "count", [1, 2, 4, 15, *(pytest.param(n, marks=pytest.mark.full) for n in (3, 14, 20, 50, 100))]
)
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_trajectory_equals_diffusers(javascript, family, name, count, prediction):
    family = configure(family, prediction_type=prediction)
    scheduler = build_scheduler(family.scheduler, name)
    count = min(count, max_steps(scheduler))
    eta = 0.7 if count == 4 else 0.0
    timesteps, expected = by_diffusers(scheduler, count, eta)
    found_timesteps, found = by_browser(javascript, family, name, count, eta)
    np.testing.assert_array_equal(np.float32(found_timesteps), np.float32(timesteps))
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize(
    "count", [4, *(pytest.param(count, marks=pytest.mark.full) for count in (1, 7, 30))]
)
@pytest.mark.parametrize(
    "name", [name for name in SCHEDULERS if name not in ("lcm", "dpmpp_2m_karras")]
)
def test_every_spacing(javascript, family, name, count, spacing):
    scheduler = build_scheduler(family.scheduler, name)
    scheduler = type(scheduler).from_config(scheduler.config, timestep_spacing=spacing)
    if name == "pndm" and spacing != "leading":
        # Its corrector looks a whole stride beyond its timestep; with few steps of
        # these spacings diffusers itself runs off the end of its table.
        count = 30
    timesteps, expected = by_diffusers(scheduler, count, 0.0)
    found_timesteps, found = by_browser(
        javascript, family, name, count, 0.0, timestep_spacing=spacing
    )
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
        describe_schedulers(configure(family, **options).scheduler)


def test_unknown_names_are_refused(family):
    with pytest.raises(UsageError, match="unknown scheduler 'magic'"):
        build_scheduler(family.scheduler, "magic")
    with pytest.raises(CheckpointError, match="class UniPC"):
        describe_schedulers(configure(family, _class_name="UniPCMultistepScheduler").scheduler)
