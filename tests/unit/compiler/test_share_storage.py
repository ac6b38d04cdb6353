"""Storages: what is there at one time has storages of its own, and no more memory is planned."""

import numpy as np
import pytest
from tvm import relax
from tvm.relax import op

from relax_functions import relax_function
from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat

ROWS, WIDTH, STRIPS = 64, 32, 5
LARGE, SMALL = 4 * 4 * ROWS * WIDTH, 4 * ROWS * WIDTH


def strips(view=None):
    """Return a function that keeps a small part of each of several large tensors.

    In the order of its allocations, a small tensor finds the storage of a large one free.
    """

    def body(emit, x):
        kept = []
        for n in range(STRIPS):
            large = emit(op.concat([x] * 4, axis=0))
            changed = emit(op.nn.relu(large))
            part = emit(op.strided_slice(changed, [0], [n], [n + ROWS], [1]))
            kept.append(emit(view(part)) if view else part)
        total = kept[0]
        for part in kept[1:]:
            total = emit(op.add(total, part))
        return total

    return relax_function({"x": (ROWS, WIDTH)}, body)


def views():
    """Return the same of which each part is read through a view, behind others of its size."""
    return strips(lambda part: op.reshape(part, (WIDTH, ROWS)))


def of_any_size():
    """Return a function whose extents are known only when it is called."""
    rows = tvm_compat.tir.Var("rows", "int64")
    builder = relax.BlockBuilder()
    x = tvm_compat.tensor_variable("x", (rows, WIDTH), "float32")
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(
                op.add(builder.emit(op.exp(builder.emit(op.nn.relu(x)))), x)
            )
        builder.emit_func_output(result)
    return builder.get()


def test_small_tensors_do_not_take_large_storages():
    plan = tvm_compat.plan_memory(strips())["main"]
    # Two large tensors, and what is kept, of which the last is the result's own beside it.
    assert plan.workspace_bytes <= 2 * LARGE + (STRIPS + 1) * SMALL
    assert plan.largest_buffer_bytes == LARGE


@pytest.mark.parametrize("make", [strips, views])
def test_they_are_planned_anew(make):
    def planned():
        plan = tvm_compat.plan_memory(make())["main"]
        return plan.workspace_bytes

    anew = planned()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsd.compiler.tvm_compat.share_storage._plan", lambda _function: None)
        assert anew < planned()


def test_what_is_not_known_is_left_as_planned():
    with tvm_compat.shared_storage():
        x = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)
        [found] = run_on_cpu(of_any_size(), [x])
    np.testing.assert_allclose(found, np.exp(np.maximum(x, 0)) + x, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("make", [strips, views])
def test_it_computes_the_same(make):
    x = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)
    [expected] = run_on_cpu(make(), [x])
    with tvm_compat.shared_storage():
        [found] = run_on_cpu(make(), [x])
    np.testing.assert_array_equal(found, expected)
