"""``wsd build --kernel-choices``: tables of several GPUs in a bundle, and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest

from commands import exit_code
from reattested import attest, chain
from wsd.bundle.builder import build_bundle
from wsd.bundle.kernel_choices import (
    check_choices,
    check_given,
    select_choices,
    serialize_kernels,
)
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.compiler.library import write_library
from wsd.errors import BundleError, UsageError
from wsd.spec.manifest import FileEntry, Manifest
from wsd.util.contents import write_contents
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.progress import Quiet

KERNEL, OTHER = "gemm_kernel", "norm_kernel"


def variant(name, problem="gemm"):
    return {
        "name": name,
        "problem": problem,
        "features": [],
        "threads": 64,
        "shared_bytes": 0,
        "subgroup_matrix": None,
        "subgroup_size": None,
        "scratch_bytes": [],
        "operations": 1,
        "launches": [{"head": 0, "body": 0, "grid": [1, 1, 1], "arguments": [0]}],
    }


VARIANTS = {
    "version": 3,
    "heads": ["// a comment that the page does not download\nconst M = 1u;"],
    "bodies": ["@compute @workgroup_size(64) fn main() {}"],
    "kernels": {
        KERNEL: [variant("gemm_tiled_f32"), variant("gemm_tiled_f32"), variant("gemm_tiled_f16")],
        OTHER: [variant("norm_sums_workgroup", "norm_sums")],
    },
    "bytes": {KERNEL: 4, OTHER: 4},
}


@pytest.fixture
def varied(library):
    """Return the traced library with variants of two kernels."""
    return replace(library, variants=VARIANTS)


def table(compiled, adapter_class="nvidia hopper", *, complete=True, **more):
    return {
        "model": "tiny-sd15",
        "dtype": "f32",
        "kernels": sha256_bytes(serialize_kernels(compiled.variants)),
        "library": sha256_file(compiled.wasm),
        "adapter_class": adapter_class,
        "adapter": {"vendor": "nvidia"},
        "gain": 1.5,
        "complete": complete,
        "choices": {
            KERNEL: {"variant": "gemm_tiled_f32", "index": 1},
            OTHER: {"variant": "generated", "index": 0},
        },
        **more,
    }


def write(path, *tables):
    path.write_text(json.dumps({"version": 1, "tables": tables}), encoding="utf-8")
    return path


def test_tables_of_several_files_lie_side_by_side(varied, tmp_path):
    one = write(tmp_path / "one.json", table(varied), table(varied, dtype="f16", kernels="0" * 64))
    two = write(tmp_path / "two.json", table(varied, "apple common-3"))
    chosen = select_choices([one, two], varied)
    assert [each.adapter_class for each in chosen.tables] == ["apple common-3", "nvidia hopper"]
    assert chosen.tables[1].choices[KERNEL].index == 1
    assert select_choices([], varied) is None


def test_of_two_tables_of_a_class_a_complete_one_is_taken_and_then_the_later(varied, tmp_path):
    whole = write(tmp_path / "whole.json", table(varied, gain=2.0))
    part = write(tmp_path / "part.json", table(varied, complete=False, gain=3.0))
    later = write(tmp_path / "later.json", table(varied, gain=4.0))
    for order, gain in (
        ((whole, part), 2.0), ((part, whole), 2.0), ((whole, later), 4.0), ((part, part), 3.0),
    ):  # fmt: skip
        [found] = select_choices(order, varied).tables
        assert found.gain == gain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": "0" * 64}, r"no table for this library.*tiny-sd15 in f32 on nvidia hopper"),
        ({"library": "0" * 64}, "no table for this library"),
        ({"choices": {"a_kernel": {"variant": "generated", "index": 0}}}, "no variants: a_kernel"),
        ({"choices": {KERNEL: {"variant": "gemm_tiled", "index": 0}}}, "gemm_tiled number 0"),
        ({"choices": {KERNEL: {"variant": "gemm_tiled_f32", "index": 2}}}, "has 2 of that name"),
        ({"choices": {KERNEL: {"variant": "generated", "index": 1}}}, "generated number 1"),
        ({"adapter_class": ""}, "for no page"),
    ],
)
def test_what_is_not_for_the_library_is_refused(varied, tmp_path, change, message):
    path = write(tmp_path / "choices.json", table(varied, **change))
    with pytest.raises(UsageError, match=message) as caught:
        select_choices([path], varied)
    assert "wsd bench --tune" in caught.value.hint


def test_what_is_for_another_build_of_the_model_is_left_out_and_named(varied, tmp_path, caplog):
    old = table(varied, "apple common-3", kernels="0" * 64)
    path = write(tmp_path / "choices.json", table(varied), old)
    assert len(select_choices([path], varied).tables) == 1
    assert "apple common-3 (000000000000…)" in caplog.text


def test_what_is_for_no_named_gpu_is_left_out_where_another_table_fits(varied, tmp_path, caplog):
    path = write(tmp_path / "choices.json", table(varied, ""), table(varied))
    [found] = select_choices([path], varied).tables
    assert found.adapter_class == "nvidia hopper"
    assert "no named GPU" in caplog.text


@pytest.mark.slow
def test_a_bundle_has_them_verifies_and_keeps_them_when_joined(shipped, varied, tmp_path):
    path = write(tmp_path / "choices.json", table(varied), table(varied, "apple common-3"))
    bundle = build_bundle(shipped, varied, tmp_path / "b", Quiet(), kernel_choices=[path])
    assert list(verify_bundle(bundle)) == []
    joined = join_bundles([bundle], tmp_path / "joined")
    for folder in (bundle, joined):
        manifest = read_manifest(find_manifest(folder, None))
        file = find_manifest(folder, None).parent / manifest.kernel_choices.file
        assert file.name == f"kernel-choices.{sha256_file(file)}.json"
        found = json.loads(file.read_text(encoding="utf-8"))
        assert [each["adapter_class"] for each in found["tables"]] == [
            "apple common-3", "nvidia hopper",
        ]  # fmt: skip
        listed = json.loads((folder / "SRI.json").read_text(encoding="utf-8"))
        assert f"models/tiny-sd15/{file.name}" in json.dumps(listed)
        assert file.name in (folder / "sbom.cdx.json").read_text(encoding="utf-8")

    folder = find_manifest(bundle, None).parent
    stranger = put_choices(folder, table(varied, library="0" * 64))
    chain(bundle)
    attest(bundle)
    assert [fault.partition(": ")[2] for fault in verify_bundle(bundle)] == [
        "the table of nvidia hopper is for another library"
    ]
    stranger.unlink()
    assert f"models/tiny-sd15/{stranger.name}: missing" in list(verify_bundle(bundle))


def put_choices(folder, *tables):
    """Put other choices into a model's folder, in place of those that its manifest names."""
    path = folder / "manifest.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    (folder / described["kernel_choices"]["file"]).unlink()
    data = canonical_json({"version": 1, "tables": tables})
    digest = sha256_bytes(data)
    file = folder / f"kernel-choices.{digest}.json"
    file.write_bytes(data)
    described["kernel_choices"] = {"file": file.name, "bytes": len(data), "sha256": digest}
    path.write_bytes(canonical_json(described))
    return file


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kernels": "0" * 64}, "for another library"),
        ({"choices": {"a_kernel": {"variant": "generated", "index": 0}}}, "no variants: a_kernel"),
        ({"gain": "much"}, "tables/0/gain"),
        (None, "one table for each class"),
    ],
)
def test_other_choices_in_a_bundle_are_faults(varied, manifest, tmp_path, change, fault):
    data = serialize_kernels(varied.variants)
    (tmp_path / "kernels.json").write_bytes(data)
    described = Manifest.model_validate_json(json.dumps(manifest))
    of_kernels = FileEntry(file="kernels.json", bytes=len(data), sha256=sha256_bytes(data))
    described = described.model_copy(update={"kernels": of_kernels})
    good = write(tmp_path / "good.json", table(varied))
    check_choices(good, described)
    tables = [table(varied)] * 2 if change is None else [table(varied, **change)]
    with pytest.raises(BundleError, match=fault):
        check_choices(write(tmp_path / "bad.json", *tables), described)
    with pytest.raises(BundleError, match="no kernels to choose from"):
        check_choices(good, described.model_copy(update={"kernels": None}))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_file_without_tables_is_refused_early(varied, tmp_path, is_compiled):
    write(tmp_path / "choices.json")
    with pytest.raises(UsageError, match="has no table"):
        check_given([tmp_path / "choices.json"], varied if is_compiled else None)


@pytest.mark.slow
def test_the_command_refuses_before_it_opens_a_checkpoint(varied, tmp_path, capsys):
    def refused(*words):
        assert exit_code(*words) == 2
        return capsys.readouterr().err.splitlines()[-2:]

    folder = tmp_path / "library"
    folder.mkdir()
    shutil.copyfile(varied.wasm, folder / "library.wasm")
    write_library(replace(varied, folder=folder))
    write_contents(folder)
    given = ("build", "--model", "tiny-sd15", "--library", folder, "--out", tmp_path / "out")
    choices = tmp_path / "choices.json"
    for tables, words in (
        ([table(varied, kernels="1" * 64)], "no table for this library"),
        ([{}], "tables/0"),
    ):
        write(choices, *tables)
        # Nothing is there that could be opened.
        message, hint = refused(*given, "--weights", tmp_path / "none", "--kernel-choices", choices)
        assert words in message
        assert "wsd bench --tune" in hint
    message, _ = refused(*given, "--kernel-choices", tmp_path / "absent.json")
    assert "absent.json" in message
    assert not (tmp_path / "out").exists()
