"""The database of tuned schedules: how it is written and read, and which ones are refused."""

import json
from dataclasses import replace

import pytest

from commands import exit_code
from speck import BROAD, SPECK, TWIN
from wsd.compiler.cache import library_key, toolchain
from wsd.compiler.schedule_database import (
    RECORDS,
    TABLE,
    WORKLOADS,
    ChosenDatabases,
    ScheduleDatabase,
    TunedKernel,
    TuningAdapter,
    check_database,
    default_databases,
    read_database,
    tuning_target,
    write_database,
)
from wsd.compiler.tvm_compat import version
from wsd.errors import UsageError
from wsd.models.registry import FAMILIES

ADAPTER = TuningAdapter("a vendor", "an architecture", "a description")
EMPTY = ScheduleDatabase(tuning_target(SPECK, "f32", "0.27.0"), ADAPTER, ((16, 16),), 3, 1.05)
ONE = replace(
    EMPTY,
    kernels=(TunedKernel("linear", 2.0, 1.0),),
    workloads=('["1","workload"]',),
    records=('[0,["record"]]',),
)
TWO = replace(
    ONE,
    kernels=(*ONE.kernels, TunedKernel("conv", 3.0, 1.5)),
    workloads=(*ONE.workloads, '["2","workload"]'),
    records=(*ONE.records, '[1,["record"]]'),
    without_gain=("a digest",),
)


@pytest.mark.parametrize("database", [EMPTY, ONE, TWO], ids=["empty", "one", "two"])
def test_what_is_written_is_read(tmp_path, database):
    write_database(database, tmp_path / "new")
    assert read_database(tmp_path / "new") == database


def test_tvms_files_have_a_line_for_each_kernel(tmp_path):
    write_database(TWO, tmp_path)
    assert (tmp_path / WORKLOADS).read_text() == '["1","workload"]\n["2","workload"]\n'
    records = (tmp_path / RECORDS).read_text().splitlines()
    assert [json.loads(line)[0] for line in records] == [0, 1]


@pytest.mark.parametrize("interrupted_after", [WORKLOADS, RECORDS])
def test_an_interruption_while_it_is_written_leaves_the_earlier_one(tmp_path, interrupted_after):
    write_database(ONE, tmp_path / "database")
    write_database(TWO, tmp_path / "later")
    written = [WORKLOADS, RECORDS][: [WORKLOADS, RECORDS].index(interrupted_after) + 1]
    for name in written:
        (tmp_path / "later" / name).replace(tmp_path / "database" / name)
    assert read_database(tmp_path / "database") == ONE


@pytest.mark.parametrize("name", [WORKLOADS, RECORDS])
def test_a_damaged_file_is_named(tmp_path, name):
    write_database(TWO, tmp_path)
    path = tmp_path / name
    path.write_text(path.read_text().replace("[", "(", 1))
    with pytest.raises(UsageError, match=f"{name} is damaged") as caught:
        read_database(tmp_path)
    assert "wsd tune" in caught.value.hint


@pytest.mark.parametrize("name", [WORKLOADS, RECORDS, TABLE])
def test_a_missing_file_is_named(tmp_path, name):
    write_database(ONE, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=name):
        read_database(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"target": 3}'])
def test_a_table_that_is_none_is_refused(tmp_path, text):
    write_database(ONE, tmp_path)
    (tmp_path / TABLE).write_text(text)
    with pytest.raises(UsageError, match=TABLE):
        read_database(tmp_path)


def test_a_database_of_this_model_is_taken_by_all_models_of_its_architecture(tmp_path):
    check_database(ONE, tuning_target(SPECK, "f32", "0.27.0"), tmp_path)
    check_database(ONE, tuning_target(TWIN, "f32", "0.27.0"), tmp_path)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (tuning_target(SPECK, "f32", "0.21.0"), "with TVM 0.27.0, and this is TVM 0.21.0"),
        (tuning_target(BROAD, "f32", "0.27.0"), f"for speck, not for {BROAD.name}"),
        (
            tuning_target(replace(BROAD, name="speck"), "f32", "0.27.0"),
            "for another variant of speck, not for speck",
        ),
        (tuning_target(SPECK, "f16", "0.27.0"), "for speck in f32, not in f16"),
    ],
    ids=["TVM", "model", "variant", "precision"],
)
def test_a_database_of_something_else_is_refused_by_name(tmp_path, wanted, said):
    with pytest.raises(UsageError, match=said) as caught:
        check_database(ONE, wanted, tmp_path)
    assert caught.value.hint.startswith(f"tune one with: wsd tune --model {wanted.model}")


@pytest.mark.slow
def test_the_key_and_the_toolchain_have_the_database():
    def key(*databases):
        return library_key(SPECK, SPECK.sizes, "f32", databases=ChosenDatabases(databases))

    # The class of the adapter decides where the schedules run.
    elsewhere = replace(ONE, adapter=replace(ADAPTER, vendor="another"))
    for other in ([], [TWO], [elsewhere], [ONE, elsewhere]):
        assert key(ONE).differences(key(*other)) == ["toolchain.schedule_database"]
    described = replace(ONE, seed=4, adapter=replace(ADAPTER, description="another driver"))
    assert key(ONE).differences(key(described)) == []
    # The library's toolchain goes to the manifest and from there to the provenance.
    assert toolchain(ChosenDatabases((ONE,)))["schedule_database"] == f"sha256:{ONE.digest}"
    both = toolchain(ChosenDatabases((ONE, elsewhere)))["schedule_database"]
    assert both == f"sha256:{ONE.digest}, sha256:{elsewhere.digest}"
    assert "schedule_database" not in toolchain()


def test_a_model_brings_the_databases_of_this_tvm_variant_and_precision(tmp_path):
    family = replace(SPECK, schedules=tmp_path)
    assert default_databases(SPECK, "f32", "0.27.0") == ChosenDatabases()
    assert default_databases(family, "f32", "0.27.0") == ChosenDatabases()
    write_database(ONE, tmp_path / "one")
    elsewhere = replace(TWO, adapter=replace(ADAPTER, vendor="another"))
    write_database(elsewhere, tmp_path / "two")
    write_database(replace(ONE, target=replace(ONE.target, tvm="0.21.0")), tmp_path / "three")
    assert default_databases(family, "f32", "0.27.0").databases == (ONE, elsewhere)
    assert len(default_databases(family, "f32", "0.21.0").databases) == 1
    assert default_databases(family, "f32", "0.28.0") == ChosenDatabases()
    assert default_databases(family, "f16", "0.27.0") == ChosenDatabases()
    # A checkpoint's variant of the family has other functions.
    variant = replace(BROAD, schedules=tmp_path)
    assert default_databases(variant, "f32", "0.27.0") == ChosenDatabases()
    twin = replace(TWIN, schedules=tmp_path)
    assert default_databases(twin, "f32", "0.27.0").databases == (ONE, elsewhere)


@pytest.mark.slow
def test_the_key_has_the_databases_that_come_with_a_model(tmp_path):
    family = replace(SPECK, schedules=tmp_path)
    write_database(replace(ONE, target=replace(ONE.target, tvm=version())), tmp_path / "one")
    key = library_key(family, SPECK.sizes, "f32")
    without = library_key(family, SPECK.sizes, "f32", databases=ChosenDatabases())
    assert key.differences(without) == ["toolchain.schedule_database"]
    assert without.differences(library_key(SPECK, SPECK.sizes, "f32")) == []


@pytest.mark.parametrize("command", ["compile", "build"])
def test_a_named_database_and_none_exclude_each_other(tmp_path, capsys, command):
    words = (command, "--model", SPECK.name, "--database", tmp_path, "--no-database")
    assert exit_code(*words, "--out", tmp_path / "out") == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert message == "error: --no-database is given, and --database too"
    assert "leave --no-database out" in hint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "said"),
    [
        (tuning_target(SPECK, "f32", version()), "was tuned for speck, not for tiny-sd15"),
        (tuning_target(FAMILIES["tiny-sd15"], "f32", "0.1.0"), "was tuned with TVM 0.1.0, and"),
    ],
    ids=["model", "TVM"],
)
def test_wsd_compile_refuses_it_before_anything_is_compiled(tmp_path, capsys, target, said):
    write_database(replace(ONE, target=target), tmp_path / "tuned")
    words = ("compile", "--model", "tiny-sd15", "--database", tmp_path / "tuned")
    assert exit_code(*words, "--out", tmp_path / "out") == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert message.startswith("error: ")
    assert said in message
    assert hint.startswith("hint: tune one with: wsd tune --model tiny-sd15 --dtype f32")
    assert not (tmp_path / "out").exists()
