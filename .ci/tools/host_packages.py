"""Programs that pip cannot install, and the Debian packages that have them.

Standard library only: the nox sessions import this before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

# program → Debian packages that bring it
PROGRAMS: dict[str, tuple[str, ...]] = {
    "emcc": ("emscripten", "node-acorn"),
    "chromium": ("chromium",),
}
# The page's bundler uses import.meta.dirname.
MIN_NODE = (20, 11)


def missing_packages() -> list[str]:
    """Return the Debian packages for programs that are not on ``PATH``."""
    return [
        package
        for program, packages in PROGRAMS.items()
        if shutil.which(program) is None
        for package in packages
    ]


def install_command(packages: list[str]) -> list[str]:
    """Return the command that installs Debian packages."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


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
