"""The program that runs kernels may crash, or lose its GPU: another one takes its place."""

import pytest
from test_gemm import check

from wsd.kernels.gemm.tiled import GemmTile, tiled_gemm
from wsd.kernels.problem import GemmProblem
from wsd.runtime.kernel_runner import open_kernel_host

PROBLEM = GemmProblem(64, 64, 64, "float32")


def multiply(host):
    check(host, lambda problem: tiled_gemm(problem, GemmTile(32, 64, 32, 4, 4)), PROBLEM, 1e-5)


@pytest.mark.full
def test_kernels_run_after_the_program_has_ended():
    with open_kernel_host() as host:
        host._process._process.kill()
        with pytest.raises(ChildProcessError, match="ended with code -9"):
            multiply(host)
        multiply(host)
        # One that has ended when nothing is asked any more is no error.
        host._process._process.kill()
