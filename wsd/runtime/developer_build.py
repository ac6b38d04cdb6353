"""Find the developers' build, which ``wsd bench`` and ``wsd parity`` serve beside a bundle.

A bundle has the page and nothing that times kernels or calls single stages. Those are built apart
(``web/developer.mjs``) and served beside the bundle, under addresses that no bundle has: from the
sources in a clone of the repository, where the build is kept in the cache, or as a wheel has them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from wsd.bundle.web_page import build_developer_tools
from wsd.errors import ToolError
from wsd.spec.manifest import Manifest
from wsd.supply_chain.prebuilt_record import read_record
from wsd.util.files import REPOSITORY, cache_folder, write_once
from wsd.util.hashing import canonical_json, digest_files, sha256_bytes
from wsd.util.prebuilt import DEVELOPER, find_prebuilt, is_clone

# The client whose worker also calls single stages.
STAGE_CLIENT = "driver/client.js"
# What the build depends on beside the sources of the page and of tvmjs.
_BUILD_FILES = ("developer.mjs", "page_bundler.mjs", "bundler.mjs", "package-lock.json")
# Makes scripts with source maps, for tests that count which lines run.
_COVERAGE = "WSD_COVERAGE"


def find_developer_files(bundle: Path, manifest: Manifest) -> Mapping[str, Path]:
    """Return the files to serve beside a bundle, so that its stages can be called one by one.

    Args:
        bundle: a bundle's folder.
        manifest: of the model that is loaded.

    Returns:
        name in the address → file; nothing for a bundle of an earlier version, which has its own.

    Raises:
        ToolError: if the model's library is of another TVM than the tvmjs that is here, or the
            build fails.
    """
    check_developer_tvm(bundle, manifest)
    return {} if _has_own_build(bundle) else find_developer_build()


def check_developer_tvm(bundle: Path, manifest: Manifest) -> None:
    """Refuse a bundle that :func:`find_developer_files` has no files for; nothing is built.

    Args:
        bundle: a bundle's folder.
        manifest: of the model that is loaded.

    Raises:
        ToolError: if the model's library is of another TVM than the tvmjs that is here.
    """
    if _has_own_build(bundle):
        return
    here = _find_tvm()
    compiled = manifest.toolchain.get("tvm", here)
    if compiled != here:
        raise ToolError(
            f"{bundle} was compiled with TVM {compiled}, and tvmjs is here of TVM {here}",
            f"install WSD with TVM {compiled}; wsd render draws with the bundle's own page",
        )


def _has_own_build(bundle: Path) -> bool:
    """Tell whether a bundle is of an earlier version, whose page has what single stages need."""
    return (bundle / STAGE_CLIENT).is_file()


def _find_tvm() -> str:
    """Return the version of the TVM whose tvmjs is in the developers' build."""
    if not is_clone():
        return read_record().tvm
    # TVM takes a second to import, and a wheel needs none.
    from wsd.compiler.tvm_compat import version

    return version()


def find_developer_build() -> Mapping[str, Path]:
    """Return the developers' build: that of a wheel, or one of the clone's sources.

    Returns:
        name in the address, such as ``driver/client.js`` → file.

    Raises:
        ToolError: if the build fails, or the wheel's is damaged.
    """
    return _find_build(os.environ.get(_COVERAGE) is not None)


@functools.cache
def _find_build(coverage: bool) -> Mapping[str, Path]:
    if not is_clone():
        return _list_scripts(find_prebuilt(DEVELOPER))
    from wsd.compiler.tvm_compat import tvmjs_source

    tvmjs = tvmjs_source()
    folder = cache_folder() / "developer" / _digest_sources(tvmjs, coverage)
    write_once(folder, lambda scratch: build_developer_tools(scratch, tvmjs))
    return _list_scripts(folder)


def _list_scripts(folder: Path) -> Mapping[str, Path]:
    return {f"driver/{path.name}": path for path in sorted((folder / "driver").glob("*.js"))}


def _digest_sources(tvmjs: Path, coverage: bool) -> str:
    """Return a digest of everything that the build depends on."""
    files = [*_sources(REPOSITORY / "web" / "src"), *_sources(tvmjs)]
    files += [REPOSITORY / "web" / name for name in _BUILD_FILES]
    digests = [found.sha256 for found in digest_files(files)]
    names = [path.name for path in files]
    return sha256_bytes(canonical_json([coverage, names, digests]))


def _sources(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.suffix in (".ts", ".wgsl"))
