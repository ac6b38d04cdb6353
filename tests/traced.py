"""A library that was traced and not compiled, for tests of what needs no compiler.

A bundle wants of its library which entry points it has, which parameters they read, and a file to
copy. Tracing tells the first two in seconds; the module in the file does nothing. What draws is
compiled: tests/integration and tests/e2e.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.compiler.library import (
    Library,
    architecture,
    describe_architecture,
    read_library,
    write_library,
)
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import Family
from wsd.spec.manifest import EntryPoint
from wsd.spec.roles import IMAGE_TO_RGBA, LINEAR_COMBINATION, MASKED_BLEND, RGBA_TO_IMAGE
from wsd.supply_chain.materials import compiler_materials
from wsd.util.code_digest import digest_code
from wsd.util.files import cache_folder, write_once
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.progress import Quiet

# A WebAssembly module without functions.
EMPTY_MODULE = b"\0asm\1\0\0\0"
MIB = 1 << 20
OF_PICTURES = (RGBA_TO_IMAGE, MASKED_BLEND)


def _versions() -> dict[str, str]:
    names = ("torch", "diffusers", "transformers")
    return {name: importlib.metadata.version(name) for name in names}


def trace_library(family: Family, folder: Path) -> None:
    """Write a library of a family at its own sizes, in float32, that no browser can run."""
    entry_points, parameters = [], {}
    for component in family.components:
        made = list(make_entry_points(family, component, build_skeleton(component), family.sizes))
        stored = {module.part or component.id: module for module in reversed(made)}
        parameters |= {
            name: trace_component(component, stored[name]).parameters for name in reversed(stored)
        }
        entry_points += [
            EntryPoint(
                module.name,
                module.role,
                module.part or component.id,
                module.size,
                module.inputs,
                module.outputs,
                kernels=(f"{module.name}_kernel",),
                workspace_bytes=MIB,
                largest_buffer_bytes=MIB,
                dispatches=1,
                operations=1,
            )
            for module in made
        ]
    # Those that the compiler adds, which have no parameters.
    encodes = any(component.parts for component in family.components)
    entry_points += [
        EntryPoint(f"{role}_{width}x{height}", role, None, (width, height), (), ())
        for role in (IMAGE_TO_RGBA, LINEAR_COMBINATION, *(OF_PICTURES if encodes else ()))
        for width, height in family.sizes
    ]
    library = Library(
        folder=folder,
        architecture=architecture(family),
        described=describe_architecture(family),
        sizes=family.sizes,
        dtype="f32",
        entry_points=tuple(entry_points),
        parameters=parameters,
        storage_buffers=8,
        shaders={},
        variants={"version": 3, "heads": [], "bodies": [], "kernels": {}, "bytes": {}},
        gemm_problems=(),
        toolchain=_versions(),
        materials=compiler_materials(),
    )
    library.wasm.write_bytes(EMPTY_MODULE)
    write_library(library)


def cached_trace(family: Family) -> Library:
    """Return a traced library of a family, which the next run finds in the cache."""
    modules = ("wsd.frontend.export", "wsd.frontend.entry_points", "wsd.compiler.library")
    key = {
        "code": digest_code(*modules, type(family.architecture).__module__),
        "family": describe_architecture(family),
        "parts": [part.id for component in family.components for part in component.parts],
        "sizes": family.sizes,
        "prompt_chunks": family.prompt_chunks,
        **({"deep_cache": True} if family.deep_cache else {}),
        "program": sha256_file(Path(__file__)),
        "tools": _versions(),
    }
    folder = cache_folder() / "traced" / sha256_bytes(canonical_json(key))[:24]
    write_once(folder, lambda scratch: trace_library(family, scratch))
    return replace(read_library(folder), tvmjs=tvmjs_source())


@pytest.fixture(scope="session")
def library(family: Family) -> Library:
    """Return the traced library of the family that most tests share."""
    return cached_trace(family)


@pytest.fixture(scope="session")
def bundle(library: Library, shipped: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with the traced library.

    pytest keeps one value of a session's fixture, whatever its own fixtures are replaced by: the
    `bundle` of tests/conftest.py may have been made with a compiled library before.
    """
    return build_bundle(shipped, library, tmp_path_factory.mktemp("bundle") / "tiny", Quiet())


@pytest.fixture(scope="session")
def manifest(bundle: Path, family: Family) -> dict[str, Any]:
    """Return the manifest of the bundle with the traced library."""
    path = bundle / "models" / family.name / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(autouse=True)
def refuse_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that compiles a model, which takes a minute: its place is tests/integration."""

    def refuse(*_: object) -> None:
        raise AssertionError("this test compiles a model: move it to tests/integration")

    monkeypatch.setattr("wsd.compiler.driver.compile_library", refuse)
