"""The key under which a compiled library is cached."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence

import torch

from wsd.compiler import tvm_compat
from wsd.compiler.library import architecture
from wsd.compiler.wasm.runtime import emcc_version, runtime_key
from wsd.models.registry import Family
from wsd.util.files import PACKAGE
from wsd.util.hashing import canonical_json, digest_tree, sha256_bytes

# What decides the library's bytes, besides the family and the tools.
_COMPILER_ROOMS = ("spec", "models", "frontend", "kernels", "compiler")


def toolchain() -> dict[str, str]:
    """Return the versions of the tools that decide the library's bytes."""
    packages = {name: importlib.metadata.version(name) for name in ("diffusers", "transformers")}
    return {
        "tvm": tvm_compat.version(),
        "emscripten": emcc_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        **packages,
    }


def library_key(family: Family, sizes: Sequence[tuple[int, int]], dtype: str) -> str:
    """Return the digest under which the library is cached."""
    sources = sorted(
        path
        for room in _COMPILER_ROOMS
        for pattern in ("*.py", "*.json")
        for path in (PACKAGE / room).rglob(pattern)
        if "checkpoints" not in path.parts
    )
    return sha256_bytes(
        canonical_json(
            {
                "architecture": architecture(family),
                "tile": family.tile,
                "sizes": [list(size) for size in sizes],
                "dtype": dtype,
                "sources": digest_tree(sources, PACKAGE),
                "runtime": runtime_key(),
                "toolchain": toolchain(),
            }
        )
    )
