"""Errors of the file system: two lines and exit code 2, wherever they arise."""

import errno
import mmap
import os
import pwd
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from commands import exit_code
from wsd.cli.error_report import run_command
from wsd.errors import CheckpointError, FileError
from wsd.util.file_errors import explain, explain_file_errors
from wsd.util.files import cache_folder, write_atomically, write_folder_atomically
from wsd.util.hashing import digest_file, sha256_file
from wsd.util.json_reader import read_json
from wsd.util.terminal import printable

MODEL = ("--model", "tiny-sd15")
# Commands with an output, and what else each needs; none gets as far as reading it.
OUTPUTS = [
    (("compile", *MODEL), "--out"),
    (("build", *MODEL), "--out"),
    (("join", "/nowhere"), "--out"),
    (("expect", *MODEL), "--out"),
    (("render", "/nowhere", "--prompt", "x"), "--out"),
    (("reference", *MODEL, "--prompt", "x"), "--out"),
    (("parity", "/nowhere", *MODEL, "--prompt", "x"), "--out"),
    (("bench", "/nowhere"), "--json"),
    (("bench", "/nowhere"), "--plot"),
]


@pytest.fixture
def refused(capsys):
    """Run a command that must fail; return its message and its hint."""

    def run(*words):
        assert exit_code(*words) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        *_, message, hint = captured.err.strip().splitlines()
        assert message.startswith("error: ")
        assert hint.startswith("hint: ")
        return message, hint

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("command", "option"), OUTPUTS, ids=str)
def test_an_output_that_cannot_be_written_is_told_at_once(refused, tmp_path, command, option):
    file = tmp_path / "file"
    file.write_text("mine")
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (
        "/sys/out",
        "/sys/kernel/a/out",
        "/proc/out",
        file / "out",
        file / "a" / "b" / "out",
        "/dev/null/out",
        circle / "out",
        tmp_path / ("a" * 256),
        tmp_path / ("ü" * 200) / "out",
    ):
        message, _hint = refused(*command, option, path)
        # The message names the path, or the parent that is the reason.
        assert str(path)[:12] in message
    assert sorted(tmp_path.iterdir()) == [circle, file]
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", ["compile", "build"])
def test_a_dangling_link_is_an_output_that_exists(refused, tmp_path, command):
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "nowhere")
    message, _ = refused(command, *MODEL, "--out", link)
    assert "already exists" in message
    assert link.is_symlink()


def test_a_folder_is_no_output_file(refused, tmp_path):
    message, _ = refused("reference", *MODEL, "--prompt", "x", "--out", tmp_path)
    assert "a folder is where a file is needed" in message


@pytest.mark.parametrize(
    ("cache", "reason"),
    [
        ("/sys/wsd", "operation not permitted"),
        ("/proc/wsd", "no such file or folder"),
        ("/etc/passwd", "a file is where a folder is needed"),
        ("/dev/null/wsd", "a file is where a folder is needed"),
        ("/tmp/" + "a" * 256, "the name is too long"),
    ],
)
def test_a_cache_that_cannot_be_written(refused, monkeypatch, tmp_path, cache, reason):
    monkeypatch.setenv("WSD_CACHE", cache)
    message, hint = refused(
        "reference", *MODEL, "--random-weights", 0, "--prompt", "x", "--out", tmp_path / "x.png"
    )
    assert reason in message
    assert "WSD_CACHE" in hint
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_home(monkeypatch):
    """As in a container that runs with any user id."""

    def nobody(_uid):
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "WSD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(FileError, match="HOME is not set") as caught:
        cache_folder()
    assert "WSD_CACHE" in caught.value.hint


@pytest.fixture
def small_files():
    """Let this process write no file above 20 kB: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_weights(folder):
    save_file({"weight": np.zeros(10_000, np.float32)}, folder / "model.safetensors")


def write_tokenizer(folder):
    words = {f"word{number}": number for number in range(10_000)}
    Tokenizer(WordLevel(words, unk_token="word0")).save(str(folder / "tokenizer.json"))


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("write_files", [write_weights, write_tokenizer])
def test_a_folder_that_fails_midway_leaves_nothing(tmp_path, write_files):
    """The libraries that write weights and tokenizers have errors of their own."""

    def write():
        out = tmp_path / "out"
        with explain_file_errors(out), write_folder_atomically(out) as scratch:
            write_files(scratch)

    with pytest.raises(FileError, match="out: the file would be larger than allowed") as caught:
        write()
    assert "ulimit -f" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_files")
def test_a_file_that_fails_midway_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(OSError, match="report.json") as caught:
        write_atomically(path, b"x" * 40_000)
    assert caught.value.errno == errno.EFBIG
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_devices_and_pipes_are_written_as_they_are_and_links_stay(tmp_path):
    target = tmp_path / "target"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"

    null = tmp_path / "null"
    null.symlink_to(os.devnull)
    write_atomically(null, b"gone")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(OSError, match="/dev/full") as caught:
        write_atomically(Path("/dev/full"), b"x")
    assert caught.value.errno == errno.ENOSPC

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]


@pytest.mark.parametrize(
    "number",
    [
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
        errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
        errno.EMLINK, errno.EMFILE, errno.EIO, errno.ESTALE, errno.EXDEV, errno.ENOTSUP,
    ],
)  # fmt: skip
def test_each_error_that_names_a_file_says_what_to_do(number):
    explained = explain(OSError(number, os.strerror(number), "/data/shard"))
    assert explained is not None
    assert explained.message.startswith("/data/shard: ")
    assert not explained.message.endswith(".")
    assert explained.hint


BROKEN = "/proc/self/mem"  # a regular file whose first byte cannot be read


def read_table(path):
    return read_json(path, CheckpointError, "fetch it again")


def read_weights(path):
    torch.UntypedStorage.from_file(str(path), shared=False, nbytes=8)


@pytest.mark.skipif(not Path(BROKEN).exists(), reason="not run: there is no /proc")
@pytest.mark.parametrize("read", [sha256_file, digest_file, read_table])
def test_a_broken_disk_is_told_with_the_file_that_it_broke(read, tmp_path):
    """And not with the output that is being made of it."""
    path = tmp_path / "config.json"
    path.symlink_to(BROKEN)
    place = explain_file_errors(tmp_path / "out")
    with pytest.raises(FileError, match="config.json: input or output") as caught, place:
        read(path)
    assert "out" not in caught.value.message.replace("output", "")


@pytest.fixture
def few_files():
    """Return a function that lets this process open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit():
        os.close(lowest := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("read", [sha256_file, read_table, read_weights])
def test_too_many_open_files(read, tmp_path, few_files):
    path = tmp_path / "x.json"
    path.write_text("[1, 2, 3]")
    few_files()
    place = explain_file_errors(tmp_path / "out")
    with pytest.raises(FileError, match=r"x.json: too many files are open") as caught, place:
        read(path)
    assert "ulimit -n" in caught.value.hint


def test_what_cannot_be_removed_now_is_removed_by_the_next(tmp_path, few_files):
    def write():
        with write_folder_atomically(tmp_path / "out") as scratch:
            (scratch / "deep").mkdir()
            (scratch / "deep" / "shard").touch()
            few_files()
            raise KeyError

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(KeyError):
        write()
    resource.setrlimit(resource.RLIMIT_NOFILE, soft)
    [left] = tmp_path.iterdir()
    assert (left / "lock").is_file()
    with write_folder_atomically(tmp_path / "out"):
        assert not left.exists()


def test_what_is_no_error_of_a_file_is_not_explained():
    assert explain(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) is None
    assert explain(OSError("We could not connect to the hub")) is None
    assert explain(TimeoutError()) is None
    # These name no file, and are no others.
    full = explain(OSError(errno.ENOSPC, "No space left on device"))
    assert full is not None
    assert "make room" in full.hint


def test_several_copies_that_fail(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "dangling").symlink_to("nowhere")
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "from", tmp_path / "to")
    explained = explain(caught.value)
    assert explained is not None
    assert "dangling" in explained.message


def fail_with(error: BaseException) -> int:
    @click.command()
    def work():
        raise error

    return run_command(work, "work", [])


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OSError("x"), EOFError()])
def test_faults_of_wsd_keep_their_traceback(error):
    with pytest.raises(type(error)):
        fail_with(error)


@pytest.mark.parametrize(
    "take",
    [
        lambda: bytearray(1 << 62),
        lambda: np.zeros(1 << 56, np.uint8),
        lambda: torch.empty(1 << 48, dtype=torch.uint8),
        lambda: torch.zeros(1 << 56, dtype=torch.uint8),
        lambda: mmap.mmap(-1, 1 << 60),
        lambda: runtime_error("std::bad_alloc"),
    ],
)
def test_memory_that_ends_is_told_whoever_asked_for_it(take, capsys, tmp_path):
    @click.command()
    def work():
        # What was being written then is not the reason.
        with explain_file_errors(tmp_path / "out"):
            take()

    assert run_command(work, "work", []) == 2
    assert capsys.readouterr().err.startswith("error: there is not enough memory\nhint: close")


def runtime_error(text):
    raise RuntimeError(text)


def test_an_interruption_has_the_code_of_shells(capsys):
    assert fail_with(KeyboardInterrupt()) == 130
    assert "hint: " in capsys.readouterr().err


def test_tracebacks_for_those_who_want_them(monkeypatch):
    monkeypatch.setenv("WSD_DEBUG", "1")
    with pytest.raises(PermissionError):
        fail_with(PermissionError(errno.EACCES, "Permission denied", "/data"))


def run_models(shell: str) -> tuple[int, str]:
    """Run ``wsd models`` in a shell's redirection; return exit code and standard error."""
    # Containers often have it; on a person's machine what is not written stays in a buffer.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-c", shell.replace("WSD", f"'{sys.executable}' -m wsd models")],
        capture_output=True, text=True, check=False, env=variables,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("WSD > /dev/full", 2, "No space left on device"),
        ("WSD >&-", 0, ""),
        ("WSD > /dev/full 2> /dev/full", 2, ""),
        ("WSD | true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_standard_output_that_cannot_be_written(shell, code, said):
    found, error = run_models(shell)
    assert found == code
    assert said in error
    assert "Traceback" not in error
    assert "Exception" not in error


@pytest.mark.slow
def test_names_that_are_not_unicode_or_hold_commands_are_shown(tmp_path, refused):
    odd = tmp_path / os.fsdecode(b"caf\xe9\x1b[31m")
    odd.mkdir()
    message, _ = refused("verify", odd)
    assert "caf?" in message
    assert "\x1b" not in message
    assert printable("ü\t\x07") == "ü\t?"
    for option in ("--prompt", "--weights"):
        text = os.fsdecode(b"\xff")
        words = {"--prompt": "x", "--weights": "x", option: text}
        flat = [word for pair in words.items() for word in pair]
        message, _ = refused("reference", *MODEL, *flat, "--out", tmp_path / "x.png")
        assert "not UTF-8" in message


@pytest.mark.parametrize("name", ["scheduler/scheduler_config.json", "model_index.json"])
@pytest.mark.parametrize("kind", ["link to nowhere", "folder", "pipe", "endless device"])
def test_a_file_of_a_checkpoint_that_may_be_absent_is_not_if_it_cannot_be_read(
    refused, checkpoint, tmp_path, name, kind
):
    """Left out in silence, it would draw something else: a download that was cut short links so."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    path = folder / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere" if kind == "link to nowhere" else "/dev/zero")
    message, _ = refused("build", *MODEL, "--weights", folder, "--out", tmp_path / "out")
    assert str(path) in message
    assert sorted(tmp_path.iterdir()) == [folder]
