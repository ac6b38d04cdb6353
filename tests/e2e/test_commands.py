"""Every command: the README's as a reader types them, the others on a model of few kernels."""

import os
import re
import shlex
import subprocess
import sys
import urllib.request

import pytest
from PIL import Image

from commands import wsd
from speck import SPECK, TWIN
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.util.files import REPOSITORY

WSD = [sys.executable, "-m", "wsd"]
# Real models' weights are not here, nor what is made of them.
ABSENT = re.compile(r"sdxl|dist-xl")


def block():
    """Return the commands of the README's section on use."""
    section = (REPOSITORY / "README.md").read_text().partition("\n## Use\n")[2]
    lines = re.search(r"```sh\n(.*?)```", section, re.S).group(1).splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if not ABSENT.search(line)]
    assert {words[1] for words in commands} >= {"build", "verify", "serve", "render", "reference"}
    return commands


def serve(words, folder):
    """Start a server on a free port, and fetch what it promises."""
    with subprocess.Popen(
        [*WSD, *words, "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
            with urllib.request.urlopen(address) as response:
                assert b"<title>" in response.read()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.mark.exhaustive
@pytest.mark.parametrize("words", block(), ids=lambda words: words[1])
def test_the_readmes_commands(words, folder):
    _, *arguments = words
    if arguments[0] == "serve":
        serve(arguments, folder)
        return
    fewer = ["--steps", "2"] if arguments[0] in ("render", "reference") else []
    done = subprocess.run(
        [*WSD, *arguments, *fewer], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if arguments[0] in ("render", "reference"):
        with Image.open(folder / arguments[-1]) as picture:
            assert picture.size == (128, 128)


def doctor(**environment):
    return subprocess.run(
        [*WSD, "doctor"], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.full
def test_doctor_finds_everything_here():
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert "TVM" in done.stdout
    assert "swiftshader" in done.stdout


@pytest.mark.exhaustive
def test_doctor_says_what_is_missing(tmp_path):
    done = doctor(PATH=str(tmp_path))
    assert done.returncode == 1
    assert "BAD  emscripten" in done.stdout
    assert "apt-get install chromium" in done.stdout


def test_the_reference_draws(tmp_path):
    out = tmp_path / "reference.png"
    code, lines = wsd("reference", "--model", SPECK.name, "--random-weights", 0, "--prompt", "red",
                      "--steps", 1, "--out", out)  # fmt: skip
    assert (code, lines) == (0, [str(out)])
    with Image.open(out) as picture:
        assert picture.size == SPECK.sizes[0]


@pytest.mark.exhaustive
def test_two_models_of_one_library(tmp_path):
    """As where no compiler is: compile once, build twice, and one page for both."""
    library, both = tmp_path / "library", tmp_path / "both"
    assert wsd("compile", "--model", SPECK.name, "--out", library)[0] == 0
    expected = tmp_path / "expected.json"
    weights = choose_checkpoint(SPECK, None, 0)
    made = wsd("expect", "--model", SPECK.name, "--weights", weights, "--out", expected)
    assert made == (0, [str(expected)])
    folders = [tmp_path / family.name for family in (SPECK, TWIN)]
    for seed, folder in enumerate(folders):
        code, _ = wsd("build", "--model", folder.name, "--library", library,
                      "--random-weights", seed, "--out", folder)  # fmt: skip
        assert code == 0
    assert wsd("join", *folders, "--out", both) == (0, [str(both)])
    assert wsd("verify", both) == (0, [f"{both}: good"])
    assert {path.name for path in (both / "models").iterdir() if path.is_dir()} >= {"speck", "twin"}
