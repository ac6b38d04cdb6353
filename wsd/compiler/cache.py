"""The cache of compiled libraries, and the key under which a library is cached."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from wsd.compiler import tvm_compat
from wsd.compiler.library import Library, architecture, read_library
from wsd.compiler.schedule_database import ChosenDatabases, default_databases
from wsd.compiler.wasm.runtime import emcc_version, runtime_key
from wsd.models.family import Family
from wsd.spec.tensor import Size
from wsd.util.cache_key import CacheKey, explain_miss
from wsd.util.code_digest import digest_code, digest_data
from wsd.util.contents import find_damage
from wsd.util.files import PACKAGE, cache_folder

_LOG = logging.getLogger(__name__)
# Rooms whose data files decide the library's bytes: WGSL templates and the tuning table.
_DATA_ROOMS = ("kernels", "compiler")


def toolchain(databases: ChosenDatabases | None = None) -> dict[str, str]:
    """Return the versions of the tools that decide the library's bytes.

    Args:
        databases: tuned schedules, of which it has the SHA-256 as ``schedule_database``; None or
            none of them for a library that is scheduled by the rules alone.
    """
    packages = {name: importlib.metadata.version(name) for name in ("diffusers", "transformers")}
    return {
        "tvm": tvm_compat.version(),
        "emscripten": emcc_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        **packages,
        **({"schedule_database": databases.digest} if databases and databases.digest else {}),
    }


def library_key(
    family: Family,
    sizes: Sequence[Size],
    dtype: str,
    package: Path = PACKAGE,
    databases: ChosenDatabases | None = None,
) -> CacheKey:
    """Return everything that a library depends on.

    That is what the compiler is given (architecture, sizes, dtype, tile, chunks, deep cache,
    largest whole image, parts, tuned schedules), the tools, the code that transforms it (what the
    driver and the family's architecture import) and its data files.
    Names, weights and defaults of a family are left out: families of one architecture share a
    library.

    Args:
        family: the model family.
        sizes: (width, height) of the pictures in pixels.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        package: folder with the sources of ``wsd``.
        databases: tuned schedules; None for those that come with the family.
    """
    if databases is None:
        databases = default_databases(family, dtype, tvm_compat.version())
    code = digest_code("wsd.compiler.driver", type(family.architecture).__module__, package=package)
    for room in _DATA_ROOMS:
        code |= digest_data(package / room, package)
    if dtype == "w4a16":
        code |= digest_data(package / "models" / dtype, package)
    return CacheKey(
        {
            "architecture": architecture(family),
            "sizes": [list(size) for size in sizes],
            "dtype": dtype,
            "tile": family.tile,
            "prompt_chunks": family.prompt_chunks,
            **({"deep_cache": True} if family.deep_cache else {}),
            "whole_bytes": family.whole_bytes,
            "parts": [part.id for component in family.components for part in component.parts],
            "toolchain": toolchain(databases),
            "runtime": runtime_key().digest,
            "sources": code,
        }
    )


def library_folder(key: CacheKey) -> Path:
    """Return the folder of the cache in which the library of a key is, or will be."""
    return cache_folder() / "libraries" / key.digest[:24]


def find_cached(folder: Path) -> Library | None:
    """Return a library of the cache, or None if it is missing or damaged.

    Args:
        folder: of :func:`library_folder`.
    """
    return None if find_damage(folder, folder.name) else read_library(folder)


def log_lookup(key: CacheKey, library: Library | None) -> None:
    """Log whether the cache has the library of a key; if not, say in what others differ."""
    if not _LOG.isEnabledFor(logging.INFO):
        return
    name = key.digest[:24]
    if library is not None:
        _LOG.info("library %s: cached", name)
    else:
        reason = explain_miss(key, library_folder(key).parent)
        _LOG.info("library %s: not cached; %s", name, reason)
