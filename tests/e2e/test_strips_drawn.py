"""A decoder in strips of rows, in the browser: diffusers' picture, in the planned memory."""

import pytest
import torch

from paged import assert_drawn, open_in_page
from speck import STRIPS
from wsd.compiler.memory import peaks
from wsd.evaluate.metrics import relative_error
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import PEAK_MEMORY_MARGIN

PROMPT = "a large red circle left of a small blue square"
# TVM rounds storages up to pages, which counts in a model of this size. A decoder in strips
# has fewer storages than this.
STORAGES, PAGE = 48, 4096
DRAWING = GenerationRequest(PROMPT, seed=2, steps=3)


@pytest.fixture(scope="module", params=["f32", pytest.param("w8a16", marks=pytest.mark.exhaustive)])
def model(request, open_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("strips")
    with open_in_page(STRIPS, request.param, PROMPT, folder, open_model) as found:
        yield found


@pytest.mark.full
def test_a_picture_of_strips(model):
    (latents,) = model.inputs("vae_decoder", 1).values()
    with torch.no_grad():
        expected = model.pipeline.vae.decode(latents / 0.13025).sample
    assert relative_error(model.renderer.decode_latents(latents.numpy()), expected.numpy()) < 1e-4
    assert_drawn(model, DRAWING)
    (planned,) = (p for p in peaks(model.library) if not (p.offload or p.tiling))
    used = model.renderer.usage()["peakGpuBytes"] - STORAGES * PAGE
    assert used <= PEAK_MEMORY_MARGIN * planned.bytes
