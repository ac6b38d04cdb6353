"""Builds that share a cache, are ended at any moment, or find no room: nothing lost, nothing left.

Each test compares bundles byte by byte with one that was built alone.
"""

import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import builds
from builds import Place, building_in, failing_at, read_tree, start
from commands import exit_code

WORKERS = 4
# Tests of damaged caches, of folders and of signals are among the usual ones.
pytestmark = pytest.mark.exhaustive
# `nox -s security` builds and ends builds more often than `nox -s exhaustive`.
THOROUGH = "WSD_FUZZ" in os.environ
SEEDS = (0, 1)
# Bytes of a file system in memory that a test may fill.
LARGEST_SHARED = 1 << 28


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return builds.make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def alone(library, tmp_path_factory):
    """Return seed → the files of a bundle that was built alone."""
    place = Place(tmp_path_factory.mktemp("alone"))
    trees = {}
    with building_in(place):
        for seed in SEEDS:
            assert builds.build(library, seed, place.out / str(seed)) == 0
            trees[seed] = read_tree(place.out / str(seed))
    assert place.left_behind() == []
    assert len({frozenset(tree.items()) for tree in trees.values()}) == len(SEEDS)
    return trees


def build_many(library, out, seeds, alone):
    """Build one after another, now and then without room; compare each with one built alone."""
    for index, seed in enumerate(seeds):
        bundle = out / str(index)
        if index % 5 == 4:
            with failing_at(index % 7):
                assert builds.build(library, seed, bundle) == 2
            assert not bundle.exists()
            continue
        assert builds.build(library, seed, bundle) == 0
        assert read_tree(bundle) == alone[seed], f"build {index} of seed {seed}"
        for path in bundle.rglob("*.bin"):
            path.unlink()


@pytest.mark.parametrize("count", [500 if THOROUGH else 8])
def test_four_processes_share_one_cache(library, alone, tmp_path, count):
    """The cache is empty at first, so that they also make the same checkpoints at once."""
    place = Place(tmp_path)
    workers = []
    for worker in range(WORKERS):
        seeds = list(itertools.islice(itertools.cycle(SEEDS), count // WORKERS + worker % 2))
        out = place.out / str(worker)
        workers.append(start(build_many, place, library, out, seeds, alone))
    for worker in workers:
        worker.join()
    said = "\n".join(path.read_text() for path in tmp_path.glob("log-*"))
    assert [worker.exitcode for worker in workers] == [0] * WORKERS, said
    # Builds without room have left shards for the next one, which removes them.
    with building_in(place):
        for seed in SEEDS:
            assert builds.build(library, seed, place.out / f"last-{seed}") == 0
            assert read_tree(place.out / f"last-{seed}") == alone[seed]
    assert place.left_behind() == []


def moments(count):
    """Return moments of a build, as parts of the time or room that it takes."""
    chance = random.Random(26)
    count = count if THOROUGH else 2
    parts = [0.5, *(chance.random() for _ in range(count - 1))]
    return [pytest.param(part, id=f"{part:.3f}") for part in parts]


@pytest.fixture(scope="module")
def seconds(library, tmp_path_factory):
    """Return how long a build takes in a process of its own."""
    place = Place(tmp_path_factory.mktemp("timed"))
    # The first process waits for the one that the others are forked from.
    start(time.sleep, place, 0).join()
    began = time.monotonic()
    process = start(builds.build, place, library, 1, place.root / "again")
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - began


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
    ids=str,
)
@pytest.mark.parametrize("part", moments(20))
def test_a_build_that_is_ended(library, alone, seconds, tmp_path, number, part):
    place = Place(tmp_path)
    process = start(builds.build, place, library, 0, place.out)
    process.join(seconds * part)
    if process.is_alive():
        os.kill(process.pid, number)
    process.join()
    begun = any((place.root / "cache").iterdir())
    # Until the command has begun, Python ends with 1 on SIGINT, and other signals end the process.
    if process.exitcode == -number or (number == signal.SIGINT and process.exitcode == 1):
        assert number == signal.SIGKILL or not begun
    else:
        assert process.exitcode in (128 + number, 0)
        said = next(tmp_path.glob("log-*")).read_text()
        assert "Traceback" not in said
        assert "error: " in said or process.exitcode == 0
        # Finished shards are kept in the cache, for the next build.
        left = [name for name in place.left_behind() if not name.startswith("cache/unfinished/")]
        assert left == []
        assert place.out.exists() == (process.exitcode == 0)
    if place.out.exists():
        assert read_tree(place.out) == alone[0]
        place.out.rename(place.root / "whole")
    with building_in(place):
        assert builds.build(library, 0, place.out) == 0
    assert read_tree(place.out) == alone[0]
    assert place.left_behind() == []


@contextmanager
def small_disk(folder, size):
    """Yield a folder with little room, and a function that makes room.

    It is a file system of that size where one may be mounted, as root may. Else it is in a small
    one of the machine, filled up: containers have /dev/shm of 64 MB. Else files of that size alone
    are allowed, which is another test, and so not enough for `nox -s security`.
    """
    mounted = os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "wsd-test", folder],
        check=False, capture_output=True,
    ).returncode  # fmt: skip
    if mounted:
        try:
            remount = ["mount", "-o", "remount,size=1g", folder]
            yield folder, lambda: subprocess.run(remount, check=True)
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    shared = Path("/dev/shm")
    if shared.is_dir() and size < shutil.disk_usage(shared).free < LARGEST_SHARED:
        with tempfile.TemporaryDirectory(dir=shared) as place:
            filler = Path(place, "filler")
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(shared).free - size)
            yield Path(place), filler.unlink
        return
    assert not THOROUGH, "run this test as root, or where /dev/shm is small"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("part", moments(20))
def test_a_disk_that_is_full(library, alone, tmp_path, part, capsys):
    """Cache, temporary files and output are on one small disk."""
    needed = 3 * sum(path.stat().st_size for path in library.rglob("*") if path.is_file())
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", int(needed * part)) as (disk, make_room):
        place = Place(disk)
        with building_in(place):
            code = builds.build(library, 0, place.out)
            said = capsys.readouterr().err
            assert code in (0, 2)
            if code:
                assert "no space is left" in said or "larger than allowed" in said
                assert str(disk) in said.splitlines()[-2]
                kept = ("cache/unfinished/",)
                assert [n for n in place.left_behind() if not n.startswith(kept)] == []
                assert not place.out.exists()
            make_room()
            if code:
                assert builds.build(library, 0, place.out) == 0
        assert read_tree(place.out) == alone[0]
        assert place.left_behind() == []


def test_shards_that_a_killed_build_shares_with_the_cache(library, alone, tmp_path):
    """Its output lies in a folder where nobody looks again."""
    place = Place(tmp_path)
    with building_in(place):
        with failing_at(9):
            assert builds.build(library, 0, place.out) == 2
        kept = list((place.root / "cache" / "unfinished").rglob("*.bin"))
        assert kept
        for shard in kept:
            (tmp_path / shard.name).hardlink_to(shard)
        assert builds.build(library, 0, place.out) == 0
        assert read_tree(place.out) == alone[0]
        assert exit_code("verify", place.out) == 0
    assert {path.stat().st_nlink for path in place.out.rglob("*") if path.is_file()} == {1}
    assert place.left_behind() == []
