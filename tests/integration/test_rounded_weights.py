"""What rounding the weights costs a trained model, by diffusers.

The browser computes the same with the same rounded weights: tests/e2e/test_parity.py.
"""

import pytest

from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_pipeline
from wsd.evaluate.metrics import psnr
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import ROUNDING_PSNR
from wsd.util.progress import Quiet


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "dtype"),
    [
        ("tiny-sd15", "w8a16"),
        *((name, "w4a16") for name in ("tiny-sd15", "tiny-sdxl", "tiny-sd35")),
    ],
)
def test_a_trained_models_pictures_stay(model, dtype):
    family = find_family(model)
    shipped = open_checkpoint(family.weights, family)  # whose weights are float16 to begin with
    exact, rounded = load_pipeline(shipped), load_pipeline(shipped)
    round_pipeline(rounded, family, dtype)
    wanted = GenerationRequest("a large red circle left of a small blue square", seed=3, steps=4)
    images = [draw_reference(shipped, p, wanted, Quiet())[0] for p in (exact, rounded)]
    assert ROUNDING_PSNR[dtype] < psnr(*images) < 100
