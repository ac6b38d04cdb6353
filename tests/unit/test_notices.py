"""Licences and notices of a bundle: everything that is shipped, each with its text."""

import hashlib
import re
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from wsd.bundle.attestations import write_attestations
from wsd.bundle.manifest import list_models
from wsd.checkpoint.model_card import LICENSE_FILES, read_model_card
from wsd.checkpoint.single_file import SingleFile
from wsd.errors import BundleError, CheckpointError
from wsd.supply_chain import licenses, npm_packages
from wsd.supply_chain.checkpoint_url import checkpoint_url
from wsd.supply_chain.emscripten_libraries import library_materials
from wsd.supply_chain.licenses import find_license, find_texts, is_license_file
from wsd.supply_chain.material import LicenseText, Material
from wsd.supply_chain.notices import make_notices, write_notices
from wsd.supply_chain.sbom import read_materials

GOOD = Material(
    "pkg:pypi/good@1", "good", "1", shipped=True, license="MIT",
    texts=(LicenseText("LICENSE", "Copyright (c) Somebody\n"),),
)  # fmt: skip


@pytest.fixture(scope="module")
def said(bundle):
    return (bundle / "THIRD_PARTY_NOTICES.txt").read_text()


def texts(said):
    """Return what is listed, by its name, to the files that hold its texts."""
    entries = re.findall(r"^(\S+) \S+\n((?:  .*\n)+)", said, re.M)
    return {name: re.findall(r"^  text: (\S+)$", lines, re.M) for name, lines in entries}


def test_everything_that_is_shipped_is_listed_with_a_text(bundle, said):
    listed = texts(said)
    shipped = [material for material in read_materials(bundle) if material.shipped]
    assert {material.name for material in shipped} <= listed.keys()
    assert {"wsd", "emscripten", "musl", "libcxx", "dlmalloc", "workbox-core"} <= listed.keys()
    for material in shipped:
        assert listed[material.name], material.name
        for path in listed[material.name]:
            digest = hashlib.sha256((bundle / path).read_bytes()).hexdigest()
            assert digest in path


def test_notice_files_are_carried(bundle, said):
    """The Apache licence asks to pass on a NOTICE, where the software has one."""
    listed = texts(said)
    (tvm,) = [name for name in ("apache-tvm", "tvm") if name in listed]
    notices = [path for path in listed[tvm] if path.startswith("licenses/NOTICE")]
    assert notices
    assert "The Apache Software Foundation" in (bundle / notices[0]).read_text()
    assert "Copyright © 2005" in "".join((bundle / path).read_text() for path in listed["musl"])


def test_a_model_is_listed_with_its_licence_and_card(bundle, said):
    (line,) = re.findall(r"^tiny-sd15 in f32: .*\n((?:  .*\n)+)", said, re.M)
    assert "  licence: Apache-2.0\n" in line
    (path,) = re.findall(r"  text: (\S+)", line)
    assert (bundle / path).read_text().startswith("---\nlicense: apache-2.0\n")


def test_no_text_is_there_that_nothing_names(bundle, said):
    named = set(re.findall(r"^  text: (licenses/\S+)$", said, re.M))
    there = {path.relative_to(bundle).as_posix() for path in (bundle / "licenses").iterdir()}
    assert there == named


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"texts": ()}, r"good 1 is part of the bundle, and the text of its licence \(MIT\)"),
        ({"license": ""}, "good 1 is part of the bundle, and its licence is not known"),
    ],
)
def test_what_has_no_licence_is_not_shipped(bundle, tmp_path, change, said):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    materials = read_materials(copy)
    with pytest.raises(BundleError, match=said):
        write_attestations(copy, [*materials, replace(GOOD, **change)])
    # What is not shipped needs none.
    assert make_notices([replace(GOOD, **change, shipped=False)], []).keys() == {
        "THIRD_PARTY_NOTICES.txt"
    }


def test_the_order_of_materials_changes_nothing(bundle):
    materials = read_materials(bundle)
    models = list_models(bundle)
    expected = make_notices(materials, models)
    assert make_notices(list(reversed(materials)), list(reversed(models))) == expected
    assert all((bundle / path).read_bytes() == data for path, data in expected.items())


def test_former_notices_go(tmp_path):
    write_notices(tmp_path, [GOOD])
    first = set(tmp_path.rglob("*.txt"))
    other = replace(GOOD, texts=(LicenseText("COPYING", "other\n"),))
    write_notices(tmp_path, [other])
    assert len(set(tmp_path.rglob("*.txt")) - first) == 1
    assert len(list((tmp_path / "licenses").iterdir())) == 1


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "", ".hidden", "x" * 300, "con\x1b[2J"])
def test_odd_names_lead_nowhere(tmp_path, name):
    """A package of another name cannot write outside of the folder of licences."""
    odd = replace(GOOD, name=name, texts=(LicenseText(name, "text\n"),))
    inside = tmp_path / "x"
    inside.mkdir()
    write_notices(inside, [odd])
    written = [path.relative_to(inside) for path in inside.rglob("*.txt")]
    assert {len(path.parts) for path in written} == {1, 2}
    assert not list(tmp_path.glob("*.txt"))
    assert "\x1b" not in (inside / "THIRD_PARTY_NOTICES.txt").read_text()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("LICENSE", True), ("LICENCE.md", True), ("COPYING.LESSER", True), ("NOTICE.txt", True),
        ("LICENSE-MIT", True), ("license.builtin_fp16.txt", True), ("COPYRIGHT", True),
        ("licenses.py", False), ("license.js", False), ("NOTICEBOARD", False), ("README", False),
    ],
)  # fmt: skip
def test_files_of_licences_are_known_by_their_names(name, is_one):
    assert is_license_file(name) == is_one


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["mit or apache-2.0"], "MIT OR Apache-2.0"),
        (["", "Apache 2.0"], "Apache-2.0"),
        (["", "", "License :: OSI Approved :: ISC License (ISCL)"], "ISC"),
        (["Some words", "BSD-3-Clause"], "BSD-3-Clause"),
        (["Some words"], "Some words"),
        (["A whole text\nof many lines"], ""),
        ([], ""),
    ],
)
def test_licences_are_spelt_as_spdx_does(stated, expected):
    assert find_license("a package that nobody knows", stated) == expected


def test_the_policy_is_of_spdx_expressions():
    policy = licenses.read_policy()
    for text in (*policy.allowed, *policy.licenses.values(), *policy.names.values()):
        assert licenses.as_expression(text) == text


def test_old_encodings_and_line_ends_are_read(tmp_path):
    (tmp_path / "LICENSE").write_bytes("Copyright José\r\nAll rights\r\n".encode("latin-1"))
    (tmp_path / "licenses").mkdir()
    (tmp_path / "licenses" / "LICENSE.part.txt").write_bytes(b"x")
    assert find_texts(tmp_path) == (
        LicenseText("LICENSE", "Copyright José\nAll rights\n"),
        LicenseText("LICENSE.part.txt", "x\n"),
    )


def test_libraries_of_a_newer_emscripten(tmp_path, monkeypatch):
    """As its own repository has them: with LLVM's licences, and another version of each."""
    root = tmp_path / "emscripten"
    for name in ("libcxx", "libcxxabi", "compiler-rt", "libc/musl"):
        (root / "system" / "lib" / name).mkdir(parents=True)
        (root / "system" / "lib" / name / "readme.txt").write_text("based on release 17.0.4.\n")
        (root / "system" / "lib" / name / "LICENSE.TXT").write_text(f"licence of {name}\n")
    (root / "system/lib/libc/musl/VERSION").write_text("1.2.5\n")
    (root / "system/lib/dlmalloc.c").write_text(
        "/*\n  This is a version (aka dlmalloc) of malloc by Doug Lea, released\n  to the public "
        "domain\n\n* Version 2.8.6 Wed\n*/\n"
    )
    (root / "emcc").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(root))
    found = {material.name: material for material in library_materials(())}
    assert {name: material.version for name, material in found.items()} == {
        "musl": "1.2.5", "dlmalloc": "2.8.6", "libcxx": "17.0.4", "libcxxabi": "17.0.4",
        "compiler-rt": "17.0.4",
    }  # fmt: skip
    assert found["libcxx"].purl == "pkg:github/llvm/llvm-project@llvmorg-17.0.4#libcxx"
    assert found["libcxx"].texts == (LicenseText("LICENSE.TXT", "licence of libcxx\n"),)
    assert "public domain" in found["dlmalloc"].texts[0].text
    assert all(material.license for material in found.values())


def test_npm_finds_packages_as_node_does():
    """A package inside another's folder takes precedence over one above."""
    locked = {
        "": npm_packages._Locked(dependencies={"a": "1"}),
        "node_modules/a": npm_packages._Locked(version="1.0.0", dependencies={"b": "2", "c": "1"}),
        "node_modules/a/node_modules/b": npm_packages._Locked(version="2.0.0"),
        "node_modules/b": npm_packages._Locked(version="1.0.0"),
        "node_modules/c": npm_packages._Locked(version="3.0.0"),
    }
    needed = locked["node_modules/a"].dependencies
    found = set(npm_packages._required("node_modules/a", needed, locked))
    assert found == {"pkg:npm/b@2.0.0", "pkg:npm/c@3.0.0"}


# Models.


class Card:
    """A checkpoint that is nothing but its card and licences."""

    provenance, stated_license = "somebody/model@" + "ab" * 20, ""

    def __init__(self, folder, **files):
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        self.folder = folder

    def extra_file(self, name):
        path = self.folder / name
        return path if path.exists() else None


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n", "Apache-2.0"),
        ("---\ntags: [a]\nlicense: creativeml-openrail-m\n---\n", "creativeml-openrail-m"),
        ("---\nlicense: other\nlicense_name: stabilityai-ai-community\n---\n",
         "stabilityai-ai-community"),
        ("---\nlicense: other\nlicense_link: LICENSE.md\n---\n", "LICENSE.md"),
        ('---\nlicense: "mit"\n---\n', "MIT"),
        ("# No table\nlicense: mit\n", ""),
        ("---\nlicense: mit\n", ""),
        ("", ""),
        (f"---\nlicense: {'x' * 10_000}\n---\n", "x" * 200),
    ],
)  # fmt: skip
def test_the_licence_of_a_card(tmp_path, card, expected):
    found = read_model_card(Card(tmp_path, README_md=card))
    assert found.license == expected
    assert found.texts == {"model-card": card}


def test_licence_files_of_a_model_are_carried(tmp_path):
    found = read_model_card(Card(tmp_path, LICENSE="a", NOTICE_txt="b", OTHER_txt="c"))
    assert found.texts == {"LICENSE": "a", "NOTICE": "b"}
    assert "LICENSE.md" in LICENSE_FILES


@pytest.mark.parametrize("metadata", [{"modelspec.license": "OpenRAIL++"}, {"other": "x"}, None])
def test_a_single_file_may_state_its_licence(tmp_path, family, metadata):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata=metadata)
    stated = SingleFile(path, family).stated_license
    assert stated == (metadata or {}).get("modelspec.license", "")


def test_a_licence_that_is_no_text_is_refused(tmp_path):
    source = Card(tmp_path)
    (tmp_path / "LICENSE").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_model_card(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("owner/name@" + "ab" * 20, "pkg:huggingface/owner/name@" + "ab" * 20),
        ("owner/name/file.safetensors@" + "ab" * 20,
         "pkg:huggingface/owner/name@" + "ab" * 20 + "#file.safetensors"),
        ("my model #1\n.safetensors", "urn:wsd:checkpoint:my%20model%20%231%0A.safetensors"),
        ("modèle", "urn:wsd:checkpoint:mod%C3%A8le"),
        ("a%20b", "urn:wsd:checkpoint:a%2520b"),
    ],
)  # fmt: skip
def test_addresses_of_checkpoints(source, expected):
    assert checkpoint_url(source) == expected
