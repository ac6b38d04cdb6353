"""Output, cache, library and temporary files: odd names, other disks, relative paths."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

import builds
from builds import Place, building_in, read_tree
from commands import exit_code

NAME = "ü 日本 'q\" $x;`&[a]*%41#?\n-b"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return builds.make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def other_disk():
    """Return a folder on another file system than the tests', if there is one."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_bundle_does_not_depend_on_where_it_is_built(library, tmp_path, other_disk, monkeypatch):
    """Nor on names of the output, the cache, the library, and the folder for temporary files."""
    plain = Place(tmp_path / "plain")
    with building_in(plain):
        assert builds.build(library, 0, plain.out) == 0
    odd = Place(other_disk / NAME)
    moved = shutil.copytree(library, odd.root / f"library {NAME}")
    monkeypatch.chdir(tmp_path)
    with building_in(odd):
        # The output is on another disk than the cache, so shards are copied and not linked.
        assert builds.build(moved, 0, Path(f"out{NAME}")) == 0
        assert exit_code("verify", f"out{NAME}") == 0
    assert read_tree(tmp_path / f"out{NAME}") == read_tree(plain.out)
    assert odd.left_behind() == []


@pytest.mark.full
def test_everything_may_be_relative(library, tmp_path, monkeypatch):
    place = Place(tmp_path / "place")
    shutil.copytree(library, tmp_path / "library")
    monkeypatch.chdir(tmp_path)
    with building_in(place) as patch:
        patch.setenv("WSD_CACHE", "place/cache")
        patch.setenv("TMPDIR", "place/tmp")
        assert builds.build(Path("library"), 0, Path("-out")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["-out", "library", "place"]
    assert place.left_behind() == []


@pytest.mark.parametrize(
    "odd",
    [
        "cache",
        pytest.param("out", marks=pytest.mark.full),
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("library", "tmp")),
    ],
)
def test_names_that_are_not_utf8(library, tmp_path, odd, capsys):
    """Python and the file system take them, and libraries in Rust do not."""
    place = Place(tmp_path)
    name = os.fsdecode(b"caf\xe9")
    (place.root / name).mkdir()
    given = shutil.copytree(library, place.root / name / "library") if odd == "library" else library
    out = place.root / name / "out" if odd == "out" else place.out
    with building_in(place) as patch:
        if odd in ("cache", "tmp"):
            patch.setenv({"cache": "WSD_CACHE", "tmp": "TMPDIR"}[odd], str(place.root / name))
        code = builds.build(given, 0, out)
    said = capsys.readouterr().err
    assert code in (0, 2)
    assert (code == 0) == out.exists()
    if code:
        assert "the name is not UTF-8" in said
        assert "caf?" in said
    assert place.left_behind() == []
