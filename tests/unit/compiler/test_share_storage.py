"""Storages: what is there at one time has storages of its own, and no more memory is planned."""

import numpy as np
import pytest
from tvm.relax import op

from relax_functions import relax_function
from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat

ROWS, WIDTH, STRIPS = 64, 32, 5
LARGE, SMALL = 4 * 4 * ROWS * WIDTH, 4 * ROWS * WIDTH


def strips():
    """Return a function that keeps a small part of each of several large tensors.

    In the order of its allocations, a small tensor finds the storage of a large one free.
    """

    def body(emit, x):
        kept = []
        for n in range(STRIPS):
            large = emit(op.concat([x] * 4, axis=0))
            changed = emit(op.nn.relu(large))
            kept.append(emit(op.strided_slice(changed, [0], [n], [n + ROWS], [1])))
        total = kept[0]
        for part in kept[1:]:
            total = emit(op.add(total, part))
        return total

    return relax_function({"x": (ROWS, WIDTH)}, body)


def views():
    """Return a function whose reshaped tensor is read last, behind others of its size."""

    def body(emit, x):
        first = emit(op.nn.relu(x))
        view = emit(op.reshape(first, (WIDTH, ROWS)))
        second = emit(op.exp(x))
        third = emit(op.negative(second))
        turned = emit(op.reshape(third, (WIDTH, ROWS)))
        return emit(op.add(view, turned))

    return relax_function({"x": (ROWS, WIDTH)}, body)


def test_small_tensors_do_not_take_large_storages():
    plan = tvm_compat.plan_memory(strips())["main"]
    # Two large tensors, and what is kept, of which the last is the result's own beside it.
    assert plan.workspace_bytes <= 2 * LARGE + (STRIPS + 1) * SMALL
    assert plan.largest_buffer_bytes == LARGE


@pytest.mark.slow
@pytest.mark.parametrize("make", [strips, views])
def test_it_computes_the_same(make):
    x = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)
    [expected] = run_on_cpu(make(), [x])
    with tvm_compat.shared_storage():
        [found] = run_on_cpu(make(), [x])
    np.testing.assert_array_equal(found, expected)
