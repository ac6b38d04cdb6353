"""Build the page and the npm package: TypeScript bundled with tvmjs."""

from __future__ import annotations

from pathlib import Path

from wsd.bundle.npm import NODE_HINT, installed_packages, source_folder
from wsd.supply_chain.material import merge_materials
from wsd.supply_chain.materials import own_materials, page_materials
from wsd.supply_chain.notices import write_notices
from wsd.util.process import find_program, run


def build_page(out: Path, tvmjs: Path) -> None:
    """Bundle the page into ``out``: ``index.html`` and ``assets/``.

    Args:
        out: where to write.
        tvmjs: folder of tvmjs's TypeScript sources (``wsd.compiler.tvm_compat.tvmjs_source``).

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
    """
    _bundle("build.mjs", out, tvmjs)


def build_package(out: Path, tvmjs: Path) -> None:
    """Make the npm package in ``out``: the pipeline without the page, for ``npm pack``.

    Args:
        out: where to write.
        tvmjs: folder of tvmjs's TypeScript sources (``wsd.compiler.tvm_compat.tvmjs_source``).

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
        BundleError: if the licence of something that the package holds is not found.
    """
    _bundle("package.mjs", out, tvmjs)
    write_notices(out, merge_materials([*page_materials(), *own_materials()]))


def _bundle(script: str, out: Path, tvmjs: Path) -> None:
    web = source_folder("web")
    with installed_packages(web):
        node = find_program("node", NODE_HINT)
        run([node, script, "--tvmjs", tvmjs, "--out", out.absolute()], cwd=web)
