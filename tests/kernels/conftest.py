"""A page of Dawn in Node.js that runs kernels, shared by the tests of this folder."""

import pytest

from wsd.runtime.kernel_runner import open_kernel_host


@pytest.fixture(scope="session")
def kernel_host():
    with open_kernel_host() as host:
        yield host
