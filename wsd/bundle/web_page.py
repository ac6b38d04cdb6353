"""Write the page and the npm package: bundled from TypeScript and tvmjs, or as a wheel has them."""

from __future__ import annotations

import shutil
from pathlib import Path

from wsd.bundle.npm import NODE_HINT, installed_packages, source_folder
from wsd.compiler.library import Library, find_tvmjs
from wsd.errors import ToolError
from wsd.supply_chain.material import Material, merge_materials
from wsd.supply_chain.materials import own_materials, page_materials
from wsd.supply_chain.notices import write_notices
from wsd.supply_chain.prebuilt_record import read_record
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.prebuilt import NPM_PACKAGE, PAGE, find_prebuilt, is_clone
from wsd.util.process import find_program, run


def check_page(tvm: str | None = None) -> None:
    """Refuse an installation of WSD that can write no page, before anything long begins.

    Args:
        tvm: version of the TVM that the page's libraries are compiled with; None if it is not
            known yet.

    Raises:
        ToolError: if WSD has neither the page's sources nor the built page, or the built page is
            damaged, or has the tvmjs of another TVM.
    """
    if is_clone():
        return
    find_prebuilt(PAGE)
    shipped = read_record().tvm
    if tvm not in (None, shipped):
        raise ToolError(
            f"the page of this wheel draws with libraries of TVM {shipped}, and not of TVM {tvm}",
            f"compile with TVM {shipped}, or build in a clone of the repository",
        )


def write_page(library: Library, out: Path) -> tuple[Material, ...]:
    """Write the page for a library: ``index.html``, ``assets/`` and what else is the same for all.

    In a clone of the repository it is bundled from its sources. A wheel has it.

    Args:
        library: what the page will run.
        out: where to write; the folder may exist.

    Returns:
        what the page is made of.

    Raises:
        ToolError: as :func:`build_page`, and as :func:`check_page`.
        UsageError: if the library was read from a folder without its page, in a clone.
    """
    if is_clone():
        build_page(out, find_tvmjs(library))
    else:
        check_page(library.toolchain.get("tvm", "of an unknown version"))
        shutil.copytree(find_prebuilt(PAGE), out, dirs_exist_ok=True)
    return page_materials()


def build_page(out: Path, tvmjs: Path) -> None:
    """Bundle the page into ``out``: ``index.html`` and ``assets/``.

    Args:
        out: where to write.
        tvmjs: folder of tvmjs's TypeScript sources (``wsd.compiler.tvm_compat.tvmjs_source``).

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
    """
    _bundle("build.mjs", out, tvmjs)


def build_developer_tools(out: Path, tvmjs: Path) -> None:
    """Bundle the developers' tools into ``out``: the folder ``driver``, which no bundle has.

    They are the page's client and worker, with measurements and calls of single stages.

    Args:
        out: where to write.
        tvmjs: folder of tvmjs's TypeScript sources (``wsd.compiler.tvm_compat.tvmjs_source``).

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
    """
    _bundle("developer.mjs", out, tvmjs)


def write_package(out: Path, tvmjs: Path | None) -> Path:
    """Write the npm package to a new folder, for ``npm pack`` and ``npm install``.

    Args:
        out: the folder.
        tvmjs: as :func:`build_package`; None for the package that is in the wheel.

    Returns:
        ``out``.

    Raises:
        UsageError: if ``out`` exists.
        ToolError: as :func:`build_package`, and as :func:`check_page`.
        FileError: if a file cannot be written.
    """
    check_absent(out)
    with explain_file_errors(out), write_folder_atomically(out) as scratch:
        if tvmjs is None:
            shutil.copytree(find_prebuilt(NPM_PACKAGE), scratch, dirs_exist_ok=True)
        else:
            build_package(scratch, tvmjs)
    return out


def build_package(out: Path, tvmjs: Path) -> None:
    """Make the npm package in ``out``: the pipeline without the page, for ``npm pack``.

    Args:
        out: where to write.
        tvmjs: folder of tvmjs's TypeScript sources (``wsd.compiler.tvm_compat.tvmjs_source``).

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
        BundleError: if the licence of something that the package holds is not found.
    """
    with installed_packages(source_folder("web/publish")):
        _bundle("package.mjs", out, tvmjs)
    write_notices(out, merge_materials([*page_materials(), *own_materials()]))


def _bundle(script: str, out: Path, tvmjs: Path) -> None:
    web = source_folder("web")
    with installed_packages(web):
        node = find_program("node", NODE_HINT)
        run([node, script, "--tvmjs", tvmjs, "--out", out.absolute()], cwd=web)
