"""The text and the plot of a measurement."""

from dataclasses import replace

import pytest

from wsd.evaluate.baselines import Measurement
from wsd.evaluate.benchmark import (
    Benchmark,
    KernelTime,
    Roofline,
    Stage,
    VariantShare,
    describe,
)
from wsd.evaluate.lora_times import LoraTimes

FOUND = Benchmark(
    model="speck",
    dtype="f32",
    size=(16, 16),
    kernels="auto",
    adapter={"vendor": "nobody", "architecture": ""},
    usage={
        "gpuBytes": 2048, "peakGpuBytes": 4096, "gpuBuffers": 2, "pipelines": 3,
        "variants": {"generated": 2, "gemm_tiled_f32": 1}, "callbacks": 5, "wasmBytes": 65536,
    },
    roofline=Roofline(1e12, 1e11),
    stages=(
        Stage("unet", 4.0, 1.0, 3.0, (
            KernelTime("wide_kernel", "gemm_tiled_f32", 3, 2.0, 10**9, 10**8),
            KernelTime("thin_kernel", "generated", 1, 1.0, 0))),
        Stage("copy", 0.1, 0.1, None, (KernelTime("copy_kernel", "generated", 1, 0.001, 0),)),
    ),
    baselines=(Measurement("WSD", "f32", 4.0, 1e-6), Measurement("other", "float16", 8.0, 1e-2)),
)  # fmt: skip


def test_the_lines():
    lines = describe(FOUND, most=1)
    assert lines[0] == "speck f32 16x16, kernels auto, nobody"
    assert lines[1].endswith("1.0 TFLOP/s of float32 without subgroup matrices, 100.0 GB/s copied")
    assert "4.00 ms, the GPU alone 3.00, overhead 25.0%" in lines[2]
    assert lines[2].endswith("4 kernels 3.00 ms; 250.0 GFLOP/s (25%)")
    rates = "500.0 GFLOP/s (50%), 50.0 GB/s (50%)"
    assert lines[3].endswith(f"3 x wide_kernel [gemm_tiled_f32] {rates}")
    assert "copy" in lines[4]
    assert "alone" not in lines[4]
    unet = FOUND.report().stages[0]
    assert (unet.overhead, unet.dispatches, unet.kernel_milliseconds) == (0.25, 4, 3.0)
    assert lines[-1].endswith("2.00 times WSD's time")


def test_what_a_lora_took():
    found = replace(FOUND, lora=LoraTimes(2_500_000, 1234.0, (800.0, 90.0), 70.0, 4_000_000_000))
    line = next(line for line in describe(found) if "LoRA" in line)
    assert line == (
        "a LoRA of 2.5 MB: loaded in 1.23 s, other scales in 0.80, 0.09 s, unloaded in 0.07 s; "
        "at most 4.00 GB on the GPU"
    )
    assert found.report().lora == found.lora
    assert not any("LoRA" in line for line in describe(FOUND))


def test_what_tuning_chose_is_told_with_its_tiles():
    tiled = {"variant": "gemm_tiled_f32", "index": 2, "tile": "64x64x16, 8x4 a thread"}
    function = {
        "name": "denoise", "calls": 20, "before": 4.0, "after": 3.0, "kernels": 3, "changed": 2,
        "complete": True,
    }  # fmt: skip
    tuning = {
        "adapter": {}, "functions": [function], "kernels": 3, "changed": 2, "gain": 1.333,
        "choices": {"a": {"variant": "generated", "index": 0}, "b": tiled, "c": tiled},
        "complete": True, "kept": True, "seconds": 2.5,
    }  # fmt: skip
    lines = describe(replace(FOUND, tuning=tuning))
    start = lines.index(
        "tuned in 2.5 s: other variants in 2 of 3 kernels, a picture 1.33 times as fast"
    )
    assert lines[start + 1 : start + 4] == [
        "       4.00 ms to      3.00 denoise, 2 of 3 kernels",
        "     2 kernels gemm_tiled_f32, 64x64x16, 8x4 a thread",
        "     1 kernels generated",
    ]


def test_the_gpu_time_of_each_kernel_variant():
    lines = describe(FOUND)
    start = lines.index("GPU time by kernel variant:")
    assert lines[start + 1 : start + 3] == [
        "   66.6%     2.000 ms gemm_tiled_f32, 1 kernels",
        "   33.4%     1.001 ms generated, 2 kernels",
    ]
    report = FOUND.report()
    assert [share.variant for share in report.variants] == ["gemm_tiled_f32", "generated"]
    assert sum(share.share for share in report.variants) == pytest.approx(1)
    unet, copy = report.stages
    assert [kernel.variant for kernel in unet.kernels] == ["gemm_tiled_f32", "generated"]
    assert copy.variants == (VariantShare("generated", 1, 0.001, 1.0),)


def test_a_device_without_timestamps_has_no_shares():
    found = replace(FOUND, stages=(Stage("unet", 4.0, 1.0, None, ()),))
    assert found.report().variants == ()
    assert not any("by kernel variant" in line for line in describe(found))


@pytest.mark.full
@pytest.mark.slow
def test_the_plot():
    pytest.importorskip("matplotlib", reason="not run: the extra `compare` is not installed")
    from wsd.evaluate.benchmark_plot import draw_plot

    drawn = draw_plot(FOUND)
    for text in (
        "unet: 4.00 ms, 4 kernels",
        "wide_kernel: gemm_tiled_f32",
        "thin_kernel: generated",
        "other",
    ):
        assert f">{text}" in drawn
    assert "copy" not in drawn  # too little to see
    assert draw_plot(FOUND) == drawn
