"""Whole trajectories through the GPU's one kernel, with a known denoiser."""

import base64

import numpy as np
import pytest

from scheduling import by_browser, by_diffusers, configure, float32_noise  # noqa: F401
from wsd.evaluate.metrics import relative_error
from wsd.models.schedulers import SCHEDULERS, build_scheduler, max_steps

SHAPE = (1, 4, 16, 16)

COMBINE = """
([terms, weights]) => attempt(async () =>
  bytes(await pipe.remote.combineLatents(terms.map(floats), weights)))
"""


@pytest.fixture
def add_on_gpu(speck_renderer):
    """Return a function that sums (array, weight) pairs with the compiled kernel."""

    def add(terms):
        arrays = [
            base64.b64encode(np.asarray(array, np.float32).tobytes()).decode() for array, _ in terms
        ]
        found = speck_renderer.call(COMBINE, [arrays, [weight for _, weight in terms]])
        return np.frombuffer(base64.b64decode(found), np.float32).reshape(SHAPE)

    return add


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_trajectories_on_the_gpu(javascript, family, add_on_gpu, name, prediction):
    family = configure(family, prediction_type=prediction)
    for count in (1, 2, 4, 20, 50):
        scheduler = build_scheduler(family.scheduler, name)
        assert count <= max_steps(scheduler)
        _, expected = by_diffusers(scheduler, count, 0.5, SHAPE)
        _, found = by_browser(javascript, family, name, count, 0.5, SHAPE, add_on_gpu)
        assert relative_error(found, expected) < 1e-4, count
