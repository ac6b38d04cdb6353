"""Cached deep features in the browser: pictures as diffusers draws them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from paged import assert_drawn, open_in_page
from speck import CACHING, CACHING_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifests
from wsd.compiler.memory import peaks
from wsd.evaluate.diffusers_reference import draw_reference
from wsd.evaluate.metrics import relative_error
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.spec.tolerances import LATENTS_TOLERANCE, PEAK_MEMORY_MARGIN
from wsd.util.progress import Quiet

pytestmark = pytest.mark.full
seldom = pytest.mark.exhaustive

REQUEST = GenerationRequest(
    "a large red circle", "blue", guidance_scale=6.0, seed=1, steps=7, cache_interval=3
)


@pytest.fixture(scope="module")
def caching(open_model, tmp_path_factory):
    """Return a model that keeps deep features, in a page."""
    folder = tmp_path_factory.mktemp("caching")
    with open_in_page(CACHING, "f32", "a star", folder, open_model) as model:
        yield model


def assert_cached(model, request, picture=None):
    """Draw as diffusers, and otherwise than with the whole UNet in every step."""
    drawn = assert_drawn(model, request, picture)
    whole = model.renderer.draw(replace(request, cache_interval=1), picture=picture)
    assert relative_error(drawn.latents, whole.latents) > 10 * LATENTS_TOLERANCE
    return drawn


@pytest.mark.parametrize(
    "scheduler",
    ["ddim", *(pytest.param(name, marks=seldom) for name in ("heun", "pndm", "dpmpp_2m"))],
)
def test_pictures_are_those_of_diffusers(caching, scheduler):
    assert_cached(caching, replace(REQUEST, scheduler=scheduler))


@pytest.mark.parametrize(
    "changes",
    [
        {"cache_interval": 2},
        # Guidance ends and begins between two predictions that run the whole UNet.
        {"guidance_interval": GuidanceInterval(0.3, 1.0), "scheduler": "euler"},
        pytest.param({"guidance_interval": GuidanceInterval(0.0, 0.3)}, marks=seldom),
        pytest.param({"guidance_scale": 1.0}, marks=seldom),
        pytest.param({"cache_interval": 100}, marks=seldom),
        # Two calls of the UNet for a prediction.
        pytest.param({"guidance_rescale": 0.7}, marks=seldom),
        pytest.param({"images": 2, "steps": 4}, marks=seldom),
    ],
    ids=str,
)
def test_with_other_options(caching, changes):
    assert_cached(caching, replace(REQUEST, **changes))


@seldom
def test_from_a_picture(caching):
    """The interval counts the predictions that are run."""
    width, height = CACHING.sizes[0]
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    assert_cached(caching, replace(REQUEST, scheduler="ddim"), GivenPicture(pixels, 0.8))


@seldom
def test_two_calls_give_what_one_gives_in_the_planned_memory(open_model, caching, tmp_path):
    bundle = build_bundle(caching.checkpoint, caching.library, tmp_path / "bundle", Quiet())
    planned = next(peak for peak in peaks(caching.library) if not (peak.offload or peak.tiling))
    with open_model(bundle) as renderer:
        at_once = renderer.draw(REQUEST)
        assert renderer.usage()["peakGpuBytes"] <= PEAK_MEMORY_MARGIN * planned.bytes
    copy = tmp_path / "small"
    shutil.copytree(bundle, copy)
    (path,) = find_manifests(copy)
    manifest = json.loads(path.read_text())
    (guided,) = [e for e in manifest["entry_points"] if e["role"] == "guided_denoiser"]
    guided["largest_buffer_bytes"] = 1 << 50
    path.write_text(json.dumps(manifest))
    with open_model(copy) as renderer:
        apart = renderer.draw(REQUEST)
    assert relative_error(apart.latents, at_once.latents) < 1e-5


@pytest.mark.exhaustive
def test_sdxl_and_long_prompts(open_model, tmp_path):
    request = replace(REQUEST, scheduler="euler")
    with open_in_page(CACHING_XL, "w8a16", "a star", tmp_path, open_model) as model:
        assert_cached(model, request)
        long = replace(request, prompt="a large red circle " * 20, prompt_syntax="a1111")
        _, expected = draw_reference(model.checkpoint, model.pipeline, long, Quiet())
        drawn = model.renderer.draw(long)
        assert relative_error(drawn.latents, expected) < LATENTS_TOLERANCE
        roles = [entry.role for entry in model.library.entry_points]
        assert roles.count("guided_chunked_denoiser") == 1
        assert roles.count("guided_shallow_denoiser") == 1
