"""The file of ``wsd bench --tune``: one table for each model and class of adapters."""

import json
from pathlib import Path

import pytest

from wsd.errors import UsageError
from wsd.evaluate.kernel_choices import (
    make_table,
    read_tables,
    replace_table,
    write_tables,
)
from wsd.spec.manifest import Manifest

FIXTURE = Path(__file__).parents[1] / "fixtures" / "manifest-v2.json"
MANIFEST = Manifest.model_validate_json(FIXTURE.read_text(encoding="utf-8"))
H200 = {"vendor": "nvidia", "architecture": "hopper", "device": "", "description": "NVIDIA H200"}
H100 = {**H200, "description": "NVIDIA H100"}
M3 = {**H200, "vendor": "apple", "architecture": "common-3", "description": ""}


def report(adapter, variant="gemm_tiled_f32", index=1):
    return {
        "adapter": adapter,
        "functions": [],
        "kernels": 2,
        "changed": 1,
        "gain": 1.5,
        "choices": {
            "b_kernel": {"variant": variant, "index": index},
            "a_kernel": {"variant": "generated", "index": 0},
        },
        "complete": True,
        "kept": False,
        "seconds": 5.0,
    }


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "choices.json"
    table = make_table(MANIFEST, report(H200))
    assert table.adapter_class == "nvidia hopper"
    assert table.kernels == MANIFEST.kernels.sha256
    assert table.library == MANIFEST.library.sha256
    assert list(table.choices) == ["a_kernel", "b_kernel"]
    write_tables(path, [table])
    assert read_tables(path) == [table]
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == 1


def test_a_choice_says_its_tile_if_it_has_one(tmp_path):
    path = tmp_path / "choices.json"
    found = report(H200)
    found["choices"]["b_kernel"]["tile"] = "64x64x16, 8x4 a thread"
    write_tables(path, [make_table(MANIFEST, found)])
    [written] = json.loads(path.read_text(encoding="utf-8"))["tables"]
    assert written["choices"] == {
        "a_kernel": {"variant": "generated", "index": 0},
        "b_kernel": {
            "variant": "gemm_tiled_f32", "index": 1, "tile": "64x64x16, 8x4 a thread",
        },
    }  # fmt: skip
    assert read_tables(path) == [make_table(MANIFEST, found)]


def test_tables_of_several_classes_lie_side_by_side_and_a_newer_one_replaces_its_own(tmp_path):
    path = tmp_path / "choices.json"
    assert read_tables(path) == []
    for made in (report(H200), report(M3), report(H100, "generated", 0)):
        write_tables(path, replace_table(read_tables(path), make_table(MANIFEST, made)))
    first, second = read_tables(path)
    assert (first.adapter_class, second.adapter_class) == ("apple common-3", "nvidia hopper")
    assert second.adapter["description"] == "NVIDIA H100"
    assert second.choices["b_kernel"].variant == "generated"


def test_tables_of_another_precision_stay():
    table = make_table(MANIFEST, report(H200))
    other = table.model_copy(update={"dtype": "w4a16"})
    assert replace_table([other], table) == [other, table]


def test_a_model_without_variants_is_refused():
    plain = MANIFEST.model_copy(update={"kernels": None})
    with pytest.raises(UsageError, match="no kernel variants") as caught:
        make_table(plain, report(H200))
    assert "build the bundle" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{}", "version"),
        ('{"version": 2, "tables": []}', "version"),
        ('{"version": 1, "tables": [{}]}', "tables/0"),
        ("[]", "top level"),
        ("{", "line 1"),
    ],
)
def test_another_file_is_refused_and_stays(tmp_path, content, place):
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=place) as caught:
        read_tables(path)
    assert "another file" in caught.value.hint
    assert path.read_text(encoding="utf-8") == content
