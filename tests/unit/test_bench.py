"""What is told and drawn of a measurement."""

import pytest

from wsd.bench import Benchmark, Contestant, KernelTime, Stage, describe

FOUND = Benchmark(
    model="speck",
    dtype="f32",
    size=(16, 16),
    kernels="auto",
    adapter={"vendor": "nobody", "architecture": ""},
    usage={},
    stages=(
        Stage("unet", 4.0, 1.0, (KernelTime("wide_kernel", 3, 2.0, 10**9),
                                 KernelTime("thin_kernel", 1, 1.0, 0))),
        Stage("copy", 0.1, 0.1, (KernelTime("copy_kernel", 1, 0.001, 0),)),
    ),
    contestants=(Contestant("WSD", "f32", 4.0, 1e-6), Contestant("other", "float16", 8.0, 1e-2)),
)  # fmt: skip


def test_the_lines():
    lines = describe(FOUND, most=1)
    assert lines[0] == "speck f32 16x16, kernels auto, nobody"
    assert "4 kernels 3.00 ms; 0.2 TFLOP/s" in lines[1]
    assert "3 x wide_kernel 0.5 TFLOP/s" in lines[2]
    assert "copy" in lines[3]
    assert lines[-1].endswith("2.00 times WSD's time")


def test_the_plot():
    pytest.importorskip("matplotlib", reason="not run: the extra `compare` is not installed")
    from wsd.bench_plot import draw_plot

    drawn = draw_plot(FOUND)
    for text in ("unet: 4.00 ms, 4 kernels", "wide", "thin", "other"):
        assert f">{text}" in drawn
    assert "copy" not in drawn  # too little to see
    assert draw_plot(FOUND) == drawn
