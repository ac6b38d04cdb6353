"""``wsd join``: one bundle of several."""

import json
import os
import shutil
import stat
from dataclasses import replace
from itertools import islice, permutations

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from reattested import shrink
from tools.compare_bundles import differences
from wsd.bundle.attestations import write_attestations
from wsd.bundle.builder import build_bundle
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.errors import BundleError, UsageError
from wsd.supply_chain.material import merge_materials
from wsd.supply_chain.sbom import read_materials
from wsd.util.hashing import digest_file
from wsd.util.progress import Quiet


@pytest.fixture(scope="module")
def other(family, library, tmp_path_factory):
    """Return a bundle of another model that takes the same library."""
    twin = replace(family, name="twin", title="Another")
    folder = tmp_path_factory.mktemp("other")
    odd = folder / "my\nmodel #1 \x1b[31m%é"
    odd.symlink_to(choose_checkpoint(twin, None, 3))
    return build_bundle(open_checkpoint(odd, twin), library, folder / "twin", Quiet())


@pytest.mark.full
@pytest.mark.slow
def test_a_checkpoint_in_a_folder_of_an_odd_name(other):
    model = json.loads((other / "models" / "twin" / "manifest.json").read_text())["model"]
    assert model["source"] == "my model #1 ?[31m%é"
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str((other / "sbom.cdx.json").read_text()) is None
    assert list(verify_bundle(other)) == []


@pytest.mark.slow
def test_two_models_one_page(bundle, other, tmp_path):
    out = join_bundles([bundle, other], tmp_path / "out")
    assert list(verify_bundle(out)) == []
    index = json.loads((out / "models" / "index.json").read_text())
    assert [model["name"] for model in index] == ["tiny-sd15", "twin"]
    lines = list(differences(bundle, out))
    assert {line.partition(":")[0] for line in lines if "only in" not in line} == {
        "SRI.json", "THIRD_PARTY_NOTICES.txt", "index.html", "models/index.json", "provenance.json",
        "sbom.cdx.json", "selftest.html", "sw.js",
    }  # fmt: skip
    assert {line.split("/")[1] for line in lines if "only in" in line} == {"twin"}
    both = [*read_materials(bundle), *read_materials(other)]
    assert sorted(read_materials(out)) == list(merge_materials(both))
    statement = json.loads((out / "provenance.json").read_text())
    models = statement["predicate"]["buildDefinition"]["externalParameters"]["models"]
    assert [model["name"] for model in models] == ["tiny-sd15", "twin"]


@pytest.fixture(scope="module")
def several(bundle, tmp_path_factory):
    """Return small bundles of one model in three precisions, and of another model."""
    folder = tmp_path_factory.mktemp("several")
    kinds = [("tiny-sd15", "w8a16"), ("tiny-sd15", "f32"), ("tiny-sd15", "f16"), ("a", "f16")]
    return [
        shrink(
            bundle,
            folder / f"{name}-{dtype}",
            lambda table, name=name, dtype=dtype: table["model"].update(name=name, dtype=dtype),
        )
        for name, dtype in kinds
    ]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_joins_in_any_order_and_nesting_give_the_same_bytes(several, tmp_path):
    results = [
        join_bundles(order, tmp_path / str(number))
        for number, order in enumerate(islice(permutations(several), 0, None, 5))
    ]
    first, *others = results
    pair = join_bundles(several[2:], tmp_path / "pair")
    more = join_bundles([several[0], pair], tmp_path / "more")
    nested = join_bundles([more, several[1]], tmp_path / "nested")
    for other in (*others, nested):
        assert list(differences(first, other)) == []
    assert list(verify_bundle(first)) == []
    index = json.loads((first / "models" / "index.json").read_text())
    # The page takes the first that fits: the largest comes first.
    assert [(entry["name"], entry["dtype"], entry["manifest"]) for entry in index] == [
        ("a", "f16", "a/"), ("tiny-sd15", "f32", "tiny-sd15/"),
        ("tiny-sd15", "f16", "tiny-sd15-f16/"), ("tiny-sd15", "w8a16", "tiny-sd15-w8a16/"),
    ]  # fmt: skip
    references = [entry["bom-ref"] for entry in json.loads(
        (first / "sbom.cdx.json").read_text())["components"]]  # fmt: skip
    assert len(references) == len(set(references))


@pytest.mark.full
@pytest.mark.slow
def test_a_joined_bundle_can_be_served_whatever_the_umask_is(several, tmp_path):
    former = os.umask(0o077)
    try:
        out = join_bundles(several[:2], tmp_path / "out")
    finally:
        os.umask(former)
    for path in (out, *out.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


@pytest.mark.slow
def test_a_model_whose_name_is_anothers_folder(bundle, several, tmp_path):
    named = shrink(
        bundle, tmp_path / "named", lambda table: table["model"].update(name="tiny-sd15-f16")
    )
    out = tmp_path / "out"
    refused([*several[1:3], named], out, UsageError, "needs the folder tiny-sd15-f16")


@pytest.mark.exhaustive
@pytest.mark.slow
def test_one_alone_stays_as_it_is(bundle, tmp_path):
    assert list(differences(bundle, join_bundles([bundle], tmp_path / "out"))) == []


def refused(bundles, out, kind, said):
    with pytest.raises(kind, match=said):
        join_bundles(bundles, out)
    assert not out.exists()
    assert not [path for path in out.parent.iterdir() if path.name.startswith(f".{out.name}")]


@pytest.mark.full
@pytest.mark.slow
def test_the_same_model_twice(bundle, tmp_path):
    refused([bundle, bundle], tmp_path / "out", UsageError, "tiny-sd15 in f32 is there twice")


@pytest.mark.full
@pytest.mark.slow
def test_another_version_of_the_page(bundle, other, tmp_path):
    changed = shutil.copytree(other, tmp_path / "changed")
    style = next((changed / "assets").glob("style.*.css"))
    pages = [changed / "index.html", changed / "selftest.html"]
    before = [digest_file(path).integrity for path in (style, *pages)]
    style.write_text("/* newer */\n")
    for path in pages:
        path.write_text(path.read_text().replace(before[0], digest_file(style).integrity))
    worker = (changed / "sw.js").read_text()
    for path, former in zip((style, *pages), before, strict=True):
        worker = worker.replace(former, digest_file(path).integrity)
    (changed / "sw.js").write_text(worker)
    write_attestations(changed, read_materials(changed))
    refused([bundle, changed], tmp_path / "out", UsageError, r"pages .* differ: assets/style\.")


@pytest.mark.slow
def test_a_damaged_bundle(bundle, other, tmp_path):
    damaged = shutil.copytree(other, tmp_path / "damaged")
    (damaged / "client.js").write_text("")
    refused([bundle, damaged], tmp_path / "out", BundleError, r"client\.js: integrity mismatch")


@pytest.mark.slow
def test_no_bundle(bundle, tmp_path):
    refused([bundle, tmp_path / "none"], tmp_path / "out", BundleError, "holds no models")
