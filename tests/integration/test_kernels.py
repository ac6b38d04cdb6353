"""Kernels of our own against float64, on the CPU."""

import numpy as np
import pytest

from wsd import tvm_compat
from wsd.kernels.packed import unpack_bytes, unpack_halves
from wsd.kernels.waves import cosine, sine


@pytest.mark.parametrize(("kernel", "exact"), [(sine, np.sin), (cosine, np.cos)])
def test_waves_are_exact_for_every_timestep(kernel, exact):
    timesteps = np.arange(1000)[:, None] * np.exp(-np.log(10000) * np.arange(160) / 160)
    around = np.linspace(-7, 7, 10_001)
    x = np.concatenate([timesteps.ravel(), around, [-8192, 8192]]).astype(np.float32)
    module = tvm_compat.kernel_functions({"main": (kernel, [("x", x.shape, "float32")])})
    [found] = tvm_compat.run_on_cpu(module, [x], [])
    # PyTorch's own are no nearer than this.
    assert np.abs(found - exact(x.astype(np.float64))).max() < 1e-7


def unpacked(kernel, packed, count):
    words = packed.view(np.uint32)

    def unpack(x):
        return kernel(x, [count])

    module = tvm_compat.kernel_functions({"main": (unpack, [("words", words.shape, "uint32")])})
    [found] = tvm_compat.run_on_cpu(module, [words], [])
    return found


def test_every_half_is_unpacked_exactly():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    found = unpacked(unpack_halves, halves, 65536)
    finite = np.isfinite(halves)
    # Bits and not values: -0 is not 0.
    expected = halves.astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(found.view(np.uint32)[finite], expected[finite])


def test_every_byte_is_unpacked_exactly():
    values = np.arange(256, dtype=np.uint8).view(np.int8)
    np.testing.assert_array_equal(unpacked(unpack_bytes, values, 256), values.astype(np.float32))
