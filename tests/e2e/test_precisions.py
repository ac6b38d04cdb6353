"""Packed weights: the browser computes what PyTorch does with the same rounded weights."""

import numpy as np
import pytest
import torch

from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.self_test import write_fixtures
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import psnr, relative_error
from wsd.frontend.entry_points import make_entry_point
from wsd.frontend.export import trace_component
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

PROMPT = "a large red circle left of a small blue square"
# Of the picture drawn with rounded weights against the one drawn with none rounded.
LEAST_PSNR = {"f16": 35, "w8a16": 30}


@pytest.fixture(scope="module", params=LEAST_PSNR)
def built(request, open_model, tmp_path_factory):
    """Yield (dtype, library, loaded bundle, pipeline with rounded weights, checkpoint)."""
    dtype = request.param
    checkpoint = open_checkpoint(choose_checkpoint(SPECK, None, 0), SPECK)
    library = compile_library(SPECK, SPECK.sizes, dtype, Quiet())
    folder = tmp_path_factory.mktemp("bundle")
    # Expected of unrounded weights.
    expected = write_fixtures(checkpoint, SPECK.sizes[0], PROMPT, folder / "expected", Quiet())
    bundle = build_bundle(checkpoint, library, folder / dtype, Quiet(), expected)
    pipeline = load_pipeline(checkpoint)
    round_weights(pipeline, library.parameters)
    with open_model(bundle) as renderer:
        yield dtype, library, renderer, pipeline, checkpoint


def test_weights_are_smaller(built):
    dtype, library, *_ = built
    storages = {p.storage for parameters in library.parameters.values() for p in parameters}
    assert ("int8" in storages) == (dtype == "w8a16")
    assert "float16" in storages
    assert not [name for name in library.shaders if "unpack_" in name]


def test_text_embeddings(built):
    _, _, renderer, pipeline, _ = built
    with torch.no_grad():
        states = pipeline.encode_prompt(
            PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )[0]
    found = renderer.encode_text(PROMPT)["text_embeddings"]
    assert relative_error(found, states.numpy()) < 1e-4


def test_vae_decode(built):
    _, _, renderer, pipeline, _ = built
    edge = SPECK.sizes[0][0] // SPECK.latent_space.scale_factor
    latents = torch.randn(1, 4, edge, edge, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    assert relative_error(renderer.decode_latents(latents.numpy()), expected.numpy()) < 1e-4


def test_the_self_test_minds_the_precision(built):
    """What rounding costs is within the limit."""
    dtype, _, renderer, *_ = built
    stages = renderer.self_test()
    assert len(stages) == len(SPECK.components) + 2  # guided, and a tile too
    assert [stage for stage in stages if not stage["good"]] == []
    assert max(stage["error"] for stage in stages) > (1e-3 if dtype == "w8a16" else 1e-5)


def test_whole_pictures(built):
    dtype, _, renderer, pipeline, checkpoint = built
    drawing = GenerationRequest(PROMPT, seed=3, steps=3)
    images, latents = draw_reference(checkpoint, pipeline, drawing, Quiet())
    drawn = renderer.draw(drawing)
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40
    unrounded, _ = draw_reference(checkpoint, load_pipeline(checkpoint), drawing, Quiet())
    assert psnr(drawn.images, unrounded) > LEAST_PSNR[dtype]
    assert np.std(drawn.images) > 5


def test_a_trained_models_pictures_stay():
    """By diffusers: the browser computes the same with the same rounded weights."""
    family = find_family("tiny-sd15")  # whose weights are halves to begin with
    trained = open_checkpoint(choose_checkpoint(family, None, None), family)
    exact, rounded = load_pipeline(trained), load_pipeline(trained)
    parameters = {}
    for component in family.components:
        part = make_entry_point(family, component, getattr(exact, component.id), family.sizes[0])
        parameters[component.id] = trace_component(component, part, "w8a16").parameters
    round_weights(rounded, parameters)
    drawing = GenerationRequest(PROMPT, seed=3, steps=4)
    images = [draw_reference(trained, p, drawing, Quiet())[0] for p in (exact, rounded)]
    assert LEAST_PSNR["w8a16"] < psnr(*images) < 100
