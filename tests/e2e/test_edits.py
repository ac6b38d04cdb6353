"""Does the browser edit pictures as it is told? A mask says where a scene lacks a thing."""

import numpy as np
import pytest

from training.edits import held_out_edits, make_edit
from training.evaluate import rates
from training.scenes import Scene, Thing
from training.shape_metrics import find_things, score
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import find_family
from wsd.runtime.driver import page_options
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.progress import Quiet

# Twenty of each model take half an hour on two cores; one is too few for a share.
EDITS, FEW = 20, 1
HOW_MANY = pytest.mark.parametrize(
    "edits",
    [pytest.param(FEW, marks=pytest.mark.full), pytest.param(EDITS, marks=pytest.mark.exhaustive)],
)
# Fewer steps than usual: software adapters are slow, and these are enough here.
STEPS = 10


def edit_in_browser(renderer, edit, request):
    """Return the picture and the latents; the page puts back what is not masked."""
    options = {**page_options(request, edit.picture), "keepUnmasked": True}
    drawn = renderer.draw_with(request.prompt, options)
    return drawn.images[0], drawn.latents


def compare(renderer, checkpoint, pipeline, edit, seed):
    """Edit in the browser and with diffusers; return both pictures."""
    request = GenerationRequest(edit.scene.caption, steps=STEPS, seed=seed)
    found, latents = edit_in_browser(renderer, edit, request)
    [image], expected = draw_reference(checkpoint, pipeline, request, Quiet(), picture=edit.picture)
    assert relative_error(latents, expected) < LATENTS_TOLERANCE
    assert edit.is_kept(found)
    reference = edit.put_back(image)
    assert psnr(found, reference) > PICTURE_PSNR
    return found, reference


@pytest.mark.exhaustive
def test_tiny_sd15_draws_a_red_circle_into_a_scene(renderer, pipeline, shipped):
    square = Thing("square", "blue", "large", 0.18, 0.26, 0.3, size_said=True)
    circle = Thing("circle", "red", "large", 0.18, 0.72, 0.7, size_said=True)
    scene = Scene((square, circle), "and", None, ("white", "white"), background_said=False)
    edit = make_edit(scene, 128)
    [before] = find_things(edit.picture.image)
    found, _ = compare(renderer, shipped, pipeline, edit, seed=2)
    things = {(thing.color, thing.shape): thing for thing in find_things(found)}
    assert set(things) == {("blue", "square"), ("red", "circle")}
    assert things["blue", "square"] == before


def assert_edits(renderer, pipeline, checkpoint, edge, edits, right_in_all):
    """Edit held-out scenes; the browser is right as often as diffusers, and where diffusers is.

    `right_in_all` is the least share of edits in which every property of the scene is right.
    """
    scored = []
    for seed, edit in enumerate(held_out_edits(edits, edge)):
        pictures = compare(renderer, checkpoint, pipeline, edit, seed)
        scored.append([score(edit.scene, picture) for picture in pictures])
    browser, diffusers = map(list, zip(*scored, strict=True))
    assert browser == diffusers
    if edits < EDITS:
        return
    right = rates(browser)
    assert right["color"] >= 0.9
    assert right["count"] >= 0.8
    assert right["all"] >= right_in_all
    assert np.isfinite(right["relation"])


@HOW_MANY
def test_tiny_sd15_edits_held_out_scenes(renderer, pipeline, shipped, edits):
    # With diffusers too, 11 of the 20 are right in all.
    assert_edits(renderer, pipeline, shipped, 128, edits, right_in_all=0.5)


@HOW_MANY
def test_tiny_sdxl_edits_held_out_scenes(open_model, tmp_path, edits):
    family = find_family("tiny-sdxl")
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    library = compile_library(family, family.sizes, "f32", Quiet())
    with open_model(build_bundle(checkpoint, library, tmp_path / "xl", Quiet())) as renderer:
        pipeline = load_pipeline(checkpoint)
        assert_edits(renderer, pipeline, checkpoint, 192, edits, right_in_all=0.6)
