"""Kernels of our own against float64, on the CPU."""

import numpy as np
import pytest

from wsd import tvm_compat
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
