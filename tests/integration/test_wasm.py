"""The linked module: what it imports and what it exports."""

import re
import sysconfig

import pytest

from speck import SPECK
from wsd.compiler.driver import compile_library
from wsd.util.files import REPOSITORY, cache_folder
from wsd.util.progress import Quiet

# What tvmjs provides besides the WASI functions.
TVMJS = {
    "env.TVMFFIWasmSafeCall",
    "env.TVMFFIWasmFunctionDeleter",
    "env.emscripten_notify_memory_growth",
    "env.__cxa_thread_atexit",
    "env.__console_log",
}


@pytest.fixture(params=["speck", pytest.param("tiny-sd15", marks=pytest.mark.full)])
def compiled(request):
    """Return the library of a model; that of speck is compiled for other tests too."""
    if request.param == "tiny-sd15":
        return request.getfixturevalue("library")
    return compile_library(SPECK, SPECK.sizes, "f32", Quiet())


def test_imports_are_provided_by_the_glue(javascript, compiled):
    found = javascript({"call": "wasm", "file": str(compiled.wasm)})
    assert set(found["imports"]) - TVMJS - set(found["wasi"]) == set()
    assert {"memory", "_initialize", "TVMFFIFunctionCall", "TVMWasmAllocSpace"} <= set(
        found["exports"]
    )


def test_it_names_no_folder_of_this_machine(compiled):
    """Or two builds from nothing would differ."""
    module = compiled.wasm.read_bytes()
    named = set(re.findall(rb"[\x20-\x7e]+\.(?:h|cc|cpp)\x00", module))
    assert any(name.startswith(b"tvm/src/runtime/") for name in named)
    assert [name for name in named if name.startswith(b"/")] == []
    # Inside other texts too: the name of a function names the file of each lambda in it.
    folders = (cache_folder(), REPOSITORY, sysconfig.get_path("purelib"))
    assert [folder for folder in folders if f"{folder}/".encode() in module] == []
