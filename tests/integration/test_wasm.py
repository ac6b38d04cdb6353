"""The linked module: what it imports and what it exports."""

import json
import re

from wsd.bundle.npm import source_folder
from wsd.util.process import find_program, run

# What tvmjs's environment adds to the WASI library's functions.
TVMJS = {
    "env.TVMFFIWasmSafeCall",
    "env.TVMFFIWasmFunctionDeleter",
    "env.emscripten_notify_memory_growth",
    "env.__cxa_thread_atexit",
    "env.__console_log",
}

LIST = """
import { readFileSync } from "node:fs";
import { WASI } from "@bjorn3/browser_wasi_shim";
const module = new WebAssembly.Module(readFileSync(process.argv[1]));
console.log(JSON.stringify({
  imports: WebAssembly.Module.imports(module).map((i) => `${i.module}.${i.name}`),
  exports: WebAssembly.Module.exports(module).map((e) => e.name),
  wasi: Object.keys(new WASI([], [], []).wasiImport).map((n) => `wasi_snapshot_preview1.${n}`),
}));
"""


def test_imports_are_provided_by_the_glue(library, bundle):
    assert bundle  # the page's packages are installed
    node = find_program("node", "install Node.js")
    answer = json.loads(
        run([node, "--input-type=module", "-e", LIST, library.wasm], cwd=source_folder("web"))
    )
    imports = set(answer["imports"])
    assert imports - TVMJS - set(answer["wasi"]) == set()
    assert {"memory", "_initialize", "TVMFFIFunctionCall", "TVMWasmAllocSpace"} <= set(
        answer["exports"]
    )


def test_it_names_no_folder_of_this_machine(library):
    """Or two builds from nothing would differ."""
    named = set(re.findall(rb"[\x20-\x7e]+\.(?:h|cc|cpp)\x00", library.wasm.read_bytes()))
    assert any(name.startswith(b"tvm/src/runtime/") for name in named)
    assert [name for name in named if name.startswith(b"/")] == []
