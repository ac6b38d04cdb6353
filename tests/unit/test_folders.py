"""Folders that appear whole or not at all, and one that a failed build leaves for the next."""

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from wsd.errors import FileError, UsageError
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import resumable_folder, write_folder_atomically, write_once


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
