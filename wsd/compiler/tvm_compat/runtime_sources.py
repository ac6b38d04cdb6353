"""Where TVM keeps the sources of its WebAssembly runtime and of tvmjs."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path

import tvm

from wsd.compiler.tvm_compat.version import is_reference_lane, version
from wsd.errors import ToolError


@dataclass(frozen=True)
class WasmSources:
    """What the WebAssembly runtime is compiled from.

    Attributes:
        root: folder that holds ``web/emcc`` and ``src/runtime``.
        includes: include folders, in order.
        layout: path in TVM's source tree → folder to copy there. apache-tvm installs some
            folders elsewhere than TVM's sources include them from.
        defines: preprocessor definitions.
        definitions: C++ text appended to the runtime. It defines functions that the runtime
            calls and whose sources are not compiled.
    """

    root: Path
    includes: tuple[Path, ...]
    layout: dict[str, Path]
    defines: tuple[str, ...] = ()
    definitions: str = ""


# For v0.21: WebAssembly has one thread here, so its thread pool is not compiled. Its logging
# reads the time zone, for which Emscripten calls JavaScript; with this stub the zone is UTC.
_ONE_THREAD = """
extern "C" void _tzset_js(long*, int*, char*, char*) {}
namespace tvm {
namespace runtime {
namespace threading {
int NumThreads() { return 1; }
void ResetThreadPool() {}
}  // namespace threading
}  // namespace runtime
}  // namespace tvm
"""


def wasm_sources() -> WasmSources:
    """Return the sources of the WebAssembly runtime of the installed TVM.

    Raises:
        ToolError: if v0.21.0 is installed and its source tree is not found.
    """
    package = Path(tvm.__file__).resolve().parent
    shim = Path(__file__).resolve().parent.parent / "wasm" / "shim"
    if is_reference_lane():
        root = Path(os.environ.get("TVM_HOME", package.parent.parent))
        if not (root / "web" / "emcc" / "wasm_runtime.cc").is_file():
            raise ToolError(
                f"TVM {version()} is installed but its source tree is not at {root}",
                "set TVM_HOME to the source tree that this TVM was built from",
            )
        return WasmSources(
            root=root,
            includes=(
                root,
                root / "web" / "emcc",
                root / "include",
                root / "ffi" / "include",
                root / "ffi" / "3rdparty" / "dlpack" / "include",
                root / "3rdparty" / "dmlc-core" / "include",
                root / "3rdparty" / "compiler-rt",
                root / "3rdparty" / "picojson",
            ),
            layout={},
            defines=("DMLC_USE_LOGGING_LIBRARY=<tvm/runtime/logging.h>",),
            definitions=_ONE_THREAD,
        )
    ffi = Path(importlib.import_module("tvm_ffi").__file__ or "").resolve().parent
    return WasmSources(
        root=package,
        includes=(package / "include", ffi / "include", shim / "include"),
        layout={
            "3rdparty/tvm-ffi/src": ffi / "src",
            "src/runtime": package / "src" / "runtime",
            "src/support": shim / "src" / "support",
        },
    )


def tvmjs_source() -> Path:
    """Return the folder of tvmjs's TypeScript sources, for the page's bundler."""
    return wasm_sources().root / "web" / "src"
