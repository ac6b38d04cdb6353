"""Folders that appear whole or not at all, and one that a failed build leaves for the next."""

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wsd.errors import FileError, UsageError
from wsd.util.contents import find_damage
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import resumable_folder, write_folder_atomically, write_once
from wsd.util.scratch import SCRATCH_SECONDS, sweep


@pytest.mark.slow
def test_of_two_that_make_the_same_one_waits(tmp_path):
    folder = tmp_path / "kept"
    made = []
    started = threading.Event()

    def write(scratch):
        made.append(scratch)
        started.set()
        time.sleep(0.2)
        (scratch / "file").write_text("whole")

    first = threading.Thread(target=write_once, args=(folder, write))
    first.start()
    assert started.wait(10)
    write_once(folder, write)
    assert (folder / "file").read_text() == "whole"
    first.join()
    assert len(made) == 1


def test_a_failure_is_told_and_leaves_nothing(tmp_path):
    def write(_scratch):
        raise OSError("full")

    folder = tmp_path / "kept"
    with pytest.raises(OSError, match="full"):
        write_once(folder, write)
    assert not folder.exists()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_what_a_person_named_is_never_replaced(tmp_path):
    out = tmp_path / "out"

    def write():
        with write_folder_atomically(out) as scratch:
            (scratch / "file").touch()
            out.mkdir()

    with pytest.raises(UsageError, match="already exists"):
        write()
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077, 0o177])
@pytest.mark.parametrize("is_cached", [False, True])
def test_everybody_may_read_whatever_the_umask_is(tmp_path, umask, is_cached):
    def write(folder):
        (folder / "inner" / "more").mkdir(parents=True)
        for name, mode in (("inner/copied", 0o600), ("inner/more/program", 0o777)):
            (folder / name).touch()
            (folder / name).chmod(mode)
        (folder / "made").write_text("x")

    out = tmp_path / "out"
    former = os.umask(umask if os.geteuid() == 0 else umask & 0o077)
    try:
        if is_cached:
            write_once(out, write)
        else:
            with write_folder_atomically(out) as scratch:
                write(scratch)
    finally:
        os.umask(former)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (out, *out.rglob("*"))}
    assert set(modes) >= {out / "inner" / "more" / "program", out / "made"}
    for path, mode in modes.items():
        assert mode == (0o755 if path.is_dir() else 0o644)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WSD_CACHE", str(tmp_path))
    return tmp_path


def fail_in_resumable_folder(key):
    with resumable_folder(key) as folder:
        (folder / "part").write_text("done so far")
        raise OSError("full")


@pytest.mark.usefixtures("cache")
def test_the_next_build_continues_where_one_failed():
    with pytest.raises(OSError, match="full"):
        fail_in_resumable_folder("a" * 64)
    with resumable_folder("a" * 64) as folder:
        assert (folder / "part").read_text() == "done so far"
    assert not folder.exists()
    with resumable_folder("a" * 64) as folder:
        assert not (folder / "part").exists()


@pytest.mark.usefixtures("cache")
def test_two_builds_of_the_same_do_not_share_a_resumable_folder():
    with resumable_folder("a" * 64) as first:
        (first / "part").write_text("first")
        with resumable_folder("a" * 64) as second:
            assert second != first
            assert list(second.iterdir()) == []
        assert not second.exists()
        assert (first / "part").read_text() == "first"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "shard"), "shard: no space is left"),
        (PermissionError(13, "Permission denied", "out"), "out: permission denied"),
        (OSError(30, "Read-only file system"), "dist: the file system is read-only"),
    ],
)
def test_an_error_of_the_file_system_says_what_to_do(error, message):
    with pytest.raises(FileError, match=message) as caught, explain_file_errors(Path("dist")):
        raise error
    assert caught.value.hint


@pytest.mark.parametrize("device", ["/dev/full", "/dev/zero", "/dev/../dev/tty"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EINVAL])
def test_an_error_of_a_device_asks_for_a_file(device, number):
    with pytest.raises(FileError) as caught, explain_file_errors(Path("dist")):
        raise OSError(number, os.strerror(number), device)
    assert caught.value.hint == "it is a device: name a regular file"


# Asks for three folders at once with other processes, 25 times, and looks at each.
ASK = """
import hashlib, random, sys, time
from pathlib import Path
from wsd.util.contents import find_damage
from wsd.util.files import write_once

cache, seed = Path(sys.argv[1]), sys.argv[2]
chance = random.Random(seed)

def write(scratch, name):
    (scratch / "inner").mkdir()
    for number in range(4):
        (scratch / "inner" / str(number)).write_bytes(hashlib.sha256(name.encode()).digest() * 999)
        time.sleep(chance.random() / 500)

for turn in range(25):
    print(turn, flush=True)
    names = [f"{turn}-{kind}" for kind in ("library", "objects", "checkpoint")]
    for name in chance.sample(names, 3):
        write_once(cache / name, lambda scratch: write(scratch, name))
        damage = find_damage(cache / name, name)
        assert damage is None, f"{name}: {damage}"
"""


def ask(cache, seed):
    return subprocess.Popen(
        [sys.executable, "-c", ASK, cache, str(seed)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(workers):
    for worker in workers:
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said


@pytest.mark.exhaustive
@pytest.mark.parametrize(("seed", "kills"), [(26, 6), (27, 40)])
def test_processes_that_share_a_cache_and_are_killed(tmp_path, seed, kills):
    """Four of them, each killed at random moments and started again; then with damage as well."""
    chance = random.Random(seed)
    workers = [ask(tmp_path, number) for number in range(4)]
    for kill in range(kills):
        number = chance.randrange(4)
        # Once it works, at any moment.
        workers[number].stdout.readline()
        time.sleep(0.03 * chance.random())
        workers[number].kill()
        _, said = workers[number].communicate()
        assert workers[number].returncode in (-signal.SIGKILL, 0), said
        workers[number] = ask(tmp_path, f"{number} {kill}")
    finish(workers)
    names = {
        f"{turn}-{kind}" for turn in range(25) for kind in ("library", "objects", "checkpoint")
    }
    whole = {name: find_damage(tmp_path / name, name) for name in names}
    assert set(whole.values()) == {None}
    for name in sorted(names)[:20]:
        kind = chance.choice(["cut", "gone", "foreign", "a file", "another's"])
        damage_entry(tmp_path / name, kind, chance)
    finish([ask(tmp_path, number) for number in range(4)])
    assert all(find_damage(tmp_path / name, name) is None for name in names)
    # Of a process that was killed before it had its lock, an empty folder stays for a day.
    assert not list(tmp_path.glob(".*.wsd-*/content"))
    sweep(tmp_path, time.time() + 2 * SCRATCH_SECONDS)
    beside = {path.name for path in tmp_path.iterdir()} - names
    assert beside <= {f".{name}.lock" for name in names}


def damage_entry(folder, kind, chance):
    path = folder / "inner" / str(chance.randrange(4))
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif kind == "gone":
        path.unlink()
    elif kind == "foreign":
        (folder / "inner" / "more").mkdir()
        (folder / "inner" / "more" / "x").touch()
    else:
        shutil.rmtree(folder)
        if kind == "a file":
            folder.write_text("mine")
        else:
            shutil.copytree(folder.with_name("24-library"), folder)
