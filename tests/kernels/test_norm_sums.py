"""Sums of norms, and layers of few rows, in WGSL against float64."""

from dataclasses import replace

import numpy as np
import pytest

from wsd.kernels.problem import NormSumsProblem
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
