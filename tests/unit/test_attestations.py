"""Attestations of a bundle (SBOM, provenance, SRI.json), and what verify finds."""

import base64
import hashlib
import json
import shutil

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from wsd.bundle.attestations import list_files, write_attestations
from wsd.bundle.verify import verify_bundle
from wsd.errors import BundleError
from wsd.supply_chain.materials import read_policy
from wsd.supply_chain.sbom import read_materials

NAMES = {"sbom.cdx.json", "provenance.json", "SRI.json"}


@pytest.fixture(scope="module")
def sbom(bundle):
    return json.loads((bundle / "sbom.cdx.json").read_text())


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def shipped(bundle):
    return [name for name in list_files(bundle) if name not in NAMES]


def test_the_sbom_is_valid(bundle):
    text = (bundle / "sbom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type":"file"', '"type":"fil"'))


def test_the_sbom_has_every_file_with_its_digest(bundle, sbom):
    listed = {c["name"]: c["hashes"] for c in sbom["components"] if c["type"] == "file"}
    assert sorted(listed) == shipped(bundle)
    for name, hashes in listed.items():
        data = (bundle / name).read_bytes()
        assert {(h["alg"], h["content"]) for h in hashes} == {
            ("SHA-256", hashlib.sha256(data).hexdigest()),
            ("SHA-384", hashlib.sha384(data).hexdigest()),
        }


def test_the_sbom_has_what_the_bundle_is_made_with(sbom, manifest):
    libraries = {c["purl"]: c for c in sbom["components"] if c["type"] == "library"}
    by_name = {c["name"]: c for c in libraries.values()}
    toolchain = manifest["toolchain"]
    for name in ("torch", "diffusers", "transformers"):
        # PyTorch itself may add how it was built: 2.7.1+cu126.
        release = toolchain[name].partition("+")[0]
        assert by_name[name]["version"].partition("+")[0] == release
    # Parts of these are in the page.
    shipped = {c["name"] for c in libraries.values() if c["scope"] == "required"}
    assert {"comlink", "@huggingface/tokenizers", "workbox-core"} <= shipped
    assert shipped & {"apache-tvm", "tvm"}
    assert not shipped & {"esbuild", "torch", "vitest"}
    assert by_name["esbuild"]["hashes"][0]["alg"] == "SHA-512"
    (model,) = [c for c in sbom["components"] if c["type"] == "machine-learning-model"]
    assert model["name"] == "tiny-sd15"
    (graph,) = [d for d in sbom["dependencies"] if d["ref"] == "bundle"]
    assert len(graph["dependsOn"]) == len(sbom["components"])


def test_what_is_shipped_is_under_a_licence_that_may_be(bundle):
    policy = read_policy()
    shipped = [material for material in read_materials(bundle) if material.shipped]
    assert len(shipped) > 5
    assert {m.name for m in shipped if m.license not in policy.allowed} == set()


def test_provenance(bundle, manifest):
    statement = json.loads((bundle / "provenance.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [s["name"] for s in statement["subject"]] == shipped(bundle)
    for subject in statement["subject"]:
        data = (bundle / subject["name"]).read_bytes()
        assert subject["digest"] == {"sha256": hashlib.sha256(data).hexdigest()}
    definition = statement["predicate"]["buildDefinition"]
    (model,) = definition["externalParameters"]["models"]
    assert model["name"] == "tiny-sd15"
    assert model["sizes"] == ["128x128"]
    assert model["toolchain"] == manifest["toolchain"]
    uris = {dependency["uri"] for dependency in definition["resolvedDependencies"]}
    assert f"pkg:pypi/diffusers@{manifest['toolchain']['diffusers']}" in uris


def test_integrity_of_every_file(bundle):
    table = json.loads((bundle / "SRI.json").read_text())
    assert sorted(table) == [name for name in list_files(bundle) if name != "SRI.json"]
    for name, integrity in table.items():
        digest = hashlib.sha384((bundle / name).read_bytes()).digest()
        assert integrity == f"sha384-{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("name", ["index.html", "selftest.html"])
def test_the_page_asks_the_browser_to_check(bundle, name):
    page = (bundle / name).read_text()
    table = json.loads((bundle / "SRI.json").read_text())
    assets = [name for name in table if name.startswith("assets/") and name in page]
    assert len(assets) >= 3
    assert all(f'"{name}" integrity="{table[name]}"' in page for name in assets)
    assert page.count("integrity=") == len(assets)


def test_the_same_again(copy):
    before = {name: (copy / name).read_bytes() for name in NAMES}
    write_attestations(copy, read_materials(copy))
    assert {name: (copy / name).read_bytes() for name in NAMES} == before


def test_a_good_bundle(bundle):
    assert list(verify_bundle(bundle)) == []


@pytest.mark.parametrize("name", ["index.html", "sw.js", "provenance.json", "sbom.cdx.json"])
def test_a_flipped_byte_is_named(copy, name):
    data = bytearray((copy / name).read_bytes())
    # In a string of a value, so that JSON stays JSON.
    data[data.index(b"sha") + 1] ^= 1
    (copy / name).write_bytes(data)
    (fault,) = verify_bundle(copy)
    assert fault.startswith(f"{name}: integrity mismatch (expected sha384-")


def test_extra_and_missing_files(copy):
    (copy / "extra.js").write_text("evil()")
    (copy / "client.js").unlink()
    assert list(verify_bundle(copy)) == ["client.js: missing", "extra.js: not in SRI.json"]


def test_attestations_that_disagree(copy):
    """Someone alters a file and SRI.json, but not the SBOM."""
    (copy / "client.js").write_text("evil()")
    table = json.loads((copy / "SRI.json").read_text())
    digest = hashlib.sha384(b"evil()").digest()
    table["client.js"] = f"sha384-{base64.b64encode(digest).decode()}"
    (copy / "SRI.json").write_text(json.dumps(table))
    assert list(verify_bundle(copy)) == ["client.js: sbom.cdx.json has another sha256, or none"]


@pytest.mark.parametrize("name", ["SRI.json", "sbom.cdx.json"])
@pytest.mark.parametrize("content", [None, "{", "[]", '{"components": [{"type": "file"}]}'])
def test_attestations_that_cannot_be_read(copy, name, content):
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content)
    what = rf"{name}( does not exist|: not (readable|JSON at line 1|an SBOM of WSD))"
    with pytest.raises(BundleError, match=what):
        list(verify_bundle(copy))
