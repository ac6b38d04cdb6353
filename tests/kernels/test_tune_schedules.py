"""`wsd tune` on Dawn: a slow schedule is replaced by a faster one that computes the same."""

import time

import numpy as np
import pytest
from tvm.relax import op

from relax_functions import relax_function, tir_functions
from timing import check_seconds
from wsd.compiler.dump import Dump
from wsd.compiler.pipeline import lowering_passes, run_passes
from wsd.compiler.tir.schedule.matmul_direct import DirectTile, MatmulDirect
from wsd.compiler.tvm_compat import normalized, target
from wsd.evaluate import tune_schedules
from wsd.evaluate.tune_schedules import (
    Budget,
    _hold_inputs,
    _kernel,
    scheduled_by_rules,
    tune_function,
)


@pytest.fixture(scope="module")
def workload():
    def body(emit, x, w):
        return emit(op.matmul(x, emit(op.permute_dims(w))))

    module = relax_function({"x": (64, 64), "w": (64, 64)}, body)
    functions = tir_functions(run_passes(lowering_passes({}), module, Dump()))
    return normalized(functions["linear"])


def test_a_generated_kernel_computes_its_function(kernel_host, workload):
    function = workload["main"]
    kernel = _kernel("linear", scheduled_by_rules(function), function)
    assert kernel.grid == (4, 1)
    assert set(kernel.buffers) == {"x", "w", "linear"}
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    kernel_host.hold({"x": x, "w": w})
    found, _ = kernel_host.run_generated(kernel)
    np.testing.assert_allclose(found["linear"].reshape(64, 64), x @ w.T, atol=1e-4)


def test_every_thread_of_a_grid_that_does_not_divide_is_run(kernel_host, workload):
    function = workload["main"]
    with target():
        schedule = MatmulDirect(DirectTile(1, 1, threads=48)).apply(function, target(), False)
    kernel = _kernel("linear", schedule.mod["main"], function)
    assert kernel.grid == (86, 1)
    own = _kernel("linear", scheduled_by_rules(function), function)
    assert _hold_inputs(kernel_host, own, function, 0)
    expected, _ = kernel_host.run_generated(own)
    found, _ = kernel_host.run_generated(kernel)
    assert tune_schedules.agree(found, expected)


@pytest.mark.exhaustive
@pytest.mark.timed
def test_tuning_finds_a_faster_schedule_than_a_slow_one(kernel_host, workload, monkeypatch):
    def slow(function):
        # One thread for each workgroup, and one output for each thread.
        with target():
            rule = MatmulDirect(DirectTile(1, 1, threads=1))
            return rule.apply(function, target(), False).mod["main"]

    monkeypatch.setattr(tune_schedules, "scheduled_by_rules", slow)
    budget = Budget(8, time.monotonic() + 120)
    tuned = tune_function(kernel_host, "linear", workload, budget, 0)
    assert budget.trials == 0
    # Eight schedules of which each has at least 32 threads: far from close.
    check_seconds(tuned.after / 1000, tuned.before / 1500, "the faster schedule")


@pytest.mark.full
def test_nothing_is_timed_when_the_time_is_over(kernel_host, workload):
    budget = Budget(8, time.monotonic())
    assert tune_function(kernel_host, "linear", workload, budget, 0) is None
    assert budget.trials == 8
