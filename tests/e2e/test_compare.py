"""Others on the same work: onnxruntime-web gets the module that the bundle was made from."""

import pytest

from wsd.bench import bench, describe
from wsd.node import open_node_page
from wsd.progress import Quiet
from wsd.render import LoadOptions


def test_onnxruntime_on_the_same_step(speck):
    pytest.importorskip("onnxscript", reason="not run: the extra `compare` is not installed")
    bundle, checkpoint = speck
    found = bench(bundle, None, None, 1, LoadOptions(), open_node_page, Quiet(), checkpoint)
    ours, *_, other = found.contestants
    assert (ours.name, other.name) == ("WSD", "onnxruntime-web")
    assert ours.error < 1e-5
    # Its sine is that of the adapter, so it is far from PyTorch, but of the same picture.
    assert ours.error < other.error < 0.5
    assert min(ours.milliseconds, other.milliseconds) > 0
    assert any("onnxruntime-web" in line and "times WSD's time" in line for line in describe(found))
