"""What a bundle's stages take, and others on the same work."""

import pytest

from wsd.bench import bench, describe
from wsd.node import open_node_page
from wsd.progress import Quiet
from wsd.render import LoadOptions


@pytest.fixture(scope="module")
def measured(speck):
    pytest.importorskip("onnxscript", reason="not run: the extra `compare` is not installed")
    bundle, checkpoint = speck
    return bench(bundle, None, None, 1, LoadOptions(), open_node_page, Quiet(), checkpoint)


def test_every_stage(measured):
    names = [stage.name for stage in measured.stages]
    assert names == ["text_encoder", "unet_16x16", "guided_unet_16x16", "vae_decoder_16x16",
                     "image_to_rgba_16x16"]  # fmt: skip
    for stage in measured.stages:
        assert stage.milliseconds >= stage.host > 0
        assert stage.dispatches > 0
        assert stage.gpu > 0
        assert stage.busy > 0
        assert 0 <= stage.overhead < 1
        assert all(kernel.moved > 0 for kernel in stage.kernels)
        # By the GPU's own clock, no kernel exceeds what the GPU was measured to do.
        most = measured.ceilings.operations_per_second * stage.gpu / 1000
        assert stage.operations <= most


def test_onnxruntime_on_the_same_step(measured):
    """It gets the module that the bundle was made from."""
    ours, *_, other = measured.contestants
    assert (ours.name, other.name) == ("WSD", "onnxruntime-web")
    assert ours.error < 1e-5
    # Its sine is that of the adapter, so it is far from PyTorch, but of the same picture.
    assert ours.error < other.error < 0.5
    assert min(ours.milliseconds, other.milliseconds) > 0
    told = describe(measured)
    assert any("onnxruntime-web" in line and "times WSD's time" in line for line in told)
