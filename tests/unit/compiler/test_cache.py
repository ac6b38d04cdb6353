"""What a compiled library, the WebAssembly runtime and shards depend on, in WSD's own sources."""

import json
import logging
import shutil
from dataclasses import replace

import pytest

from marks import some_of
from speck import BROAD, SPECK, TWIN
from wsd.compiler.cache import library_key
from wsd.compiler.wasm.runtime import runtime_key
from wsd.util.cache_key import CacheKey, write_key
from wsd.util.code_digest import digest_code
from wsd.util.files import PACKAGE

TABLE = "kernels/tuning/h200.json"
# Data files that decide nothing about a library: weights, configurations, a schema, policies.
OTHER_DATA = ("models/", "bundle/", "supply_chain/", "spec/", "runtime/")


@pytest.fixture
def copy(tmp_path):
    """Return a copy of WSD's sources that may be changed."""
    ignored = shutil.ignore_patterns("__pycache__", "checkpoints")
    return shutil.copytree(PACKAGE, tmp_path / "wsd", ignore=ignored)


def key(package, dtype="f32"):
    return library_key(SPECK, SPECK.sizes, dtype, package)


def edit(package, file, old, new):
    path = package / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


@pytest.mark.slow
def test_a_comment_or_an_empty_line_changes_no_key(copy):
    before = key(copy)
    for file in ("kernels/gemm/tiled.py", "compiler/pipeline.py", "frontend/export.py"):
        edit(copy, file, "\n\n\n", "\n\n\n\n# A remark.\n\n")
    edit(copy, "kernels/templates/gemm/tiled.wgsl.j2", "{#", "{# A remark.\n")
    edit(copy, "compiler/driver.py", '"""', '"""A remark. ')
    assert key(copy).differences(before) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    some_of(
        [
            ("compiler/passes/legalize.py", '"relax.image.resize2d"', '"relax.image.resize3d"'),
            ("compiler/tir/schedule/matmul_direct.py", "_THREADS = 64", "_THREADS = 32"),
            ("frontend/normalize.py", "-1e4", "-1e5"),
            ("kernels/templates/gemm/tiled.wgsl.j2", "workgroup_size", "workgroup_size "),
            ("models/stable_diffusion/architecture.py", "import", "import os\nimport"),
            ("compiler/wasm/link.py", '"-O1"', '"-O2"'),
        ],
        3,
    ),
)
def test_code_and_templates_are_in_the_key(copy, file, old, new):
    before = key(copy)
    edit(copy, file, old, new)
    assert key(copy).differences(before) == [f"sources.wsd/{file}"]


@pytest.mark.slow
def test_a_retuned_table_is_another_library(copy):
    before = key(copy)
    table = json.loads((copy / TABLE).read_text())
    (copy / TABLE).write_text(json.dumps(table, indent=3))
    assert key(copy).differences(before) == [f"sources.wsd/{TABLE}"]


@pytest.mark.slow
def test_models_of_one_architecture_share_a_library():
    assert TWIN.name != SPECK.name
    other = replace(TWIN, scheduler={**TWIN.scheduler, "beta_end": 0.5}, steps=3, sizes=((32, 32),))
    assert library_key(other, SPECK.sizes, "f32") == key(PACKAGE)
    assert library_key(BROAD, SPECK.sizes, "f32").differences(key(PACKAGE)) == ["architecture"]
    tiled = replace(SPECK, tile=8)
    assert library_key(tiled, SPECK.sizes, "f32").differences(key(PACKAGE)) == ["tile"]


@pytest.mark.slow
def test_another_dtype_is_another_library(copy):
    assert key(copy).differences(key(copy, "f16")) == ["dtype"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    some_of(["cli/main.py", "bundle/shards.py", "evaluate/parity.py", "models/registry.py"], 4),
)
def test_what_a_library_does_not_depend_on(copy, file):
    before = key(copy)
    (copy / file).write_text((copy / file).read_text() + "\nUNRELATED = 1\n")
    assert key(copy).differences(before) == []


def test_every_data_file_is_in_the_key_or_known_not_to_matter():
    known = key(PACKAGE).ingredients["sources"]
    runtime = runtime_key().ingredients["sources"]
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(PACKAGE).as_posix()
        if path.is_file() and path.suffix not in (".py", ".pyc", ".md"):
            in_key = f"wsd/{name}" in known or f"wsd/{name}" in runtime
            assert in_key or name.startswith(OTHER_DATA), name


@pytest.mark.slow
def test_the_runtime_depends_on_its_sources_alone(copy):
    before = runtime_key(copy)
    edit(copy, "compiler/tvm_compat/tir.py", "= 4", "= 5")
    edit(copy, "kernels/gemm/tiled.py", "\n\n\n", "\n\n\nX = 1\n\n\n")
    edit(copy, "compiler/wasm/runtime.py", "\n\n\n", "\n\n\n# A remark.\n\n")
    assert runtime_key(copy).differences(before) == []
    edit(copy, "compiler/wasm/runtime.py", '"-O2"', '"-O3"')
    edit(copy, "compiler/wasm/shim/src/support/utils.h", "#", "\n#")
    assert runtime_key(copy).differences(before) == [
        "sources.wsd/compiler/wasm/runtime.py",
        "sources.wsd/compiler/wasm/shim/src/support/utils.h",
    ]


def test_shards_do_not_depend_on_the_compiler():
    sources = digest_code("wsd.bundle.shards")
    assert "wsd/bundle/quantize.py" in sources
    assert "wsd/spec/parameter.py" in sources
    assert not [name for name in sources if name.startswith(("wsd/compiler", "wsd/kernels"))]


@pytest.mark.slow
def test_a_miss_is_explained(copy, tmp_path, monkeypatch, caplog):
    from wsd.compiler import cache

    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    caplog.set_level(logging.INFO, "wsd.compiler.cache")
    ingredients = key(copy).ingredients
    cached = tmp_path / "libraries" / "cached"
    cached.mkdir(parents=True)
    write_key(CacheKey({**ingredients, "tile": 5}), cached)
    cache.log_lookup(key(copy), None)
    assert caplog.messages[-1].endswith("not cached; changed since the nearest cached one: tile")
