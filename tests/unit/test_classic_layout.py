"""``--layout classic``: what the files of the original's names hold, and what is refused."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from commands import exit_code
from marks import some_of
from reattested import attest, shrink
from wsd.bundle import classic
from wsd.bundle.attestations import read_integrity
from wsd.bundle.classic import ALIASES, CONFIG, write_classic
from wsd.bundle.manifest import list_models, write_manifest
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.errors import BundleError, UsageError
from wsd.spec.classic_names import check_names
from wsd.util.hashing import digest_file, sha256_file

SHARDS = "web-sd-shards-v1-5"


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    """Return a bundle in the classic layout, which tests do not change."""
    return join_bundles([small], tmp_path_factory.mktemp("classic") / "made", classic=True)


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def inode(path):
    return path.stat().st_ino


@pytest.mark.slow
def test_the_names_of_the_original(made):
    model = made / "models" / "tiny-sd15"
    manifest = read(model / "manifest.json")
    (first, *_) = manifest["components"]["text_encoder"]["shards"]
    pndm = manifest["schedulers"]["constants"]["pndm"]
    assert list(verify_bundle(made)) == []
    for name, source in {
        "dist/stable_diffusion_webgpu.wasm": model / manifest["library"]["file"],
        "dist/tvmjs.bundle.js": made / "driver" / "tvmjs.js",
        "dist/tvmjs_runtime.wasi.js": made / "driver" / "wasi.js",
        "dist/scheduler_pndm_consts.json": model / pndm["file"],
        **dict.fromkeys(ALIASES, made / CONFIG),
        f"{SHARDS}/params_shard_0.bin": model / first["file"],
    }.items():
        assert inode(made / name) == inode(source)
        assert name in read_integrity(made)
    config = read(made / CONFIG)
    assert config["model_lib_map"] == {"Stable-Diffusion-1.5": "dist/stable_diffusion_webgpu.wasm"}
    assert config["param_dict"] == {"Stable-Diffusion-1.5": f"{SHARDS}/"}
    assert config["integrity"] == digest_file(made / "models" / "index.json").integrity
    known = set(read_integrity(made))
    schedulers = config["scheduler_dict"]["Stable-Diffusion-1.5"]
    assert schedulers.keys() == manifest["schedulers"]["available"].keys()
    named = [config["models"], config["tokenizer"], *config["schedulerConstUrl"]]
    assert known >= {*named, *schedulers.values()}
    # The page takes the first where it asks for none.
    default = manifest["schedulers"]["default"]
    assert config["schedulerConstUrl"][0] == schedulers[default]


def read_parameters(bundle, folder):
    """Return name → bytes of the parameters of a folder of shards."""
    table = read(bundle / folder / "ndarray-cache.json")
    found = {}
    for shard in table["records"]:
        data = (bundle / folder / shard["dataPath"]).read_bytes()
        assert len(data) == shard["nbytes"]
        for record in shard["records"]:
            assert record["format"] == "raw"
            size = np.prod(record["shape"], dtype=int) * np.dtype(record["dtype"]).itemsize
            assert size == record["nbytes"]
            end = record["byteOffset"] + record["nbytes"]
            found[record["name"]] = data[record["byteOffset"] : end]
    return found, table["metadata"]


@pytest.mark.slow
@pytest.mark.parametrize("shard_bytes", [1 << 30, 1 << 12, 1])
def test_shards_have_whole_tensors_wherever_the_bundles_are_cut(
    small, tmp_path, monkeypatch, shard_bytes
):
    """Shards of the bundle are cut at odd places, as those of large models are."""
    monkeypatch.setattr(classic, "SHARD_BYTES", shard_bytes)
    bundle = shutil.copytree(small, tmp_path / "bundle")
    ((folder, manifest),) = list_models(bundle)
    components = {}
    for name, component in manifest.components.items():
        data = b"".join((bundle / folder / s.file).read_bytes() for s in component.shards)
        cuts = [0, *range(1000, len(data), 1000), len(data)]
        shards = []
        for start, stop in pairwise(cuts):
            path = bundle / folder / f"{name}-{start}.bin"
            path.write_bytes(data[start:stop])
            shards.append(manifest.library.model_copy(
                update={"file": path.name, "bytes": stop - start, "sha256": sha256_file(path)}
            ))  # fmt: skip
        components[name] = component.model_copy(update={"shards": tuple(shards)})
    write_manifest(manifest.model_copy(update={"components": components}), bundle / folder)
    write_classic(bundle)
    found, metadata = read_parameters(bundle, SHARDS)
    expected = {}
    for name, component in components.items():
        if name == "vae_encoder":
            continue
        prefix = {"text_encoder": "clip"}.get(name, name)
        assert metadata.pop(f"{prefix}ParamSize") == len(component.records)
        data = b"".join((bundle / folder / s.file).read_bytes() for s in component.shards)
        for index, record in enumerate(component.records):
            end = record.offset + record.bytes
            expected[f"{prefix}_{index}"] = data[record.offset : end]
    assert metadata == {}
    assert found == expected
    tables = [bundle / SHARDS / name for name in ("ndarray-cache.json", "tensor-cache.json")]
    assert inode(tables[0]) == inode(tables[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    some_of(
        [
            ("dist/stable_diffusion_webgpu.wasm", "not what models/tiny-sd15/library"),
            ("dist/tvmjs.bundle.js", "not what driver/tvmjs.js ask"),
            (f"{SHARDS}/params_shard_0.bin", "not what models/tiny-sd15/"),
            (f"{SHARDS}/ndarray-cache.json", "not what the manifests ask for"),
            (CONFIG, "not what the manifests ask for"),
        ],
        5,
    ),
)
def test_a_file_that_is_not_what_its_name_says(copy, name, fault):
    """Attestations that fit do not help: verifying plans the layout again."""
    data = bytearray((copy / name).read_bytes())
    data[-2] ^= 1
    (copy / name).unlink()
    (copy / name).write_bytes(data)
    attest(copy)
    assert [line for line in verify_bundle(copy) if line.startswith(f"{name}: {fault}")]


@pytest.mark.slow
def test_a_file_of_the_layout_that_is_missing_or_too_many(copy):
    (copy / "gh-page-config.json").unlink()
    (copy / "dist" / "extra.json").write_text("{}")
    attest(copy)
    assert list(verify_bundle(copy)) == [
        "dist/extra.json: does not belong to a bundle", "gh-page-config.json: missing",
    ]  # fmt: skip
    (copy / CONFIG).unlink()
    attest(copy)
    assert "dist/tvmjs.bundle.js: does not belong to a bundle" in list(verify_bundle(copy))


@pytest.mark.full
@pytest.mark.slow
def test_a_join_has_the_layout_only_where_it_is_asked_for(made, tmp_path):
    plain = join_bundles([made], tmp_path / "plain")
    assert not (plain / CONFIG).exists()
    assert list(verify_bundle(plain)) == []


@pytest.mark.slow
def test_models_that_would_share_a_name_are_refused(bundle, small, tmp_path, capsys):
    twin = shrink(bundle, tmp_path / "twin", lambda table: table["model"].update(name="twin"))
    out = tmp_path / "out"
    assert exit_code("join", small, twin, "--layout", "classic", "--out", out) == 2
    assert not out.exists()
    assert capsys.readouterr().err == (
        "error: the layout classic has one name, stable_diffusion_webgpu.wasm, for the libraries "
        "of tiny-sd15 in f32 and twin in f32\n"
        "hint: give each a bundle of its own, or take the layout hashed\n"
    )


def test_a_model_that_the_original_had_not_is_refused():
    with pytest.raises(UsageError, match="no file names for c, which is of Other"):
        check_names([("c", "Other")])


@pytest.mark.full
@pytest.mark.slow
def test_a_bundle_of_an_earlier_version_has_no_scripts_for_it(small, tmp_path):
    bundle = shutil.copytree(small, tmp_path / "earlier")
    (bundle / "driver" / "tvmjs.js").unlink()
    attest(bundle)
    assert list(verify_bundle(bundle)) == []
    with pytest.raises(BundleError, match="driver/tvmjs.js is missing"):
        join_bundles([bundle], tmp_path / "out", classic=True)
    assert not (tmp_path / "out").exists()
