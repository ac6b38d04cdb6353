"""Kernels of our own against float64, on the CPU."""

import numpy as np
import pytest
from tvm import relax

from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat
from wsd.compiler.dump import Dump
from wsd.compiler.pipeline import lower
from wsd.compiler.tir.dequantize import unpack_float16, unpack_int8
from wsd.compiler.tir.legalize.sincos import cosine, sine


@pytest.mark.parametrize(("kernel", "exact"), [(sine, np.sin), (cosine, np.cos)])
def test_waves_are_exact_for_every_timestep(kernel, exact):
    timesteps = np.arange(1000)[:, None] * np.exp(-np.log(10000) * np.arange(160) / 160)
    around = np.linspace(-7, 7, 10_001)
    x = np.concatenate([timesteps.ravel(), around, [-8192, 8192]]).astype(np.float32)
    module = tvm_compat.kernel_functions({"main": (kernel, [("x", x.shape, "float32")])})
    [found] = run_on_cpu(module, [x])
    # PyTorch's own are no nearer than this.
    assert np.abs(found - exact(x.astype(np.float64))).max() < 1e-7


def unpacked(kernel, packed, count):
    words = packed.view(np.uint32)

    def unpack(x):
        return kernel(x, [count])

    module = tvm_compat.kernel_functions({"main": (unpack, [("words", words.shape, "uint32")])})
    [found] = run_on_cpu(module, [words])
    return found


def test_every_half_is_unpacked_exactly():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    found = unpacked(unpack_float16, halves, 65536)
    finite = np.isfinite(halves)
    # Bits and not values: -0 is not 0.
    expected = halves.astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(found.view(np.uint32)[finite], expected[finite])


def test_every_byte_is_unpacked_exactly():
    values = np.arange(256, dtype=np.uint8).view(np.int8)
    np.testing.assert_array_equal(unpacked(unpack_int8, values, 256), values.astype(np.float32))


@pytest.mark.parametrize(
    ("batch", "queries", "heads", "bias"),
    [
        *((2, 144, 4, None), (1, 144, 4, None), (2, 9, 2, None), (2, 64, 1, None)),
        (1, 77, 12, None),
        # T5's tokens, and a bias that is broadcast.
        *((1, 256, 64, (1, 64, 256, 256)), (2, 9, 2, (1, 2, 9, 9)), (2, 9, 2, (2, 1, 1, 9))),
    ],
)
def test_attention_of_any_size_is_scheduled(batch, queries, heads, bias):
    builder = relax.BlockBuilder()
    shapes = {**dict.fromkeys(("q", "k", "v"), (batch, queries, heads, 16)), "bias": bias}
    given = [
        tvm_compat.tensor_variable(name, shape, "float32")
        for name, shape in shapes.items()
        if shape is not None
    ]
    with builder.function("main", given):
        with builder.dataflow():
            mixed = builder.emit(relax.op.nn.attention(*given))
            result = builder.emit_output(mixed)
        builder.emit_func_output(result)
    # Scheduling fails where TVM does not follow which thread computes what.
    module, _ = lower(builder.get(), {}, Dump())
    kernels = [f for _, f in module.functions_items() if isinstance(f, tvm_compat.tir.PrimFunc)]
    assert len(kernels) == 2
    assert all("threadIdx.x" in str(kernel) for kernel in kernels)
