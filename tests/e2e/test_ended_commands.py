"""A command that is ended while its browser runs, or while TVM compiles: nothing of it stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from timing import at_most

PROGRAM = """
import sys, time
from pathlib import Path
import click
from wsd.cli.error_report import run_command
from wsd.runtime.chromium import open_page
from wsd.runtime.server import served_files

@click.command()
@click.argument("folder", type=Path)
def draw(folder):
    with served_files(folder) as address, open_page(address) as page:
        page.evaluate("1 + 1")
        print("ready", flush=True)
        page.evaluate("new Promise(() => {})")

sys.exit(run_command(draw, "draw"))
"""


def find_processes(folder):
    """Return the processes whose folder for temporary files is in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}".encode() in place.read_bytes():
                found.append((place.parent / "cmdline").read_text()[:80])
        except OSError:
            continue
    return found


def wait_until_gone(folder, seconds):
    end = time.monotonic() + seconds
    while (found := find_processes(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


@pytest.fixture
def temporary():
    """Return a folder with a short path, in which Chromium can make its socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.full
@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive), signal.SIGKILL, signal.SIGINT],
    ids=str,
)
def test_nothing_stays(temporary, tmp_path, number):
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<title>x</title>")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, page],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert len(find_processes(temporary)) > 2
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert wait_until_gone(temporary, 30) == []
    if number == signal.SIGKILL:
        # The next command removes the folder for temporary files.
        assert process.returncode == -number
        subprocess.run(
            [sys.executable, "-m", "wsd", "models"], check=True, capture_output=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )  # fmt: skip
    else:
        assert process.returncode == 128 + number
        assert "Traceback" not in said
        assert said.splitlines()[-2].startswith("error: ")
    assert list(temporary.iterdir()) == []


@pytest.mark.exhaustive
@pytest.mark.timed
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_code_generation_is_ended(temporary, tmp_path, number):
    """It is one call of C++, which takes half a minute for this model and minutes for others."""
    cache, out = tmp_path / "cache", tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "wsd", "-v", "compile", "--model", "tiny-sd15", "--no-database",
         "--prompt-chunks", "1", "--out", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary), "WSD_CACHE": str(cache)},
    )  # fmt: skip
    assert process.stderr is not None
    assert any("pass schedule:" in line for line in process.stderr)
    time.sleep(3)
    process.send_signal(number)
    with at_most(20, time.monotonic):
        _, said = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert said.splitlines()[-2].startswith("error: ")
    assert find_processes(temporary) == []
    assert list(temporary.iterdir()) == []
    assert not out.exists()
    assert [path.name for path in cache.rglob("*") if path.suffix != ".lock"] == ["libraries"]
