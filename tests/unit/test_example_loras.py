"""LoRAs beside a checkpoint's weights: a bundle has them, and its attestations name them."""

import json

import pytest
from safetensors.torch import save_file

from adapters_data import make_adapter, write_adapter
from copied_checkpoints import copy_with_empty
from reattested import MANIFEST, MODEL, attest, chain, change, shrink
from speck import SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.example_loras import FOLDER_NAME, find_example_loras
from wsd.bundle.manifest import read_manifest
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.errors import CheckpointError, UsageError
from wsd.spec.manifest import MAX_EXAMPLE_LORAS
from wsd.supply_chain import notices
from wsd.util.hashing import sha256_bytes, sha256_file
from wsd.util.progress import Quiet

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(checkpoint, tmp_path, family):
    """Return the shipped checkpoint without LoRAs, and the folder for them."""
    return copy_with_empty(FOLDER_NAME, checkpoint, family, tmp_path / "checkpoint")


@pytest.fixture(scope="module")
def offering(checkpoint, family, library, tmp_path_factory):
    """Return a bundle that offers two LoRAs, and the file of the first."""
    folder = tmp_path_factory.mktemp("loras")
    opened, loras = copy_with_empty(FOLDER_NAME, checkpoint, family, folder / "checkpoint")
    tensors, _ = make_adapter(family, "lora")
    said = {"modelspec.trigger_phrase": "dark red", "modelspec.license": "CC0-1.0"}
    save_file(tensors, loras / "a.safetensors", said)
    write_adapter(loras / "b.safetensors", family, "locon")
    bundle = build_bundle(opened, library, folder / "out", Quiet())
    return bundle, loras / "a.safetensors"


def model_of(bundle):
    return json.loads((bundle / MODEL / "manifest.json").read_text())


@pytest.mark.full
def test_a_bundle_offers_them(offering, tmp_path):
    bundle, path = offering
    assert list(verify_bundle(bundle)) == []
    first, second = model_of(bundle)["example_loras"]
    assert (first["name"], second["name"]) == ("a", "b")
    assert (first["trigger_words"], first["license"]) == (["dark red"], "CC0-1.0")
    assert first["sha256"] == sha256_file(path)
    assert (bundle / MODEL / first["file"]).read_bytes() == path.read_bytes()
    assert first["layers"] > 10
    # The attestations name each with its licence.
    written = (bundle / notices.FILE_NAME).read_text()
    assert f"LoRA a: {MODEL}/{first['file']}\n  licence of the LoRA: CC0-1.0" in written
    components = json.loads((bundle / "sbom.cdx.json").read_text())["components"]
    (found,) = (c for c in components if c["bom-ref"].endswith(":lora:a"))
    assert found["licenses"] == [{"expression": "CC0-1.0"}]
    assert found["hashes"][0]["content"] == first["sha256"]
    joined = join_bundles([shrink(bundle, tmp_path / "copy")], tmp_path / "joined")
    assert list(verify_bundle(joined)) == []
    assert model_of(joined)["example_loras"] == [first, second]


def faults_after(bundle, edit):
    """Change a bundle's manifest and make its attestations fit; return what `wsd verify` finds."""
    change(bundle, MANIFEST, edit)
    chain(bundle)
    attest(bundle)
    return list(verify_bundle(bundle))


@pytest.mark.full
def test_a_file_that_is_none(offering, tmp_path):
    copy = shrink(offering[0], tmp_path / "copy")
    content = b"no LoRA"
    name = f"lora.{sha256_bytes(content)}.safetensors"
    (copy / MODEL / name).write_bytes(content)

    def edit(table):
        lora = table["example_loras"][0]
        (copy / MODEL / lora["file"]).unlink()
        lora.update(file=name, bytes=len(content), sha256=sha256_bytes(content))

    (fault,) = faults_after(copy, edit)
    assert fault.startswith(f"{MODEL}/{name}: ")


@pytest.mark.full
def test_two_of_one_name(offering):
    manifest = read_manifest(offering[0] / MANIFEST)
    first, second = manifest.example_loras
    same = second.model_copy(update={"name": first.name})
    twice = manifest.model_copy(update={"example_loras": (first, same)})
    assert list(manifest.find_inconsistencies()) == []
    assert list(twice.find_inconsistencies()) == ["example_loras: 2 are called 'a'"]


@pytest.mark.exhaustive
def test_a_checkpoint_without_them_offers_none(copied, library, tmp_path):
    checkpoint, folder = copied
    assert find_example_loras(checkpoint) == ()
    folder.rmdir()
    assert find_example_loras(checkpoint) == ()
    out = build_bundle(checkpoint, library, tmp_path / "out", Quiet())
    assert "example_loras" not in model_of(out)


def test_those_that_do_not_fit_are_refused(copied, library, tmp_path):
    checkpoint, folder = copied
    path = write_adapter(folder / "other.safetensors", SPECK_XL, "lora")
    with pytest.raises(CheckpointError, match=r"other\.safetensors: it is an adapter for"):
        build_bundle(checkpoint, library, tmp_path / "out", Quiet())
    assert not (tmp_path / "out").exists()
    path.write_bytes(b"no LoRA")
    with pytest.raises(CheckpointError, match=r"other\.safetensors"):
        find_example_loras(checkpoint)
    path.unlink()
    (folder / "link.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(CheckpointError, match="link"):
        find_example_loras(checkpoint)
    (folder / "link.safetensors").unlink()
    for number in range(MAX_EXAMPLE_LORAS + 1):
        (folder / f"{number}.safetensors").touch()
    with pytest.raises(UsageError, match="holds 9 LoRAs, and the page has room for 8"):
        find_example_loras(checkpoint)
