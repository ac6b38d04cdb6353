"""The page and the npm package: TypeScript bundled with tvmjs."""

from __future__ import annotations

from pathlib import Path

from wsd.bundle.npm import NODE_HINT, install_packages, source_folder
from wsd.util.process import find_program, run


def build_page(out: Path) -> None:
    """Bundle the page into ``out``: ``index.html`` and ``assets/``.

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
    """
    _bundle("build.mjs", out)


def build_package(out: Path) -> None:
    """Make the npm package in ``out``: the pipeline without the page, for ``npm pack``.

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
    """
    _bundle("package.mjs", out)


def _bundle(script: str, out: Path) -> None:
    # Here, because only this needs TVM: a library may come with its page.
    from wsd.compiler import tvm_compat

    web = source_folder("web")
    install_packages(web)
    node = find_program("node", NODE_HINT)
    run([node, script, "--tvmjs", tvm_compat.tvmjs_source(), "--out", out.absolute()], cwd=web)
