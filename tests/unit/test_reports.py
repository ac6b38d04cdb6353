"""The JSON files of ``--json``: scripts read their keys, so they stay as they are."""

import json
import math

import numpy as np
import pytest
from test_bench import FOUND

from wsd.cli.options import write_report
from wsd.evaluate.parity import Comparison, Finding
from wsd.runtime.driver import Rendered

USAGE = ["gpuBytes", "peakGpuBytes", "gpuBuffers", "pipelines", "variants", "callbacks",
         "wasmBytes"]  # fmt: skip
SHARE = ["variant", "kernels", "milliseconds", "share"]
KERNEL = ["name", "variant", "dispatches", "milliseconds", "operations", "bytes_accessed"]
MEASUREMENT = ["name", "dtype", "milliseconds", "error"]
ADAPTER = {"vendor": "nobody", "architecture": "", "description": "none"}


def written(found, folder):
    path = folder / "report.json"
    write_report(found.report(), path)
    return json.loads(path.read_text())


def test_bench(tmp_path):
    report = written(FOUND, tmp_path)
    assert list(report) == ["model", "dtype", "size", "kernels", "adapter", "usage", "roofline",
                            "stages", "baselines", "lora", "tuning", "variants"]  # fmt: skip
    assert report["size"] == [16, 16]
    assert list(report["usage"]) == USAGE
    assert list(report["roofline"]) == ["operations_per_second", "bytes_per_second"]
    for stage in report["stages"]:
        assert list(stage) == [
            "name", "milliseconds", "record_milliseconds", "gpu_milliseconds", "kernels",
            "kernel_milliseconds", "operations", "dispatches", "overhead", "variants",
        ]  # fmt: skip
        assert all(list(kernel) == KERNEL for kernel in stage["kernels"])
        assert all(list(share) == SHARE for share in stage["variants"])
    assert all(list(entry) == MEASUREMENT for entry in report["baselines"])
    assert all(list(share) == SHARE for share in report["variants"])
    assert report["stages"][1]["gpu_milliseconds"] is None


def test_parity(tmp_path):
    findings = (Finding("one UNet step", 0.5, "relative", 1e-3), Finding("time: load", 2.0, "ms"))
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    assert written(Comparison(findings, ADAPTER, "CPU", pictures), tmp_path) == {
        "adapter": ADAPTER,
        "reference": "CPU",
        "findings": [
            {"what": "one UNet step", "value": 0.5, "unit": "relative", "limit": 1e-3,
             "good": False},
            {"what": "time: load", "value": 2.0, "unit": "ms", "limit": None, "good": True},
        ],
    }  # fmt: skip


def test_what_is_infinite_is_null(tmp_path):
    """Python writes ``Infinity``, which no other program reads."""
    equal = Finding("picture", math.inf, "dB", 40.0)
    written(Comparison((equal,), ADAPTER, "CPU", np.zeros((2, 8, 8, 3), np.uint8)), tmp_path)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    (finding,) = json.loads(text, parse_constant=pytest.fail)["findings"]
    assert finding["value"] is None
    assert finding["good"] is True


def test_render(tmp_path):
    drawn = Rendered(
        images=np.zeros((2, 8, 8, 3), np.uint8),
        latents=np.zeros(8, np.float32),
        settings=("a star", "a star, the second"),
        timings={"load": 1.5, "total": 2.5},
        adapter=ADAPTER,
        usage=FOUND.usage,
    )
    # SHA-256 of 192 zeros, and of 32.
    picture = "5d89f056865052bcb89c910d2d62872e029fb273c3db03f8968a52a41593c1b5"
    latents = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
    report = written(drawn, tmp_path)
    assert report == {
        "timings_ms": {"load": 1.5, "total": 2.5},
        "adapter": ADAPTER,
        "usage": FOUND.usage,
        "latents_sha256": latents,
        "images_sha256": [picture, picture],
        "settings": "a star",
    }
    assert list(report) == ["timings_ms", "adapter", "usage", "latents_sha256", "images_sha256",
                            "settings"]  # fmt: skip
