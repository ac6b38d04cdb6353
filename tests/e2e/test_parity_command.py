"""``wsd parity`` in Node.js: what measures models of full size, on a small one."""

import dataclasses

import pytest

from wsd.checkpoint import Checkpoint
from wsd.drawing import Drawing
from wsd.node import open_node_page
from wsd.parity import compare, describe
from wsd.progress import Quiet
from wsd.render import LoadOptions


@pytest.fixture(scope="module")
def found(bundle, checkpoint, family):
    drawing = Drawing("a large red circle left of a small blue square", seed=2, steps=2)
    # Loading takes the software adapter half a minute; two ways see all there is.
    ways = [LoadOptions(offload=True, tiling=True)]
    return compare(bundle, Checkpoint(checkpoint, family), drawing, open_node_page, Quiet(), ways)


@pytest.fixture(scope="module")
def told(found):
    return {finding.what: finding for finding in found.findings}


def test_everything_is_compared(found, told):
    limited = {what for what, finding in told.items() if finding.limit is not None}
    assert {
        "text encoders: text_embeddings", "one UNet step", "VAE decode", "trajectory: latents",
        "trajectory: picture", "picture by unrounded weights", "tiles: steepest seam",
        "offload, tiles: latents",
    } <= limited  # fmt: skip
    assert found.good, "\n".join(describe(found))
    assert 0 < told["one UNet step"].value < 1e-4
    assert 0 < told["reference: a nudge grows"].value < 100
    assert found.adapter["architecture"] == "swiftshader"
    assert found.pictures.shape == (2, 128, 128, 3)
    assert found.pictures.std() > 10


def test_peaks_are_as_planned(manifest, told):
    planned = {(p["offload"], p["tiling"]): p["bytes"] for p in manifest["peak_bytes"]}
    assert planned[True, True] <= planned[True, False] < planned[False, True]
    assert planned[False, True] < planned[False, False]
    for way, peak in (("resident", planned[False, False]), ("offload, tiles", planned[True, True])):
        # The pool rounds buffers up to pages, and a run holds some latents.
        measured = told[f"{way}: peak memory"].value
        assert 0.9 * measured < peak < 1.1 * measured, way


def test_a_difference_is_seen(found, told):
    for value in (0.01, float("nan")):
        worse = dataclasses.replace(told["one UNet step"], value=value)
        report = dataclasses.replace(found, findings=(worse,))
        assert not report.good
        assert any(line.startswith("BAD one UNet step") for line in describe(report))
