"""The safety checker in a browser against diffusers' own class: decisions, scores, memory."""

import numpy as np
import pytest

from checker import CARE, FLAGGED, plain, save_checker
from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import RenderError
from wsd.evaluate.safety_reference import Decision, SafetyReference, differ_most
from wsd.models.registry import find_family
from wsd.spec.roles import SAFETY_CHECKER
from wsd.spec.tolerances import PEAK_MEMORY_MARGIN, SAFETY_TOLERANCE
from wsd.util.progress import Quiet

NOISE = np.random.default_rng(7)
PICTURES = [
    *map(plain, FLAGGED.values()),
    *map(plain, CARE.values()),
    plain((255, 255, 255)),
    # Sizes other than the checker's own, each way.
    plain((200, 60, 60), (96, 40)),
    NOISE.integers(0, 256, (70, 50, 3), np.uint8),
    NOISE.integers(0, 256, (16, 16, 3), np.uint8),
    np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8),
]


def build(family, weights, dtype, folder):
    """Return a bundle with the small safety checker, and its checkpoint."""
    checkpoint = open_checkpoint(weights, family, safety_checker=save_checker(folder / "checker"))
    library = compile_library(checkpoint.family, family.sizes, dtype, Quiet())
    return build_bundle(checkpoint, library, folder / "bundle", Quiet()), checkpoint


def read(reports):
    return [
        Decision(
            report["flagged"],
            np.array(report["conceptScores"], np.float32),
            np.array(report["specialScores"], np.float32),
        )
        for report in reports
    ]


def compare(found, expected):
    assert [one.flagged for one in found] == [one.flagged for one in expected]
    assert [one.concepts for one in found] == [one.concepts for one in expected]
    assert differ_most(found, expected) <= SAFETY_TOLERANCE


def check_all(open_model, bundle, checkpoint, **options):
    """Check pictures that are given and pictures that are drawn; both as diffusers does."""
    manifest = read_manifest(find_manifest(bundle, None))
    reference = SafetyReference(checkpoint, manifest.storages()[SAFETY_CHECKER])
    offload = options.get("offload", False)
    with open_model(bundle, **options) as renderer:
        drawing = {"seed": 2, "numInferenceSteps": 2}
        plain_result = renderer.draw_with("a star", drawing)
        assert plain_result.safety == ()
        # Nothing of the checker is on the GPU before it is asked for.
        planned = manifest.peak(manifest.defaults.size, offload=offload, tiling=False)
        assert renderer.usage()["peakGpuBytes"] <= PEAK_MEMORY_MARGIN * planned
        before = renderer.usage()["gpuBytes"]
        checked = renderer.draw_with("a star", {**drawing, "safetyChecker": True, "numImages": 2})
        assert (checked.images[0] != checked.images[1]).any()
        compare(read(checked.safety), reference.check(checked.images))
        assert "safety" in checked.timings
        found = read(renderer.check_picture(picture) for picture in PICTURES)
        expected = reference.check(PICTURES)
        assert {one.flagged for one in expected} == {True, False}
        compare(found, expected)
        size = manifest.defaults.size
        peak = manifest.peak(size, offload=offload, tiling=False, safety_checker=True)
        assert renderer.usage()["peakGpuBytes"] <= PEAK_MEMORY_MARGIN * peak
        # What was drawn unchecked is the same picture.
        again = renderer.draw_with("a star", drawing)
        assert (again.images == plain_result.images).all()
        # Its parameters stay on the GPU, unless those of one stage at a time do. Workspaces are
        # those of the same stages as before.
        grown = renderer.usage()["gpuBytes"] - before
        assert grown == (0 if offload else manifest.components[SAFETY_CHECKER].bytes)


@pytest.mark.exhaustive
def test_pictures_are_judged_as_diffusers_judges_them(open_model, tmp_path):
    check_all(open_model, *build(SPECK, random_checkpoint(SPECK, 0), "f32", tmp_path))


@pytest.mark.full
def test_a_model_without_a_checker_refuses_before_it_draws(speck_renderer):
    with pytest.raises(RenderError, match="UnsupportedError: speck has no safety checker"):
        speck_renderer.draw_with("a star", {"safetyChecker": True})


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        pytest.param("f16", {}, marks=pytest.mark.exhaustive),
        pytest.param("w8a16", {"offload": True}, marks=pytest.mark.full),
        pytest.param("f32", {"offload": True}, marks=pytest.mark.exhaustive),
        pytest.param("f32", {"kernels": "generated"}, marks=pytest.mark.exhaustive),
    ],
    ids=["f16", "w8a16-offload", "f32-offload", "f32-generated"],
)
def test_every_precision_and_way_of_drawing(open_model, tmp_path, dtype, options):
    check_all(open_model, *build(SPECK, random_checkpoint(SPECK, 0), dtype, tmp_path), **options)


@pytest.mark.exhaustive
def test_the_shipped_models_pictures_are_judged_alike(open_model, tmp_path):
    family = find_family("tiny-sd15")
    check_all(open_model, *build(family, family.weights, "f32", tmp_path))
