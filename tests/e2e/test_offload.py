"""Sequential offload: the same pictures with the weights of one stage on the GPU at a time."""

import numpy as np
import pytest

from wsd.bundle.manifest import find_manifests, read_manifest
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest

DRAWING = GenerationRequest("a large red circle", seed=1, steps=2, images=2)
# Its left half is drawn anew, in one of two steps.
PICTURE = GivenPicture(
    np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8),
    0.5,
    np.repeat([[255] * 8 + [0] * 8], 16, axis=0).astype(np.uint8),
)


@pytest.fixture(scope="module")
def offloading(open_model, speck):
    with open_model(speck[0], offload=True) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def sizes(speck):
    manifest = read_manifest(find_manifests(speck[0])[0])
    return {name: component.bytes for name, component in manifest.components.items()}


@pytest.mark.full
def test_the_same_pictures(speck_renderer, offloading):
    expected, found = speck_renderer.draw(DRAWING), offloading.draw(DRAWING)
    np.testing.assert_array_equal(found.latents, expected.latents)
    np.testing.assert_array_equal(found.images, expected.images)


@pytest.mark.exhaustive
def test_a_picture_is_encoded_before_all_else(speck_renderer, offloading, sizes):
    expected, found = (
        renderer.draw(DRAWING, picture=PICTURE) for renderer in (speck_renderer, offloading)
    )
    np.testing.assert_array_equal(found.latents, expected.latents)
    np.testing.assert_array_equal(found.images, expected.images)
    # The encoder's weights are gone: as much is held as after drawing from text.
    held = offloading.usage()["gpuBytes"]
    offloading.draw(DRAWING)
    assert abs(held - offloading.usage()["gpuBytes"]) < sizes["vae_encoder"]


@pytest.mark.full
def test_one_stage_at_a_time(sizes, offloading):
    held = []
    for stage in (
        lambda: offloading.encode_text("red"),
        lambda: offloading.draw(DRAWING),
        lambda: offloading.encode_text("red"),
        lambda: offloading.draw(DRAWING),
        lambda: offloading.encode_text("red"),
    ):
        stage()
        held.append(offloading.usage()["gpuBytes"])
    # Beside the weights, only what that stage works in.
    assert sizes["text_encoder"] <= held[0] < sizes["unet"]
    assert sizes["vae"] <= held[1] < sum(sizes.values())
    # Drawing keeps what its kernels sum in.
    assert held[0] <= held[2] <= held[0] + 8192
    assert held[4] == held[2]


@pytest.mark.full
def test_the_peak_is_lower(speck_renderer, offloading):
    speck_renderer.draw(DRAWING)
    offloading.draw(DRAWING)
    assert offloading.usage()["peakGpuBytes"] < speck_renderer.usage()["peakGpuBytes"]
    # The third picture takes no more than the second.
    before = offloading.usage()
    offloading.draw(DRAWING)
    assert offloading.usage() == before
