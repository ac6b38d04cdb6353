"""A family's components → one WebAssembly library, cached by what went in.

The library knows shapes and not weights, so every checkpoint of a family shares
it: a build that only changes weights compiles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsd.compiler import tvm_compat
from wsd.compiler.cache import library_key, toolchain
from wsd.compiler.library import EntryPoint, Library, architecture, read_library, write_library
from wsd.compiler.match.replace import shader_variants
from wsd.compiler.passes.pack_parameters import store_parameters
from wsd.compiler.pipeline import MAX_STORAGE_BUFFERS, apply_passes
from wsd.compiler.tir.dequantize import UNPACK
from wsd.compiler.tir.image import image_to_rgba
from wsd.compiler.tir.linear_combination import linear_combination
from wsd.compiler.wasm.link import link_library
from wsd.errors import CompileError, UsageError
from wsd.frontend.entry_points import EntryPointModule, make_entry_points
from wsd.frontend.export import Trace, trace_component
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import Component, Family
from wsd.spec.parameter import Parameter
from wsd.spec.roles import (
    DENOISER,
    IMAGE_TO_RGBA,
    LINEAR_COMBINATION,
    LINEAR_COMBINATION_TERMS,
)
from wsd.spec.tensor import TensorSpec
from wsd.supply_chain.materials import compiler_materials
from wsd.util.files import cache_folder, write_once
from wsd.util.progress import Progress


def compile_library(
    family: Family, sizes: Sequence[tuple[int, int]], dtype: str, progress: Progress
) -> Library:
    """Compile a family at the given picture sizes, or take it from the cache.

    Args:
        family: the zoo's entry.
        sizes: (width, height) of the pictures in pixels.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        progress: told what is done.

    Raises:
        CompileError: if a component cannot be traced, imported or scheduled.
        ToolError: if Emscripten is missing or fails.
    """
    key = library_key(family, sizes, dtype)
    # Not by name: every family of one architecture shares its library.
    folder = cache_folder() / "libraries" / key[:24]

    def write(scratch: Path) -> None:
        _compile(family, sizes, dtype, scratch, progress)

    library = _cached(folder)
    if library is None:
        write_once(folder, write, lambda made: _cached(made) is not None)
        library = read_library(folder)
    return library


def _cached(folder: Path) -> Library | None:
    """Return a library of the cache, or None if it is not there or damaged."""
    try:
        return read_library(folder)
    except UsageError:
        return None


def _compile(
    family: Family,
    sizes: Sequence[tuple[int, int]],
    dtype: str,
    folder: Path,
    progress: Progress,
) -> None:
    parts = list(_parts(family, sizes))
    with progress.stage("trace", total=len(parts)) as advance:
        traces = []
        for component, part in parts:
            traces.append(trace_component(component, part, dtype))
            advance(1)
    with progress.stage("compile", total=3) as advance, _tvm_errors(family):
        entry_points = _entry_points(family, sizes, traces)
        module, found = apply_passes(_one_module(entry_points, traces))
        advance(1)
        executable, plans = tvm_compat.build(module)
        shaders = tvm_compat.shaders(executable)
        advance(1)
        objects = tvm_compat.export_objects(executable, folder)
        advance(1)
    _check_nothing_unpacked(shaders)
    library = Library(
        folder=folder,
        architecture=architecture(family),
        sizes=tuple(sizes),
        dtype=dtype,
        entry_points=tuple(
            _planned(entry, plans[entry.name], shaders, found.operations) for entry in entry_points
        ),
        parameters=_parameters(family, traces),
        storage_buffers=_check_storage_buffers(shaders),
        shaders=shaders,
        variants=shader_variants(found.variants, found.moved, shaders),
        gemm_problems=tuple(found.gemm_problems),
        toolchain=toolchain(),
        materials=compiler_materials(),
    )
    with progress.stage("link", total=1) as advance:
        link_library(objects, library.wasm)
        for path in objects:
            path.unlink()
        advance(1)
    write_library(library)


def _planned(
    entry: EntryPoint, plan: tvm_compat.Plan, shaders: dict[str, str], operations: dict[str, int]
) -> EntryPoint:
    """Return a function with what is known of it once it is compiled."""
    calls = {name: plan.calls[tvm_compat.function_of_kernel(name)] for name in shaders}
    return replace(
        entry,
        workspace_bytes=plan.workspace_bytes,
        largest_buffer_bytes=plan.largest_buffer_bytes,
        kernels=tuple(name for name, count in calls.items() if count),
        dispatches=sum(calls.values()),
        operations=sum(operations.get(name, 0) * count for name, count in plan.calls.items()),
    )


def _parts(
    family: Family, sizes: Sequence[tuple[int, int]]
) -> Iterator[tuple[Component, EntryPointModule]]:
    """Yield what is compiled, and of which component."""
    for component in family.components:
        for part in make_entry_points(family, component, build_skeleton(component), sizes):
            yield component, part


def _entry_points(
    family: Family, sizes: Sequence[tuple[int, int]], traces: Sequence[Trace]
) -> list[EntryPoint]:
    entries = [
        EntryPoint(
            trace.part.entry_point,
            trace.part.role,
            trace.component,
            trace.part.size,
            trace.part.inputs,
            trace.part.outputs,
        )
        for trace in traces
    ]
    channels = family.component(DENOISER).config["in_channels"]
    for width, height in sizes:
        suffix = f"{width}x{height}"
        factor = family.vae_scale_factor
        latents = (1, channels, height // factor, width // factor)
        terms = tuple(TensorSpec(f"term{n}", latents) for n in range(LINEAR_COMBINATION_TERMS))
        entries += [
            EntryPoint(
                f"linear_combination_{suffix}",
                LINEAR_COMBINATION,
                None,
                (width, height),
                (*terms, TensorSpec("coefficients", (LINEAR_COMBINATION_TERMS,))),
                (TensorSpec("sum", latents),),
            ),
            EntryPoint(
                f"image_to_rgba_{suffix}",
                IMAGE_TO_RGBA,
                None,
                (width, height),
                (TensorSpec("image", (1, 3, height, width)),),
                (TensorSpec("rgba", (height, width), "int32"),),
            ),
        ]
    return entries


def _one_module(entry_points: Sequence[EntryPoint], traces: Sequence[Trace]) -> Any:
    """Return one Relax module that holds every entry point."""
    kernels = {LINEAR_COMBINATION: linear_combination, IMAGE_TO_RGBA: image_to_rgba}
    module = tvm_compat.kernel_functions(
        {
            entry.name: (kernels[entry.role], [(i.name, i.shape, i.dtype) for i in entry.inputs])
            for entry in entry_points
            if entry.role in kernels
        }
    )
    for trace in traces:
        name = trace.part.entry_point
        tvm_compat.add_function(module, name, tvm_compat.import_program(trace.program))
        module = store_parameters(module, name, len(trace.part.inputs), trace.parameters)
    return module


def _parameters(family: Family, traces: Sequence[Trace]) -> dict[str, tuple[Parameter, ...]]:
    parameters: dict[str, tuple[Parameter, ...]] = {}
    for trace in traces:
        found = trace.parameters
        if parameters.setdefault(trace.component, found) != found:
            raise CompileError(
                f"{family.name}: {trace.component} reads other parameters at another size",
                "sizes of one library must share their parameters; report this as a bug",
            )
    return parameters


def _check_nothing_unpacked(shaders: dict[str, str]) -> None:
    """Refuse kernels that store a weight unpacked: it would take the room that packing saved."""
    if unpacking := [name for name in shaders if UNPACK in name]:
        raise CompileError(
            f"kernel {unpacking[0]} unpacks a weight into memory",
            "teach the operator that reads it about packed weights: wsd/compiler/tir/dequantize.py",
        )


def _check_storage_buffers(shaders: dict[str, str]) -> int:
    counts = {name: len(tvm_compat.storage_buffers(code)) for name, code in shaders.items()}
    name, most = max(counts.items(), key=lambda item: item[1])
    if most > MAX_STORAGE_BUFFERS:
        raise CompileError(
            f"kernel {name} binds {most} storage buffers, WebGPU allows {MAX_STORAGE_BUFFERS}",
            "fusion made it too wide: limit FuseOps in wsd/compiler/pipeline.py",
        )
    return most


@contextmanager
def _tvm_errors(family: Family) -> Iterator[None]:
    """Turn TVM's exceptions, which quote C++ stacks, into ours."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise CompileError(
            f"TVM {tvm_compat.version()} could not compile {family.name}: {said[-1]}",
            "an operator or shape is not supported; the traceback follows with WSD_DEBUG=1",
        ) from error
