"""Build the wheel that needs no repository: `python -m tools.build_wheel FOLDER`.

A wheel that pip makes of the repository has no page: its sources are TypeScript, and bundling them
takes Node.js and the installed TVM. So the page, the npm package and the object files of TVM's
runtime are built first, in a copy of the package, and setuptools makes the wheel of that copy. Two
wheels of the same sources and tools are the same bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from wsd.bundle.web_page import build_developer_tools, build_package, build_page
from wsd.compiler.tvm_compat import tvmjs_source, version
from wsd.compiler.wasm.runtime import runtime_objects
from wsd.errors import WsdError
from wsd.supply_chain.material import merge_materials
from wsd.supply_chain.materials import compiler_materials, page_materials
from wsd.supply_chain.notices import write_notices
from wsd.supply_chain.own_source import digest_sources, find_commit, list_sources
from wsd.supply_chain.prebuilt_record import PrebuiltRecord, write_record
from wsd.supply_chain.python_packages import python_materials
from wsd.util.contents import write_contents
from wsd.util.files import PACKAGE, REPOSITORY
from wsd.util.hashing import sha256_file
from wsd.util.prebuilt import DEVELOPER, FOLDER, NPM_PACKAGE, PAGE, REPOSITORY_FILES, RUNTIME
from wsd.util.process import run

# What setuptools reads besides the package.
_PROJECT_FILES = ("LICENSE", "README.md", "pyproject.toml")
# The time of every file in the wheel: the earliest that a ZIP archive can hold.
_TIME = "315532800"


def build_wheel(out: Path) -> Path:
    """Build the page and what else a wheel has, and the wheel of all.

    Args:
        out: folder to write to; it is made if it is missing.

    Returns:
        the wheel's path.

    Raises:
        ToolError: if Node.js, Emscripten or setuptools is missing or fails.
        BundleError: if the licence of something that the wheel holds is not found.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        _copy_package(tree)
        write_prebuilt(tree / FOLDER.relative_to(REPOSITORY), runtime_objects())
        return pack_wheel(tree, out)


def _copy_package(tree: Path) -> None:
    package = [path for path in list_sources() if path.is_relative_to(PACKAGE)]
    for path in (*package, *(REPOSITORY / name for name in _PROJECT_FILES)):
        copy = tree / path.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def write_prebuilt(folder: Path, objects: list[Path]) -> None:
    """Build what a wheel has in place of the repository (:mod:`wsd.util.prebuilt`).

    Args:
        folder: a new one, which becomes ``wsd/prebuilt`` of the wheel.
        objects: the runtime's object files, all in one folder of the cache.

    Raises:
        ToolError: if Node.js is missing or the bundler refuses the sources.
        BundleError: if the licence of something that the folder holds is not found.
    """
    build_page(folder / PAGE, tvmjs_source())
    build_package(folder / NPM_PACKAGE, tvmjs_source())
    build_developer_tools(folder / DEVELOPER, tvmjs_source())
    for cached in {path.parent for path in objects}:
        shutil.copytree(cached, folder / RUNTIME / cached.name)
    record_prebuilt(folder)


def record_prebuilt(folder: Path) -> None:
    """Write what the built parts of a wheel were built from, their licences and their digests.

    Args:
        folder: where the parts are.

    Raises:
        BundleError: if the licence of something that the folder holds is not found.
    """
    for name in REPOSITORY_FILES:
        copy = folder / "repository" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, copy)
    record = _make_record()
    write_record(record, folder)
    write_notices(folder, merge_materials([*record.page, *record.runtime]))
    write_contents(folder)


def _make_record() -> PrebuiltRecord:
    tvmjs = [material for material in python_materials() if material.shipped]
    sources = [path for path in list_sources() if not path.is_relative_to(PACKAGE)]
    return PrebuiltRecord(
        commit=find_commit(),
        digest=digest_sources(),
        sources={path.relative_to(REPOSITORY).as_posix(): sha256_file(path) for path in sources},
        tvm=version(),
        page=merge_materials([*page_materials(), *tvmjs]),
        # TVM, Emscripten and its libraries.
        runtime=merge_materials(one for one in compiler_materials() if one.shipped),
    )


def pack_wheel(tree: Path, out: Path) -> Path:
    """Make a wheel of a copy of the repository.

    Args:
        tree: holds ``pyproject.toml`` and the package, to which temporary folders are added.
        out: folder to write to; it is made if it is missing.

    Returns:
        the wheel's path.

    Raises:
        ToolError: if setuptools is missing or fails.
    """
    # Permissions of files are in the wheel, and those that setuptools writes follow the umask.
    former = os.umask(0o022)
    try:
        for path in (tree, *tree.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        with tempfile.TemporaryDirectory() as scratch:
            alone = ("--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir")
            run(
                [sys.executable, "-m", "pip", "wheel", *alone, "--wheel-dir", scratch, tree],
                env={"SOURCE_DATE_EPOCH": _TIME},
                hint="pip install 'setuptools>=77'",
            )
            (made,) = Path(scratch).iterdir()
            out.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copyfile(made, out / made.name))
    finally:
        os.umask(former)


def main() -> int:
    """Read the command line, build, and print the wheel's path; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the wheel goes")
    try:
        print(build_wheel(parser.parse_args().folder))
    except WsdError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
