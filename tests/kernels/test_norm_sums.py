"""Sums of layer and group norms in WGSL on a GPU, against float64."""

from dataclasses import replace

import numpy as np
import pytest

from wsd.kernels.problem import NormSumsProblem
from wsd.kernels.reduce.norm_sums import group_sums, row_sums

CASES = [
    (row_sums, NormSumsProblem(77, 1, 1, 320, False)),
    # Many short rows: 16 threads take each, and 4 of which one takes 2 vec4. No workgroup is full.
    (row_sums, NormSumsProblem(4100, 1, 1, 64, False)),
    (row_sums, NormSumsProblem(4100, 1, 1, 20, False)),
    (group_sums, NormSumsProblem(2, 35, 4, 10, False)),
    (group_sums, NormSumsProblem(1, 1024, 32, 20, False)),
]
# Launches: one for rows and for many small groups, two for a few groups.
CASE_NAMES = ["rows", "short rows", "shorter rows", "two launches", "one launch"]


@pytest.mark.parametrize(
    ("centered", "subgroups"),
    [
        pytest.param(False, False, id="values-tree"),
        pytest.param(True, True, id="squared deviations-subgroups"),
        pytest.param(False, True, id="values-subgroups", marks=pytest.mark.exhaustive),
        pytest.param(True, False, id="squared deviations-tree", marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.parametrize(("kernel", "problem"), CASES, ids=CASE_NAMES)
def test_norm_sums(kernel_host, kernel, problem, centered, subgroups):
    shape = (problem.batch, problem.pixels, problem.groups, problem.channels_per_group)
    # Values far from zero: E[x^2] - E[x]^2 would lose the digits of the variance.
    x = (100 + np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    totals = x.astype(np.float64).sum((1, 3))
    inputs, expected = {"x": x}, totals
    if centered:
        problem = replace(problem, centered=True, buffers=("result", "x", "totals"))
        inputs["totals"] = totals.astype(np.float32)
        mean = totals / problem.values_per_sum
        expected = ((x - mean[:, None, :, None]) ** 2).sum((1, 3))
    variant = kernel(problem, subgroups)
    if not kernel_host.supports(variant):
        pytest.skip("not run: the adapter has no subgroups, or larger ones")
    found, _ = kernel_host.run(variant, inputs, expected.size)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=2e-5)
