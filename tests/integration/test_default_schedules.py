"""The tuned schedules that come with a model are in its library, each in a kernel of its own."""

import pytest

from wsd.compiler.schedule_database import default_databases
from wsd.compiler.tvm_compat import is_reference_lane, kernel_name, version
from wsd.kernels.registry import TUNED


def test_every_schedule_that_comes_with_the_model_is_in_its_library(library, family):
    """A changed legalizer gives a function other TIR, and its schedule would do nothing."""
    databases = default_databases(family, "f32", version())
    if is_reference_lane() and not databases.databases:
        pytest.skip("no schedules were tuned with this version of TVM")
    assert library.toolchain["schedule_database"] == databases.digest
    for database in databases.databases:
        tuned = {
            kernel
            for kernel, variants in library.variants["kernels"].items()
            for variant in variants
            if variant["name"] == TUNED and variant["adapter_classes"] == [database.adapter.kind]
        }
        missing = {kernel_name(k.function) for k in database.kernels} - tuned
        assert not missing, "tune anew: docs/performance.md, Tuning generated kernels"
        assert tuned
