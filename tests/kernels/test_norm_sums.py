"""Sums of norms, and layers of few rows, in WGSL against float64."""

from dataclasses import replace

import numpy as np
import pytest

from wsd.kernels.gemm.gemv import shared_rows
from wsd.kernels.problem import GemmProblem, NormSumsProblem
from wsd.kernels.reduce.norm_sums import group_sums, row_sums

CASES = [
    (row_sums, NormSumsProblem(77, 1, 1, 320, False)),
    (group_sums, NormSumsProblem(2, 35, 4, 10, False)),
    (group_sums, NormSumsProblem(1, 1024, 32, 20, False)),
]


def supported(host, variant):
    if not host.supports(variant):
        pytest.skip("not run: the adapter has no subgroups, or larger ones")
    return variant


@pytest.mark.parametrize("subgroups", [False, True], ids=["trees", "subgroups"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("kernel", "sums"), CASES, ids=["layers", "few groups", "groups"])
def test_sums(kernel_host, kernel, sums, centred, subgroups):
    shape = (sums.batch, sums.pixels, sums.groups, sums.width)
    # Far from zero: the mean of squares would lose the variance's digits.
    x = (100 + np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    totals = x.astype(np.float64).sum((1, 3))
    inputs, expected = {"x": x}, totals
    if centred:
        sums = replace(sums, centred=True, buffers=("result", "x", "totals"))
        inputs["totals"] = totals.astype(np.float32)
        mean = totals / (sums.pixels * sums.width)
        expected = ((x - mean[:, None, :, None]) ** 2).sum((1, 3))
    variant = supported(kernel_host, kernel(sums, subgroups))
    found, _ = kernel_host.run(variant, inputs, expected.size)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=2e-5)


@pytest.mark.parametrize("subgroups", [False, True], ids=["trees", "subgroups"])
@pytest.mark.parametrize("weights", ["float32", "float16", "int8"])
def test_few_rows(kernel_host, weights, subgroups):
    finish = "(value + e0[n])"
    product = GemmProblem(3, 70, 192, weights, buffers=("r", "a", "w", "bias"), finish=finish)
    draw = np.random.default_rng(0)
    a = draw.standard_normal((3, 192)).astype(np.float32)
    bias = draw.standard_normal(70).astype(np.float32)
    w = (draw.standard_normal((70, 192)) * 40).round().clip(-127, 127)
    w = w.astype({"float32": np.float32, "float16": np.float16, "int8": np.int8}[weights])
    expected = a.astype(np.float64) @ w.astype(np.float64).T + bias
    variant = supported(kernel_host, shared_rows(product, subgroups))
    found, _ = kernel_host.run(variant, {"a": a, "w": w, "bias": bias}, expected.size)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-3)
