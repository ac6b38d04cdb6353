"""Attestations of a bundle (SBOM, provenance, SRI.json), and what verify finds."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from wsd.bundle.attestations import list_files, write_attestations
from wsd.bundle.manifest import list_models
from wsd.bundle.verify import verify_bundle
from wsd.errors import BundleError
from wsd.supply_chain.licenses import read_policy
from wsd.supply_chain.materials import BundleContents
from wsd.supply_chain.own_source import list_sources
from wsd.supply_chain.sbom import build_sbom, read_materials
from wsd.util.files import REPOSITORY

EXAMPLE_LORAS = ["tiny-sd15-dark-red", "tiny-sd15-pentagon"]

NAMES = {"sbom.cdx.json", "provenance.json", "SRI.json"}


@pytest.fixture(scope="module")
def sbom(bundle):
    return json.loads((bundle / "sbom.cdx.json").read_text())


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def shipped(bundle):
    return [name for name in list_files(bundle) if name not in NAMES]


@pytest.mark.full
@pytest.mark.slow
def test_the_sbom_is_valid(bundle):
    text = (bundle / "sbom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type":"file"', '"type":"fil"'))


@pytest.mark.slow
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
    models = [c for c in sbom["components"] if c["type"] == "machine-learning-model"]
    assert [model["name"] for model in models] == ["tiny-sd15", *EXAMPLE_LORAS]


def reachable(sbom, start="bundle"):
    graph = {entry["ref"]: entry.get("dependsOn", []) for entry in sbom["dependencies"]}
    found, waiting = set(), [start]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += graph[one]
    return found - {start}


def test_the_sbom_says_what_needs_what(sbom):
    references = [component["bom-ref"] for component in sbom["components"]]
    assert len(set(references)) == len(references)
    assert reachable(sbom) == set(references)
    graph = {entry["ref"]: entry.get("dependsOn", []) for entry in sbom["dependencies"]}
    by_name = {c["name"]: c["bom-ref"] for c in sbom["components"]}
    for name, needed in (
        ("workbox-precaching", "workbox-strategies"),
        ("transformers", "tokenizers"),
        ("emscripten", "musl"),
        ("wsd", "torch"),
        ("wsd", "comlink"),
    ):
        assert by_name[needed] in graph[by_name[name]]
    # What another package needs is no direct part of the bundle.
    assert by_name["tokenizers"] not in graph["bundle"]


def test_a_model_is_once_in_the_sbom_in_each_precision(bundle):
    """Two of one name would have one reference, for which the library makes up random ones."""
    ((_, first),) = list_models(bundle)
    other = first.model_copy(update={"model": first.model.model_copy(update={"dtype": "f16"})})
    expected = build_sbom(BundleContents({}, (), (first, other)))
    assert (
        build_sbom(BundleContents({}, (), (other, first)))["components"] == (expected["components"])
    )
    with pytest.raises(BundleError, match="tiny-sd15 f32 is there twice"):
        build_sbom(BundleContents({}, (), (first, first)))


def test_every_package_has_a_supplier_and_a_licence(sbom):
    packages = [c for c in sbom["components"] if c["type"] == "library"]
    assert len(packages) > 100
    assert [c["name"] for c in packages if not c.get("supplier", {}).get("name")] == []
    assert [c["name"] for c in packages if not c.get("licenses")] == []
    assert sbom["metadata"]["supplier"]["name"]
    assert sbom["metadata"]["authors"][0]["name"].startswith("WSD ")
    assert [tool["name"] for tool in sbom["metadata"]["tools"]["components"]] == ["wsd"]


def test_package_urls_name_what_registries_have(sbom):
    """Each type of package URL has the parts that its definition asks for."""
    purls = [PackageURL.from_string(c["purl"]) for c in sbom["components"] if "purl" in c]
    assert {purl.type for purl in purls} >= {"pypi", "npm", "generic", "github"}
    for purl in purls:
        # WSD is on no registry.
        assert (purl.type, purl.name) != ("pypi", "wsd")
        assert purl.version, purl
        assert purl.type != "deb" or (purl.namespace and "arch" in purl.qualifiers)
        assert purl.type != "github" or purl.namespace
        label = purl.version.partition("+")[2] if purl.type == "pypi" else ""
        assert not label or purl.qualifiers["repository_url"].endswith(f"/{label}")


def test_runtime_libraries_of_c_are_in_the_sbom(sbom):
    libraries = {c["name"]: c for c in sbom["components"] if c["type"] == "library"}
    for name in ("musl", "dlmalloc", "libcxx", "libcxxabi", "compiler-rt"):
        assert libraries[name]["scope"] == "required"
        assert re.fullmatch(r"\d+\.\d+\.\d+", libraries[name]["version"])


def test_the_sbom_names_the_model_its_licence_and_its_files(sbom, manifest, family, checkpoint):
    model, *loras = [c for c in sbom["components"] if c["type"] == "machine-learning-model"]
    assert (model["name"], model["version"]) == ("tiny-sd15", "f32")
    assert [lora["name"] for lora in loras] == EXAMPLE_LORAS
    assert model["licenses"] == [{"expression": "Apache-2.0"}]
    weights = {
        reference["comment"]: reference["hashes"][0]["content"]
        for reference in model["externalReferences"]
        if reference["type"] == "distribution"
    }
    for component in family.components:
        (file,) = (checkpoint / component.folder).glob("*.safetensors")
        assert weights[component.id] == hashlib.sha256(file.read_bytes()).hexdigest()
    card = (checkpoint / "README.md").read_bytes()
    (document,) = manifest["documents"]
    assert document["sha256"] == hashlib.sha256(card).hexdigest()


def test_what_is_shipped_is_under_a_licence_that_may_be(bundle):
    policy = read_policy()
    shipped = [material for material in read_materials(bundle) if material.shipped]
    assert len(shipped) > 5
    assert {m.name for m in shipped if m.license not in policy.allowed} == set()


def test_provenance(bundle, manifest, family, checkpoint):
    statement = json.loads((bundle / "provenance.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    # Everything but itself, so that a signature of it covers the whole bundle.
    assert [s["name"] for s in statement["subject"]] == [
        name for name in list_files(bundle) if name != "provenance.json"
    ]
    for subject in statement["subject"]:
        data = (bundle / subject["name"]).read_bytes()
        assert subject["digest"] == {"sha256": hashlib.sha256(data).hexdigest()}
    definition = statement["predicate"]["buildDefinition"]
    (model,) = definition["externalParameters"]["models"]
    assert model["name"] == "tiny-sd15"
    assert model["sizes"] == ["128x128"]
    assert model["toolchain"] == manifest["toolchain"]
    dependencies = definition["resolvedDependencies"]
    uris = {dependency["uri"] for dependency in dependencies}
    assert f"pkg:pypi/diffusers@{manifest['toolchain']['diffusers']}" in uris
    digests = {dependency.get("digest", {}).get("sha256") for dependency in dependencies}
    for component in family.components:
        (file,) = (checkpoint / component.folder).glob("*.safetensors")
        assert hashlib.sha256(file.read_bytes()).hexdigest() in digests


@pytest.mark.slow
def test_the_provenance_names_wsds_own_sources(bundle):
    statement = json.loads((bundle / "provenance.json").read_text())
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    (own,) = [d for d in dependencies if d["uri"].startswith("pkg:generic/wsd@")]
    # As a person can compute it: sha256sum of the listed files, and of that list.
    names = sorted(path.relative_to(REPOSITORY).as_posix() for path in list_sources())
    assert {"wsd/cli/main.py", "web/src/index.ts", "web/package-lock.json"} <= set(names)
    listed = subprocess.run(
        ["sha256sum", *names], cwd=REPOSITORY, check=True, capture_output=True
    ).stdout
    assert own["digest"]["sha256"] == hashlib.sha256(listed).hexdigest()


def test_integrity_of_every_file(bundle):
    table = json.loads((bundle / "SRI.json").read_text())
    outside = {"SRI.json", "provenance.json"}
    assert sorted(table) == [name for name in list_files(bundle) if name not in outside]
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


@pytest.mark.slow
def test_the_same_again(copy):
    before = {name: (copy / name).read_bytes() for name in NAMES}
    write_attestations(copy, read_materials(copy))
    assert {name: (copy / name).read_bytes() for name in NAMES} == before


@pytest.mark.full
@pytest.mark.slow
def test_nothing_is_written_that_is_too_large_to_be_read(copy):
    tool = next(m for m in read_materials(copy) if not m.shipped and m.purl.startswith("pkg:pypi/"))
    large = replace(tool, name="large", purl="pkg:pypi/large@1", supplier="x" * (9 << 20))
    with pytest.raises(BundleError, match=r"sbom\.cdx\.json: larger than") as caught:
        write_attestations(copy, [*read_materials(copy), large])
    assert "too many models for one bundle" in caught.value.hint


@pytest.mark.slow
def test_a_good_bundle(bundle):
    assert list(verify_bundle(bundle)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "sw.js", "client.js", "sbom.cdx.json"])
def test_a_flipped_byte_is_named(copy, name):
    data = bytearray((copy / name).read_bytes())
    # In a word in quotes, so that JSON stays JSON.
    data[data.index(b'"') + 1] ^= 1
    (copy / name).write_bytes(data)
    faults = list(verify_bundle(copy))
    assert any(line.startswith(f"{name}: integrity mismatch (expected sha384-") for line in faults)


@pytest.mark.slow
def test_extra_and_missing_files(copy):
    (copy / "extra.js").write_text("evil()")
    (copy / "client.js").unlink()
    assert list(verify_bundle(copy)) == ["client.js: missing", "extra.js: not in SRI.json"]


@pytest.mark.slow
def test_attestations_that_disagree(copy):
    """Someone alters a file and SRI.json, but not the SBOM."""
    (copy / "client.js").write_text("evil()")
    table = json.loads((copy / "SRI.json").read_text())
    digest = hashlib.sha384(b"evil()").digest()
    table["client.js"] = f"sha384-{base64.b64encode(digest).decode()}"
    (copy / "SRI.json").write_text(json.dumps(table))
    assert list(verify_bundle(copy)) == [
        "client.js: sbom.cdx.json has another sha256, or none",
        "sw.js: has a digest of client.js that differs from the file's",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SRI.json", "sbom.cdx.json"])
@pytest.mark.parametrize("content", [None, "{", "[]", '{"components": [{"type": "file"}]}'])
def test_attestations_that_cannot_be_read(copy, name, content):
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content)
    what = rf"{name}( does not exist|: (not JSON at line 1|top level: |components))"
    with pytest.raises(BundleError, match=what):
        list(verify_bundle(copy))
