"""Whole trajectories through the GPU's one kernel, with a known denoiser."""

import pytest

from scheduling import DISCRETE, by_browser, by_diffusers, configure, float32_noise  # noqa: F401
from wsd.evaluate.metrics import relative_error
from wsd.models.schedulers import build_scheduler, max_steps

SHAPE = (1, 4, 16, 16)
# Algorithm → a scheduler; the others of an algorithm differ in numbers alone.
ONE_OF_EACH = {known.algorithm: name for name, known in DISCRETE.items() if known.offered}


@pytest.fixture
def add_on_gpu(speck_renderer):
    """Return a function that sums (array, weight) pairs with the compiled kernel."""

    return lambda terms: speck_renderer.combine_latents(terms).reshape(SHAPE)


@pytest.mark.full
@pytest.mark.usefixtures("float32_noise")
# Four steps have every shape that a step of each scheduler takes: with less history at first, with
# noise, with a sample that is kept. Predictions and counts change numbers alone.
@pytest.mark.parametrize(
    "counts", [(4,), pytest.param((1, 2, 20, 50), marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize(
    "prediction", ["epsilon", pytest.param("v_prediction", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("name", ONE_OF_EACH.values(), ids=str)
def test_trajectories_on_the_gpu(javascript, family, add_on_gpu, name, prediction, counts):
    family = configure(family, prediction_type=prediction)
    for count in counts:
        scheduler = build_scheduler(family.scheduler, name)
        assert count <= max_steps(scheduler)
        _, expected = by_diffusers(scheduler, count, 0.5, SHAPE)
        _, found = by_browser(javascript, family, name, count, 0.5, SHAPE, add_on_gpu)
        assert relative_error(found, expected) < 1e-4, count
