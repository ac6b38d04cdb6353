"""The linked module: what it imports and what it exports."""

import re
import sysconfig

from wsd.util.files import REPOSITORY, cache_folder

# What tvmjs provides besides the WASI functions.
TVMJS = {
    "env.TVMFFIWasmSafeCall",
    "env.TVMFFIWasmFunctionDeleter",
    "env.emscripten_notify_memory_growth",
    "env.__cxa_thread_atexit",
    "env.__console_log",
}


def test_imports_are_provided_by_the_glue(javascript, library):
    found = javascript({"call": "wasm", "file": str(library.wasm)})
    assert set(found["imports"]) - TVMJS - set(found["wasi"]) == set()
    assert {"memory", "_initialize", "TVMFFIFunctionCall", "TVMWasmAllocSpace"} <= set(
        found["exports"]
    )


def test_it_names_no_folder_of_this_machine(library):
    """Or two builds from nothing would differ."""
    module = library.wasm.read_bytes()
    named = set(re.findall(rb"[\x20-\x7e]+\.(?:h|cc|cpp)\x00", module))
    assert any(name.startswith(b"tvm/src/runtime/") for name in named)
    assert [name for name in named if name.startswith(b"/")] == []
    # Inside other texts too: the name of a function names the file of each lambda in it.
    folders = (cache_folder(), REPOSITORY, sysconfig.get_path("purelib"))
    assert [folder for folder in folders if f"{folder}/".encode() in module] == []
