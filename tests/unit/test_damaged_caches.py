"""Damage to any file of any cache: it counts as absent, and what is made anew is the same."""

import logging
import os
import shutil
from itertools import cycle
from pathlib import Path

import pytest

import builds
from builds import Place, building_in, failing_at, read_tree
from damage import DAMAGES
from marks import some_of
from speck import SPECK
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler import driver
from wsd.compiler.driver import compile_library
from wsd.compiler.library import open_library
from wsd.compiler.wasm import runtime
from wsd.errors import UsageError
from wsd.util.contents import find_damage
from wsd.util.files import write_once
from wsd.util.progress import Quiet
from wsd.util.scratch import remove_tree


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WSD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return builds.make_library(tmp_path_factory.mktemp("library"))


def files_of(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def write_entry(scratch):
    (scratch / "deep" / "er").mkdir(parents=True)
    for name in ("one.json", "two.bin", "deep/three.o", "deep/er/four"):
        (scratch / name).write_bytes(name.encode() * 9)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_an_entry(tmp_path, damage, caplog):
    folder = tmp_path / "entry"
    write_once(folder, write_entry)
    whole = read_tree(folder)
    assert "contents.json" in whole
    for name in files_of(folder):
        damage(folder / name)
        caplog.clear()
        write_once(folder, write_entry)
        assert read_tree(folder) == whole, name
        assert not list(folder.rglob("*.aside"))
        assert "is damaged" in caplog.messages[0]
        assert "made anew" in caplog.messages[0]
        caplog.clear()
        write_once(folder, lambda _: pytest.fail("it is whole"))
        assert caplog.messages == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".entry.lock", "entry"]


@pytest.mark.parametrize("kind", ["file", "link", "empty folder", "another entry"])
def test_what_took_the_place_of_an_entry(tmp_path, kind):
    folder = tmp_path / "entry"
    write_once(tmp_path / "other", write_entry)
    if kind == "file":
        folder.write_text("?")
    elif kind == "link":
        folder.symlink_to(tmp_path / "other")
    elif kind == "empty folder":
        folder.mkdir()
    else:
        shutil.copytree(tmp_path / "other", folder)
    made = []

    def write(scratch):
        made.append(scratch)
        (scratch / "mine").touch()

    write_once(folder, write)
    write_once(folder, write)
    assert len(made) == 1
    assert (folder / "mine").is_file()
    assert "one.json" in read_tree(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_checkpoints_of_random_weights():
    folder = random_checkpoint(SPECK, 3)
    whole = read_tree(folder)
    for name, damage in zip(files_of(folder)[::2], DAMAGES, strict=False):
        damage(folder / name)
        assert random_checkpoint(SPECK, 3) == folder
        assert read_tree(folder) == whole, (name, damage)


@pytest.fixture
def cached_library(library, family, monkeypatch):
    """Return a function that asks the cache for a library, and how often one was compiled."""
    compiled = []

    def write(built, folder, _progress):
        # What the compiler would write; it takes a minute.
        compiled.append(folder)
        for name in ("library.wasm", "library.json"):
            shutil.copyfile(built.folder / name, folder / name)

    monkeypatch.setattr(driver, "_build", lambda *_: library)
    monkeypatch.setattr(driver, "_write", write)

    def ask():
        return compile_library(family, family.sizes, "f32", Quiet())

    return ask, compiled


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_compiled_libraries(cached_library, caplog):
    ask, compiled = cached_library
    caplog.set_level(logging.INFO, "wsd.compiler.cache")
    found = ask()
    whole = read_tree(found.folder)
    assert set(whole) == {"contents.json", "key.json", "library.json", "library.wasm"}
    assert ask() == found
    assert len(compiled) == 1
    for count, (damage, name) in enumerate(zip(DAMAGES, cycle(files_of(found.folder))), 2):
        damage(found.folder / name)
        assert ask() == found
        assert len(compiled) == count
        assert read_tree(found.folder) == whole, (name, damage)
    assert "not cached; what is cached is damaged" in caplog.text


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_objects_of_the_runtime(monkeypatch):
    compiled = []

    def compile_units(folder):
        compiled.append(folder)
        for unit in runtime._UNITS:
            (folder / f"{unit}.o").write_text(f"object of {unit}")

    monkeypatch.setattr(runtime, "_compile_units", compile_units)
    objects = runtime.runtime_objects()
    whole = read_tree(objects[0].parent)
    for damage in DAMAGES:
        for name in files_of(objects[0].parent):
            damage(objects[0].parent / name)
            assert runtime.runtime_objects() == objects
            assert read_tree(objects[0].parent) == whole, (name, damage)
    assert len(compiled) == 1 + len(DAMAGES) * len(whole)


@pytest.mark.slow
@pytest.mark.parametrize("damage", some_of(DAMAGES, 4))
def test_a_library_that_was_given_is_refused(compiled, tmp_path, damage):
    """Its page too: whoever damaged it may have changed a script."""
    files = [name for name in files_of(compiled) if name.name != "contents.json"]
    for index, name in enumerate([*files, "contents.json"]):
        folder = shutil.copytree(compiled, tmp_path / str(index))
        damage(folder / name)
        if str(name) == "contents.json" and damage.__name__ == "append":
            continue  # a byte after the end of JSON is refused by its reader
        with pytest.raises(UsageError, match=r"is no library, or damaged: ") as caught:
            open_library(folder)
        assert "wsd compile" in caught.value.hint
        shutil.rmtree(folder)
    assert open_library(shutil.copytree(compiled, tmp_path / "renamed")).sizes == SPECK.sizes


@pytest.mark.exhaustive
@pytest.mark.slow
def test_everything_in_the_cache_at_once(compiled, tmp_path, capsys):
    """Every file, each in another way, after a build without room, which left shards."""
    place = Place(tmp_path)
    with building_in(place):
        assert builds.build(compiled, 0, place.root / "alone") == 0
        whole = read_tree(place.root / "alone")
        with failing_at(9):
            assert builds.build(compiled, 0, place.out) == 2
        left = files_of(place.root / "cache")
        assert len([name for name in left if name.suffix == ".bin"]) >= 2
        for name, damage in zip(left, cycle(DAMAGES)):
            if not name.name.endswith("lock"):
                damage(place.root / "cache" / name)
        capsys.readouterr()
        assert builds.build(compiled, 0, place.out) == 0
    assert read_tree(place.out) == whole
    assert place.left_behind() == []
    assert "damaged" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("depth", [1200, pytest.param(3000, marks=pytest.mark.exhaustive)])
def test_folders_that_are_nested_deeper_than_calls_are_damage(tmp_path, depth):
    """Paths in the deepest are longer than systems take, and Python's calls and files are fewer."""
    folder = tmp_path / "entry"
    write_once(folder, write_entry)
    nest(folder / "more", depth)
    assert find_damage(folder) is not None
    made = []

    def write(scratch):
        made.append(scratch)
        write_entry(scratch)

    write_once(folder, write)
    write_once(folder, write)
    assert len(made) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".entry.lock", "entry"]


@pytest.mark.full
@pytest.mark.slow
def test_a_deep_folder_is_removed_with_links_left_where_they_lead(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    folder = tmp_path / "deep"
    nest(folder, 1500)
    (folder / "a" / "link").symlink_to(tmp_path / "precious")
    remove_tree(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious"]
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        remove_tree(tmp_path / "link")
    assert (tmp_path / "precious" / "file").exists()


def nest(folder, depth):
    """Make a folder, and in it a chain of folders with a file in the last."""
    folder.mkdir(exist_ok=True)
    before = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            Path("a").mkdir()
            os.chdir("a")
        Path("last").touch()
    finally:
        os.chdir(before)
