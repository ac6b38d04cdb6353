"""Programs that pip cannot install, and the packages of Debian and of Homebrew that have them.

Standard library only: the nox sessions import this before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# program → Debian packages that bring it
PROGRAMS: dict[str, tuple[str, ...]] = {
    "emcc": ("emscripten", "node-acorn"),
    "chromium": ("chromium",),
    "firefox": ("firefox-esr",),
}
# The same on macOS.
HOMEBREW: dict[str, tuple[str, ...]] = {
    "emcc": ("emscripten",),
    "chromium": ("google-chrome",),
    "firefox": ("firefox",),
}
# Programs that every session needs which compiles or opens a browser.
USUAL = ("emcc", "chromium")
# What wsd/runtime/chromium.py takes too; macOS has browsers in this folder and not on PATH.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_BROWSERS = ("Google Chrome.app", "Chromium.app")
# Names of Firefox, which only `nox -s full` opens.
FIREFOX = ("firefox-esr", "firefox")
APPLICATIONS = Path("/Applications")
# The page's bundler uses import.meta.dirname.
MIN_NODE = (20, 11)


def is_macos() -> bool:
    """Tell whether this is a Mac."""
    return sys.platform == "darwin"


def missing_packages(programs: Sequence[str] = USUAL) -> list[str]:
    """Return the packages for programs that are not here: of Homebrew on a Mac, else of Debian."""
    packages = HOMEBREW if is_macos() else PROGRAMS
    missing = [program for program in programs if not _is_here(program)]
    return [package for program in missing for package in packages[program]]


def _is_here(program: str) -> bool:
    if program == "firefox":
        return any(map(shutil.which, FIREFOX))
    return _has_browser() if program == "chromium" else shutil.which(program) is not None


def _has_browser() -> bool:
    if os.environ.get("WSD_CHROMIUM") or any(map(shutil.which, BROWSERS)):
        return True
    return is_macos() and any((APPLICATIONS / name).exists() for name in MACOS_BROWSERS)


def install_command(packages: list[str]) -> list[str]:
    """Return the command that installs packages; on Debian it is for root."""
    if is_macos():
        return ["brew", "install", *packages]
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


def describe_command(packages: list[str]) -> str:
    """Return the command that a person runs to install packages."""
    words = install_command(packages)
    return " ".join(words if is_macos() else ["sudo", *words])


def can_install() -> bool:
    """Tell whether this process may install Debian packages."""
    return os.geteuid() == 0 and Path("/usr/bin/apt-get").exists()


def node_is_recent() -> bool:
    """Tell whether ``node`` and ``npm`` are there and recent enough for the page's tools."""
    if shutil.which("npm") is None or (node := shutil.which("node")) is None:
        return False
    # wsd.util.process cannot be imported: nox calls this before anything is installed.
    command = [node, "--version"]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout
    numbers = tuple(int(number) for number in re.findall(r"\d+", said)[:2])
    return numbers >= MIN_NODE
