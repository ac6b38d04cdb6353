"""What the image's environment tells of itself, and what becomes of it."""

import pytest

from wsd.supply_chain.materials import BASE_VARIABLE, SOURCES_VARIABLE, compiler_materials
from wsd.supply_chain.pins import read_pins

PINS = read_pins()


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Return a function that records sources as docker/stages/trees.sh does in the image."""
    monkeypatch.setenv(SOURCES_VARIABLE, str(tmp_path))

    def write(**trees):
        lines = [f"{name} {tree}\n" for name, tree in trees.items()]
        (tmp_path / "tvm").write_text("".join(lines))
        (tmp_path / "emscripten").touch()
        return {material.name: material for material in compiler_materials()}

    return write


def test_sources_as_pinned(record):
    tvm, rang = PINS.source["tvm"], PINS.source["rang"]
    found = record(tvm=tvm.tree, rang=rang.tree)
    assert found["tvm"].purl == f"pkg:github/apache/tvm@{tvm.commit}"
    assert found["tvm"].version == "0.21.0"
    assert found["tvm"].shipped
    assert found["tvm"].license == "Apache-2.0"
    assert found["tvm"].hashes == (("SHA-1", tvm.commit),)
    expected = {f"{tvm.url}/commit/{fix.commit}" for fix in PINS.backport["tvm"].values()}
    assert set(found["tvm"].patches) == expected
    assert found["rang"].purl == f"pkg:github/agauniyal/rang@{rang.commit}"
    assert not found["rang"].shipped


def test_a_source_that_is_another(record):
    found = record(rang="12" * 20)["rang"]
    assert found.purl == f"pkg:generic/rang@{'12' * 20}"
    assert found.version == "12" * 20


@pytest.mark.parametrize(
    ("base", "purl"),
    [
        (str(PINS.base), f"pkg:docker/debian@{PINS.base.digest}?tag=trixie-20260803-slim"),
        ("registry.site/os/debian:13", "pkg:docker/registry.site/os/debian@13"),
        ("wsd-base", "pkg:docker/wsd-base@latest"),
    ],
)
def test_the_base_image(monkeypatch, base, purl):
    monkeypatch.setenv(BASE_VARIABLE, base)
    assert purl.replace("sha256:", "sha256%3A") in {
        material.purl.replace("sha256:", "sha256%3A") for material in compiler_materials()
    }
