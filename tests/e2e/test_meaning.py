"""Does the browser draw what was asked for? Prompts that no training saw."""

import pytest

from training.evaluate import held_out_scenes
from training.shape_metrics import score
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.util.progress import Quiet


def chosen():
    """Return a scene of two things, one somewhere of the other.

    On a plain background: the evaluation counts how often the model gets the hard
    ones, this asks whether the browser draws what the model can.
    """
    return next(
        scene
        for scene in held_out_scenes(60)
        if scene.background[0] == scene.background[1] and scene.relation not in (None, "and")
    )


def assert_drawn(renderer, pipeline, checkpoint, steps, interval=None):
    scene = chosen()
    drawing = GenerationRequest(
        scene.caption, steps=steps, seed=2, guidance_interval=interval or GuidanceInterval()
    )
    drawn = renderer.draw(drawing)
    found = score(scene, drawn.images[0])
    assert found.color
    assert found.shape
    assert found.count
    assert found.relation is not False
    images, latents = draw_reference(checkpoint, pipeline, drawing, Quiet())
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40


@pytest.mark.exhaustive
# Fewer steps than usual: software adapters are slow, and these are enough here.
def test_tiny_sd15_draws_a_held_out_prompt(renderer, pipeline, shipped):
    assert_drawn(renderer, pipeline, shipped, steps=8)


@pytest.mark.exhaustive
def test_tiny_sdxl_draws_a_held_out_prompt(open_model, tmp_path):
    assert_built_and_drawn("tiny-sdxl", open_model, tmp_path / "bundle", steps=5)


@pytest.mark.exhaustive
def test_tiny_sd35_draws_a_held_out_prompt(open_model, tmp_path):
    whole, half = GuidanceInterval(), GuidanceInterval(0.25, 0.75)
    assert_built_and_drawn("tiny-sd35", open_model, tmp_path / "bundle", 8, (whole, half))


def assert_built_and_drawn(name, open_model, out, steps, intervals=(None,)):
    family = find_family(name)
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    library = compile_library(family, family.sizes, "f32", Quiet())
    with open_model(build_bundle(checkpoint, library, out, Quiet())) as renderer:
        pipeline = load_pipeline(checkpoint)
        for interval in intervals:
            assert_drawn(renderer, pipeline, checkpoint, steps, interval)
