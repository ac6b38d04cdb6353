"""``wsd bench``: what a bundle's stages take, and others on the same work."""

import json
from dataclasses import replace

import pytest

from commands import wsd
from grain import GRAIN
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import RenderError
from wsd.evaluate.baselines import Measurement
from wsd.models.registry import FAMILIES
from wsd.util.progress import Quiet


@pytest.fixture(scope="module")
def measured(speck, tmp_path_factory):
    """Return what was measured, what was printed, and the plot."""
    return bench(speck[0], tmp_path_factory.mktemp("bench"))


def bench(bundle, folder, *options):
    """Run the command; return its report, the lines that it prints, and its plot."""
    pytest.importorskip("matplotlib", reason="not run: the extra `compare` is not installed")
    out, plot = folder / "bench.json", folder / "bench.svg"
    code, lines = wsd("bench", bundle, "--host", "node", "--repeats", 1, *options,
                      "--json", out, "--plot", plot)  # fmt: skip
    assert code == 0
    return json.loads(out.read_text()), lines, plot.read_text()


@pytest.mark.exhaustive
def test_every_stage(measured):
    report, lines, plot = measured
    names = [stage["name"] for stage in report["stages"]]
    assert names == ["text_encoder", "denoiser_16x16", "guided_denoiser_16x16", "vae_decoder_16x16",
                     "image_to_rgba_16x16", "rgba_to_image_16x16",
                     "vae_encoder_16x16"]  # fmt: skip
    for stage in report["stages"]:
        assert stage["milliseconds"] >= stage["record_milliseconds"] > 0
        assert stage["dispatches"] > 0
        assert stage["kernel_milliseconds"] > 0
        assert stage["gpu_milliseconds"] > 0
        assert 0 <= stage["overhead"] < 1
        assert all(kernel["bytes_accessed"] > 0 for kernel in stage["kernels"])
        # By the GPU's own clock, no kernel exceeds what the GPU was measured to do.
        most = report["roofline"]["operations_per_second"] * stage["kernel_milliseconds"] / 1000
        assert stage["operations"] <= most
        # A software adapter runs what TVM generated unless variants are named.
        assert [share["variant"] for share in stage["variants"]] == ["generated"]
        assert any(line.startswith(stage["name"]) for line in lines)
    assert plot.lstrip().startswith("<?xml")
    assert "</svg>" in plot


@pytest.mark.full
def test_what_was_measured_is_kept_if_another_program_fails(speck, tmp_path, monkeypatch):
    def fail(*_):
        yield Measurement("another", "float16", 2.0, 1e-3)
        raise RenderError("a third ran out of memory", "measure without it")

    monkeypatch.setattr("wsd.evaluate.benchmark.compare_others", fail)
    monkeypatch.setattr("wsd.evaluate.baselines.check_packages", lambda: None)
    out = tmp_path / "bench.json"
    code, lines = wsd("bench", speck[0], "--host", "node", "--repeats", 1, "--json", out,
                      "--compare", "--random-weights", 0)  # fmt: skip
    assert code == 2
    report = json.loads(out.read_text())
    assert [entry["name"] for entry in report["baselines"]] == ["WSD", "another"]
    for stage in report["stages"]:
        assert sum(line.startswith(stage["name"] + " ") for line in lines) == 1
    assert sum("times WSD's time" in line for line in lines) == 2


@pytest.fixture(params=["speck", "grain"])
def compared(request, monkeypatch, tmp_path):
    """Return the bundle of a model with a UNet, and of one with a transformer."""
    if request.param == "speck":
        return request.getfixturevalue("speck")[0]
    monkeypatch.setitem(FAMILIES, GRAIN.name, GRAIN)
    one = replace(GRAIN, sizes=GRAIN.sizes[:1])
    library = compile_library(one, one.sizes, "f32", Quiet())
    checkpoint = open_checkpoint(choose_checkpoint(one, None, 0), one)
    return build_bundle(checkpoint, library, tmp_path / "grain", Quiet())


@pytest.mark.exhaustive
def test_onnxruntime_on_the_same_step(compared, tmp_path):
    """It gets the module that the bundle was made from."""
    pytest.importorskip("onnxscript", reason="not run: the extra `compare` is not installed")
    report, lines, _ = bench(compared, tmp_path, "--compare", "--random-weights", 0)
    ours, *_, other = report["baselines"]
    assert (ours["name"], other["name"]) == ("WSD", "onnxruntime-web")
    assert ours["error"] < 1e-5
    # Its sine is that of the adapter, so it is far from PyTorch, but of the same picture.
    assert ours["error"] < other["error"] < 0.5
    assert min(ours["milliseconds"], other["milliseconds"]) > 0
    assert any("onnxruntime-web" in line and "times WSD's time" in line for line in lines)
