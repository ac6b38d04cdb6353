"""What is missing on a machine, and the command that brings it there."""

import sys

import pytest

from tools import host_packages
from wsd.cli.doctor import examine
from wsd.runtime import chromium


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes this machine one of a platform, with some programs on PATH."""

    def become(system, *programs):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("WSD_CHROMIUM", raising=False)
        monkeypatch.setattr(host_packages, "APPLICATIONS", tmp_path / "Applications")
        monkeypatch.setattr(chromium, "_APPLICATIONS", (tmp_path / "Applications",))
        for name in programs:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)

    return become


CHROME = "Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


@pytest.mark.parametrize(
    ("system", "programs", "missing"),
    [
        ("linux", [], ["emscripten", "node-acorn", "chromium"]),
        ("linux", ["emcc", "chromium"], []),
        ("linux", ["emcc", "google-chrome"], []),
        ("linux", ["chromium"], ["emscripten", "node-acorn"]),
        ("linux", [CHROME], ["emscripten", "node-acorn", "chromium"]),
        ("darwin", [], ["emscripten", "google-chrome"]),
        ("darwin", [CHROME], ["emscripten"]),
        ("darwin", ["emcc", "chromium"], []),
    ],
)
def test_what_is_missing(machine, system, programs, missing):
    machine(system, *programs)
    assert host_packages.missing_packages() == missing


@pytest.mark.parametrize(
    ("system", "programs", "missing"),
    [
        ("linux", ["emcc", "chromium"], ["firefox-esr"]),
        ("linux", ["emcc", "chromium", "firefox"], []),
        ("linux", ["firefox-esr", "chromium"], ["emscripten", "node-acorn"]),
        ("darwin", ["emcc", CHROME], ["firefox"]),
    ],
)
def test_firefox_is_asked_for_by_name_alone(machine, system, programs, missing):
    machine(system, *programs)
    assert host_packages.missing_packages((*host_packages.USUAL, "firefox")) == missing


def test_the_command_is_that_of_the_platform(machine):
    machine("linux")
    assert host_packages.describe_command(["a"]).startswith("sudo apt-get install ")
    machine("darwin")
    assert host_packages.describe_command(["a", "b"]) == "brew install a b"


def test_chrome_of_a_mac_is_found(machine, tmp_path):
    machine("darwin", CHROME)
    assert chromium.find_chromium() == str(tmp_path / CHROME)


def test_the_doctor_names_what_a_mac_takes(machine):
    machine("darwin")
    hints = {check.name: check.hint for check in examine() if not check.good}
    assert hints["emscripten"] == "brew install emscripten"
    assert hints["node"] == "brew install node"
    assert hints["chromium"].startswith("brew install --cask google-chrome")
    machine("linux")
    hints = {check.name: check.hint for check in examine() if not check.good}
    assert "apt-get install emscripten" in hints["emscripten"]
