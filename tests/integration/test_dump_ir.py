"""A dump of a whole model, whose library is cached and stays as it is.

The toy family takes a third of the time that the smallest Stable Diffusion takes to compile.
"""

import logging

import pytest

from toy.family import FAMILY
from wsd.compiler.driver import compile_library
from wsd.kernels.serialize import read_variants
from wsd.util.hashing import sha256_file
from wsd.util.progress import Quiet


@pytest.fixture(scope="module")
def library():
    return compile_library(FAMILY, FAMILY.sizes, "f32", Quiet())


@pytest.mark.exhaustive
def test_a_dump_of_a_cached_library(library, tmp_path, caplog):
    table = library.folder / "library.json"
    before = sha256_file(library.wasm), sha256_file(table), table.stat().st_mtime_ns
    caplog.set_level(logging.INFO, "wsd")
    dumped = compile_library(FAMILY, FAMILY.sizes, "f32", Quiet(), tmp_path / "ir")
    assert dumped == library
    assert (sha256_file(library.wasm), sha256_file(table), table.stat().st_mtime_ns) == before
    assert [line for line in caplog.messages if line.endswith(": cached")]
    assert [line for line in caplog.messages if line.startswith("pass fuse_ops: ")]

    texts = {path.stem: path.read_text() for path in (tmp_path / "ir" / "shaders").iterdir()}
    assert texts == library.shaders
    modules = sorted(path.name for path in (tmp_path / "ir").glob("*.py"))
    assert (modules[0], modules[-1]) == ("00-imported.py", "15-schedule.py")
    for entry in library.entry_points:
        assert f"def {entry.name}(" in (tmp_path / "ir" / modules[0]).read_text()

    # The first line of each says what it is.
    files = list((tmp_path / "ir" / "variants").iterdir())
    written = sorted(path.read_text().partition("\n")[2] for path in files)
    expected = [
        launch.head + launch.body
        for kernel in library.variants["kernels"]
        for variant in read_variants(library.variants, kernel, ["any"] * 16)
        for launch in variant.launches
    ]
    assert written == sorted(expected) != []
