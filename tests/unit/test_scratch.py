"""What ended processes left is removed; what a living one uses never is."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from wsd.util.files import (
    UNFINISHED_SECONDS,
    resumable_folder,
    sweep_unfinished,
    write_atomically,
    write_folder_atomically,
)
from wsd.util.scratch import SCRATCH_SECONDS, scratch_folder, sweep

KEY = "a" * 64
# Writes a file, stops just before it is whole, and says where its temporary folder is.
WRITE = """
import sys, time
from pathlib import Path
from wsd.util.files import write_atomically
def stop(path, target):
    print(path.parent.parent, flush=True)
    time.sleep(600)
Path.rename = stop
write_atomically(Path(sys.argv[1]), b"half")
"""
# Each works in a folder until it is killed, and says where.
HOLD = {
    "scratch": """
from wsd.util.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]) / "out") as folder:
    (folder / "half").write_text("written")
    print(folder, flush=True)
    time.sleep(600)
""",
    "unfinished": """
from wsd.util.files import resumable_folder
with resumable_folder("a" * 64) as folder:
    (folder / "half").write_text("written")
    print(folder, flush=True)
    time.sleep(600)
""",
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WSD_CACHE", str(tmp_path))
    return tmp_path / "unfinished"


def age(path: Path, seconds: float) -> None:
    """Make a folder look as if nothing in it had changed for so long."""
    then = time.time() - seconds
    for place in [path, *path.rglob("*")]:
        os.utime(place, (then, then), follow_symlinks=False)


def hold(kind: str, folder: Path) -> tuple[subprocess.Popen, Path]:
    """Start a process that works in a temporary folder; return it and the folder's root."""
    program = "import sys, time\nfrom pathlib import Path\n" + HOLD[kind]
    process = subprocess.Popen(
        [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip()).parent


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("kind", ["scratch", "unfinished"])
def test_what_a_living_process_uses_stays_and_what_a_killed_one_left_goes(tmp_path, kind):
    process, root = hold(kind, tmp_path)
    clean = sweep if kind == "scratch" else sweep_unfinished
    try:
        age(root, 2 * UNFINISHED_SECONDS)
        assert clean(root.parent, time.time()) == []
        assert (root / "lock").is_file()
    finally:
        process.kill()
        process.communicate()
    assert root.is_dir()
    assert clean(root.parent, time.time()) == [root]
    assert not root.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["p.png", ".json", "ü" * 127, "link"])
def test_the_next_file_removes_what_a_killed_process_left_of_one(tmp_path, name):
    there = tmp_path / "elsewhere"
    there.mkdir()
    target = tmp_path / name
    if name == "link":
        # What is half written lies beside the file that the link leads to.
        target.symlink_to(there / "p.png")
        target = there / "p.png"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, tmp_path / name], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    try:
        assert left.parent == target.parent
        write_atomically(target.parent / "one", b"1")
        assert left.is_dir(), "its owner lives"
    finally:
        process.kill()
        process.communicate()
    assert left.is_dir()
    write_atomically(target.parent / "another", b"2")
    assert sorted(path.name for path in target.parent.iterdir() if path != there) == sorted(
        ["another", "one"]
    )


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, None])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    """Files and folders are written there as well, and nothing of them is left."""

    def refuse(*_given):
        raise NotImplementedError if number is None else OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    write_atomically(tmp_path / "p.png", b"whole")
    with write_folder_atomically(tmp_path / "out"):
        pass
    assert (tmp_path / "p.png").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "p.png"]


@pytest.mark.slow
def test_a_folder_that_may_be_written_and_not_listed():
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from wsd.util.files import write_atomically\n"
        "if os.geteuid() == 0:\n"
        "    os.setuid(65534)\n"
        "write_atomically(Path(sys.argv[1]), b'whole')\n"
    )
    # Others cannot pass through the folders of this test.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place = Path(folder, "place")
        place.mkdir()
        place.chmod(0o333)
        subprocess.run([sys.executable, "-c", program, place / "p.png"], check=True)
        assert os.listdir(place) == ["p.png"]  # noqa: PTH208


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGHUP"])
def test_a_process_that_is_asked_to_end_leaves_nothing(tmp_path, signal_name):
    program = (
        "import sys, time, click\n"
        "from pathlib import Path\n"
        "from wsd.cli.error_report import run_command\n"
        "from wsd.util.files import write_folder_atomically\n"
        "@click.command()\n"
        "@click.argument('out', type=Path)\n"
        "def work(out):\n"
        "    with write_folder_atomically(out):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(600)\n"
        "sys.exit(run_command(work, 'work'))\n"
    )
    number = getattr(signal, signal_name)
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert list(tmp_path.iterdir())
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said.startswith("error: stopped")
    assert list(tmp_path.iterdir()) == []


def test_young_folders_and_foreign_names_stay(tmp_path):
    young = tmp_path / ".out.wsd-abcdefgh"
    young.mkdir()
    foreign = [tmp_path / name for name in (".out.abcdefgh", "out.wsd-abcdefgh", ".git", "data")]
    for folder in foreign:
        (folder / "mine").mkdir(parents=True)
        age(folder, 2 * SCRATCH_SECONDS)
    assert sweep(tmp_path, time.time()) == []
    assert all(folder.is_dir() for folder in [young, *foreign])


def test_one_new_file_anywhere_keeps_a_folder(tmp_path):
    old = tmp_path / ".out.wsd-abcdefgh"
    (old / "content" / "deep").mkdir(parents=True)
    (old / "content" / "deep" / "shard").write_text("x")
    age(old, 2 * SCRATCH_SECONDS)
    os.utime(old / "content" / "deep" / "shard")
    assert sweep(tmp_path, time.time()) == []
    age(old, 2 * SCRATCH_SECONDS)
    assert sweep(tmp_path, time.time()) == [old]


def test_files_and_links_that_are_old_go_and_what_links_lead_to_stays(tmp_path):
    precious = tmp_path / "precious"
    (precious / "folder").mkdir(parents=True)
    file = tmp_path / ".report.json.wsd-abcdefgh"
    file.write_text("{")
    link = tmp_path / ".out.wsd-00000000"
    link.symlink_to(precious)
    for path in (file, link):
        os.utime(path, (0, 0), follow_symlinks=False)
    assert sweep(tmp_path, time.time()) == [link, file]
    assert (precious / "folder").is_dir()


def test_making_an_output_removes_what_earlier_ones_left(tmp_path):
    with scratch_folder(tmp_path / "out") as content:
        (content / "large").write_text("x" * 1000)
        left = tmp_path / ".other.wsd-abcdefgh"
        shutil.copytree(content.parent, left)
    age(left, 2 * SCRATCH_SECONDS)
    with write_folder_atomically(tmp_path / "out") as scratch:
        (scratch / "file").write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def fail(key: str) -> None:
    with resumable_folder(key) as folder:
        (folder / "shard").write_text("finished")
        raise OSError("full")


@pytest.mark.slow
def test_a_build_removes_what_another_left_a_week_ago(cache):
    for key in (KEY, "b" * 64):
        with pytest.raises(OSError, match="full"):
            fail(key)
    age(cache / ("b" * 24), UNFINISHED_SECONDS + 60)
    with resumable_folder("c" * 64):
        assert sorted(path.name[0] for path in cache.iterdir()) == [".", "a", "c"]
    with resumable_folder(KEY) as folder:
        assert (folder / "shard").read_text() == "finished"
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_a_clock_that_goes_backwards_removes_nothing(cache):
    with pytest.raises(OSError, match="full"):
        fail(KEY)
    assert sweep_unfinished(cache, 0.0) == []


def test_a_name_of_the_longest_allowed_length(tmp_path):
    for name in ("a" * 255, "ü" * 127):
        with write_folder_atomically(tmp_path / name) as scratch:
            (scratch / "file").touch()
        assert (tmp_path / name / "file").is_file()
