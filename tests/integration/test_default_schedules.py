"""The tuned schedules that come with a model: for both versions of TVM, each of use, and small."""

import pytest

from matches import GOLDEN
from wsd.cli.build import _choose_databases
from wsd.compiler.cache import library_key, toolchain
from wsd.compiler.schedule_database import (
    TABLE,
    ChosenDatabases,
    default_databases,
    read_database,
)
from wsd.compiler.tvm_compat import kernel_name, version
from wsd.kernels.registry import TUNED

# Bytes of one database. Each is of one version of TVM, and is tuned anew with the next one.
MOST_BYTES = 350_000


@pytest.fixture(scope="module")
def folders(family):
    return sorted(path.parent for path in family.schedules.glob(f"*/{TABLE}"))


@pytest.mark.full
def test_every_schedule_that_comes_with_the_model_is_in_its_library(library, family):
    """A changed legalizer gives a function other TIR, and its schedule would do nothing."""
    databases = default_databases(family, "f32", version())
    assert databases.databases
    for database in databases.databases:
        tuned = {
            kernel
            for kernel, variants in library.variants["kernels"].items()
            for variant in variants
            if variant["name"] == TUNED and variant["adapter_classes"] == [database.adapter.kind]
        }
        missing = {kernel_name(k.function) for k in database.kernels} - tuned
        assert not missing, "tune anew: docs/performance.md, Schedules that come with a model"


def test_both_versions_of_tvm_have_a_database_of_the_same_kind(family, folders):
    found = [read_database(folder) for folder in folders]
    tables = (path.stem for path in GOLDEN.glob(f"{family.name}-shaders-tvm-*.json"))
    assert sorted(d.target.tvm for d in found) == sorted(t.rpartition("-")[2] for t in tables)
    assert {database.adapter.kind for database in found} == {"google swiftshader"}
    for folder, database in zip(folders, found, strict=True):
        assert database.kernels
        assert all(kernel.before >= 1.5 * kernel.after for kernel in database.kernels)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST_BYTES


def test_a_database_of_another_tvm_is_not_applied(family, folders):
    for folder in folders:
        database = read_database(folder)
        chosen = default_databases(family, "f32", database.target.tvm)
        assert chosen == ChosenDatabases((database,))
    assert default_databases(family, "f32", "0.1.0") == ChosenDatabases()
    assert default_databases(family, "f16", version()) == ChosenDatabases()


@pytest.mark.full
def test_the_library_and_its_key_name_what_is_applied(library, family):
    databases = default_databases(family, "f32", version())
    assert library.toolchain == toolchain(databases)
    assert library.toolchain["schedule_database"] == databases.digest
    without = _choose_databases(None, family, "f32", no_database=True)
    key = library_key(family, family.sizes, "f32", databases=without)
    assert library_key(family, family.sizes, "f32").differences(key) == [
        "toolchain.schedule_database"
    ]
