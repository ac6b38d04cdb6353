"""Compile TVM's WebAssembly runtime to object files, once for each TVM and Emscripten.

The sources are those of the installed TVM. Parts that diffusion models never call are not
compiled: sorting, remote procedure calls and the serving of language models. ``lm_support`` is
compiled, because tvmjs looks its functions up when it starts.

A wheel of WSD has the object files of one TVM and one Emscripten. They are taken where both are
installed.
"""

from __future__ import annotations

import logging
import re
import shutil
from functools import cache
from pathlib import Path

from wsd.compiler.tvm_compat.runtime_sources import wasm_sources
from wsd.compiler.tvm_compat.version import version
from wsd.supply_chain.material import Material
from wsd.supply_chain.prebuilt_record import read_record
from wsd.util.cache_key import CacheKey, explain_miss, write_key
from wsd.util.code_digest import digest_code, digest_data
from wsd.util.files import PACKAGE, cache_folder, is_whole, write_once
from wsd.util.hashing import sha256_bytes
from wsd.util.prebuilt import FOLDER, RUNTIME, is_prebuilt
from wsd.util.process import find_program, run

EMCC_HINT = (
    "install Emscripten (Debian: apt-get install emscripten), or build with --library and a folder "
    "that wsd compile wrote elsewhere"
)

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
    """Return the runtime's object files, compiling them if neither wheel nor cache has them.

    Raises:
        ToolError: if Emscripten is missing or refuses the sources.
    """
    key = runtime_key()
    shipped = _find_shipped(key)
    folder = shipped or cache_folder() / RUNTIME / key.digest[:24]

    def write(scratch: Path) -> None:
        _LOG.info("runtime %s: not cached; %s", folder.name, explain_miss(key, folder.parent))
        _compile_units(scratch)
        write_key(key, scratch)

    if shipped is None:
        write_once(folder, write)
    return [folder / f"{unit}.o" for unit in _UNITS]


def _find_shipped(key: CacheKey) -> Path | None:
    """Return the folder of a wheel's object files, if they are whole and of this key."""
    if not is_prebuilt():
        return None
    folder = FOLDER / RUNTIME / key.digest[:24]
    return folder if is_whole(folder) else None


def runtime_materials() -> tuple[Material, ...]:
    """Return what a wheel's object files were compiled from; nothing if they are not taken.

    The Emscripten here has the version of the one that compiled them, and may be another package.
    """
    return () if _find_shipped(runtime_key()) is None else read_record().runtime


def _compile_units(folder: Path) -> None:
    """Compile the translation units in a folder, by paths that are relative to it.

    Strings of the object files name source files. Not all of them follow ``-fmacro-prefix-map``:
    Clang 14 spells out a lambda's file in ``__PRETTY_FUNCTION__``. So it is given no other path.
    """
    sources = wasm_sources()
    tree = folder / "tvm"
    for name, folder_there in sources.layout.items():
        shutil.copytree(folder_there, tree / name)
    place = tree / "web" / "emcc"
    place.mkdir(parents=True)
    includes = [tree]
    for number, path in enumerate(sources.includes):
        includes.append(tree / f"include-{number}")
        includes[-1].symlink_to(path)
    flags = [flag for path in includes for flag in ("-I", path.relative_to(folder))]
    defines = [f"-D{define}" for define in sources.defines]
    for unit, text in runtime_units().items():
        source = place / f"{unit}.cc"
        source.write_text(text, encoding="utf-8")
        command = [emcc(), *_FLAGS, *defines, *flags, "-c", source.relative_to(folder)]
        run([*command, "-o", f"{unit}.o"], cwd=folder, env=ENVIRONMENT)
    shutil.rmtree(tree)
