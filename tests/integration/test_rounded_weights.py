"""What rounding the weights costs a trained model, by diffusers.

The browser computes the same with the same rounded weights: tests/e2e/test_parity.py.
"""

import pytest

from wsd.checkpoint.checkpoint import Checkpoint
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import psnr
from wsd.frontend.entry_points import make_entry_point
from wsd.frontend.export import trace_component
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import ROUNDING_PSNR
from wsd.util.progress import Quiet


@pytest.mark.full
def test_a_trained_models_pictures_stay(shipped: Checkpoint):
    family = shipped.family  # whose weights are float16 to begin with
    exact, rounded = load_pipeline(shipped), load_pipeline(shipped)
    storages = {}
    for component in family.components:
        made = make_entry_point(family, component, getattr(exact, component.id), family.sizes[0])
        found = trace_component(component, made, "w8a16").parameters
        storages[component.id] = {parameter.name: parameter.storage for parameter in found}
    round_weights(rounded, storages)
    wanted = GenerationRequest("a large red circle left of a small blue square", seed=3, steps=4)
    images = [draw_reference(shipped, p, wanted, Quiet())[0] for p in (exact, rounded)]
    assert ROUNDING_PSNR["w8a16"] < psnr(*images) < 100
