"""Compile TVM's WebAssembly runtime to object files, once for each TVM and Emscripten.

The sources are those of the installed TVM. Parts that diffusion models never call are not
compiled: sorting, remote procedure calls and the serving of language models. ``lm_support`` is
compiled, because tvmjs looks its functions up when it starts.
"""

from __future__ import annotations

import logging
import re
import shutil
from functools import cache
from pathlib import Path

from wsd.compiler.tvm_compat.runtime_sources import wasm_sources
from wsd.compiler.tvm_compat.version import version
from wsd.util.cache_key import CacheKey, explain_miss, write_key
from wsd.util.code_digest import digest_code, digest_data
from wsd.util.files import PACKAGE, cache_folder, write_once
from wsd.util.hashing import sha256_bytes
from wsd.util.process import find_program, run

EMCC_HINT = "install Emscripten (Debian: apt-get install emscripten), or run: wsd doctor"

_LOG = logging.getLogger(__name__)

_UNITS = ("wasm_runtime", "tvmjs_support", "webgpu_runtime")
_LEFT_OUT = re.compile(
    r'#include "[^"]*/('
    r"contrib/sort/|rpc/|testing/testing\.cc|ffi/testing\.cc"
    r"|vm/(attn_backend|kv_state|paged_kv_cache|rnn_state)\.cc)"
)
_FLAGS = ("-O2", "-std=c++17", "-Wno-ignored-attributes", "-Wno-everything")

# Debian's Emscripten finds its JavaScript parser only with this variable.
ENVIRONMENT = {"NODE_PATH": "/usr/share/nodejs"}


def emcc() -> str:
    """Return the path of ``emcc``.

    Raises:
        ToolError: if Emscripten is not installed.
    """
    return find_program("emcc", EMCC_HINT)


def emcc_version() -> str:
    """Return Emscripten's version, such as ``3.1.6``."""
    return _program_version(emcc())


@cache
def _program_version(program: str) -> str:
    first = run([program, "--version"], env=ENVIRONMENT).splitlines()[0]
    found = re.search(r"\d+\.\d+\.\d+", first)
    return found.group() if found else first


def _runtime_unit(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not _LEFT_OUT.search(line)) + "\n"


def _support_unit(text: str) -> str:
    """Keep the four C functions that tvmjs calls; the rest of the file is an RPC session."""
    head = text[: text.index("\nnamespace tvm {")]
    return _runtime_unit(head)


def runtime_units() -> dict[str, str]:
    """Return the C++ text of each translation unit by name."""
    sources = wasm_sources()
    folder = sources.root / "web" / "emcc"
    text = {unit: (folder / f"{unit}.cc").read_text(encoding="utf-8") for unit in _UNITS}
    return {
        "wasm_runtime": _runtime_unit(text["wasm_runtime"]) + sources.definitions,
        "tvmjs_support": _support_unit(text["tvmjs_support"]),
        "webgpu_runtime": text["webgpu_runtime"],
    }


def runtime_key(package: Path = PACKAGE) -> CacheKey:
    """Return everything that the runtime objects depend on.

    That is TVM's and Emscripten's versions, the text of the translation units, WSD's headers and
    the code that compiles them.

    Args:
        package: folder with the sources of ``wsd``.
    """
    return CacheKey(
        {
            "tvm": version(),
            "emscripten": emcc_version(),
            "units": {name: sha256_bytes(text.encode()) for name, text in runtime_units().items()},
            "sources": digest_code(__name__, package=package)
            | digest_data(package / "compiler" / "wasm" / "shim", package),
        }
    )


def runtime_objects() -> list[Path]:
    """Return the runtime's object files, compiling them if the cache has none.

    Raises:
        ToolError: if Emscripten is missing or refuses the sources.
    """
    key = runtime_key()
    folder = cache_folder() / "runtime" / key.digest[:24]

    def write(scratch: Path) -> None:
        _LOG.info("runtime %s: not cached; %s", folder.name, explain_miss(key, folder.parent))
        _compile_units(scratch)
        write_key(key, scratch)

    write_once(folder, write)
    return [folder / f"{unit}.o" for unit in _UNITS]


def _compile_units(folder: Path) -> None:
    sources = wasm_sources()
    tree = folder / "tree"
    for name, folder_there in sources.layout.items():
        shutil.copytree(folder_there, tree / name)
    place = tree / "web" / "emcc"
    place.mkdir(parents=True)
    includes = [flag for path in (tree, *sources.includes) for flag in ("-I", str(path))]
    # Error messages name their source files; keep this machine's paths out of them.
    includes += [f"-fmacro-prefix-map={path}=include" for path in sources.includes]
    includes += [f"-fmacro-prefix-map={tree}=tvm"]
    defines = [f"-D{define}" for define in sources.defines]
    for unit, text in runtime_units().items():
        (place / f"{unit}.cc").write_text(text, encoding="utf-8")
        run(
            [
                emcc(),
                *_FLAGS,
                *defines,
                *includes,
                "-c",
                place / f"{unit}.cc",
                "-o",
                folder / f"{unit}.o",
            ],
            env=ENVIRONMENT,
        )
    shutil.rmtree(tree)
