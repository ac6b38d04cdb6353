"""Link model objects and the runtime into one WebAssembly module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsd.compiler.wasm.runtime import ENVIRONMENT, emcc, runtime_objects
from wsd.util.process import run

# -O1: optimising the whole module once more takes 12 s and makes the download 5 % smaller.
# Memory starts at 64 MiB and grows: weights pass through it one shard at a time.
_FLAGS = (
    "-O1",
    "-Wl,--strip-debug",
    "--no-entry",
    "-sWASM_BIGINT=1",
    "-sSTANDALONE_WASM=1",
    "-sALLOW_MEMORY_GROWTH=1",
    "-sINITIAL_MEMORY=67108864",
    "-sMAXIMUM_MEMORY=4294967296",
    "-sERROR_ON_UNDEFINED_SYMBOLS=0",
)


def link_library(objects: Sequence[Path], output: Path) -> None:
    """Link objects with the runtime into one WebAssembly module.

    Undefined symbols become imports, which the page's JavaScript must provide; a test compares the
    two lists.

    Args:
        objects: WebAssembly object files of a model.
        output: the ``.wasm`` file to write.

    Raises:
        ToolError: if Emscripten fails.
    """
    run([emcc(), *_FLAGS, *runtime_objects(), *objects, "-o", output], env=ENVIRONMENT)
