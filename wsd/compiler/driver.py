"""Compile a family's components to one WebAssembly library, or take it from the cache.

The flow is trace → import → passes → match → schedule → build → link. The library knows shapes
and not weights: every checkpoint of an architecture shares it, so that a build that only changes
weights compiles nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsd.compiler import tvm_compat
from wsd.compiler.cache import find_cached, library_folder, library_key, log_lookup, toolchain
from wsd.compiler.dump import Dump
from wsd.compiler.library import (
    Library,
    architecture,
    describe_architecture,
    read_library,
    write_library,
)
from wsd.compiler.match.replace import shader_variants
from wsd.compiler.pipeline import LoweringReport, fuse, lower
from wsd.compiler.relax_module import (
    add_plan,
    import_entry_points,
    list_entry_points,
    signatures,
)
from wsd.compiler.schedule_database import ChosenDatabases, default_databases
from wsd.compiler.shader_checks import check_nothing_unpacked, count_storage_buffers
from wsd.compiler.wasm.link import link_library
from wsd.compiler.wasm.runtime import runtime_materials
from wsd.errors import CompileError, UsageError
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import Trace, trace_component
from wsd.models.architecture import EntryPointModule
from wsd.models.family import Component, Family
from wsd.models.instantiate import build_skeleton
from wsd.spec.parameter import Parameter
from wsd.spec.tensor import Size
from wsd.supply_chain.material import merge_materials
from wsd.supply_chain.materials import compiler_materials
from wsd.util.cache_key import write_key
from wsd.util.files import write_once
from wsd.util.progress import Progress

_LOG = logging.getLogger(__name__)


def compile_library(
    family: Family,
    sizes: Sequence[Size],
    dtype: str,
    progress: Progress,
    dump: Path | None = None,
    databases: ChosenDatabases | None = None,
) -> Library:
    """Compile a family at the given picture sizes, or take it from the cache.

    Args:
        family: the model family.
        sizes: (width, height) of the pictures in pixels.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        progress: shows the stages.
        dump: folder for the IR after each pass and for every shader (:mod:`wsd.compiler.dump`).
            With it the family is compiled even if the library is cached; the library's bytes
            are the same either way.
        databases: tuned schedules, which :func:`wsd.compiler.schedule_database.check_database`
            found to be of this model; None for those that come with the family.

    Raises:
        UsageError: if a database that was named has none of the model's functions.
        CompileError: if a component cannot be traced, imported or scheduled.
        ToolError: if Emscripten is missing or fails.
    """
    if databases is None:
        databases = default_databases(family, dtype, tvm_compat.version())
    key = library_key(family, sizes, dtype, databases=databases)
    folder = library_folder(key)
    library = find_cached(folder)
    log_lookup(key, library)
    built = None
    if dump is not None:
        _LOG.info("compiling for the dump in %s", dump)
        built = _build(family, sizes, dtype, progress, Dump(dump), databases)
    if library is None:

        def write(scratch: Path) -> None:
            made = built or _build(family, sizes, dtype, progress, Dump(), databases)
            _write(made, scratch, progress)
            write_key(key, scratch)

        write_once(folder, write)
        library = read_library(folder)
    return replace(library, tvmjs=tvm_compat.tvmjs_source())


@dataclass(frozen=True)
class _Built:
    """A compiled library that is not linked yet: all but the WebAssembly module.

    Attributes:
        library: everything that is known of it; its folder is where it will be written.
        executable: Relax executable with the host code and the shaders.
    """

    library: Library
    executable: tvm_compat.Executable


def fuse_family(
    family: Family, sizes: Sequence[Size], dtype: str, progress: Progress
) -> tuple[tvm_compat.IRModule, LoweringReport]:
    """Return a family's module with fused TIR functions that have no schedule yet, for tuning.

    Args:
        family: the model family.
        sizes: (width, height) of the pictures in pixels.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        progress: shows the stages.

    Raises:
        CompileError: if a component cannot be traced or imported.
    """
    traces = _trace(family, sizes, dtype, progress)
    with progress.stage("fuse", total=1) as advance:
        module = import_entry_points(list_entry_points(family, sizes, traces), traces)
        fused = fuse(module, signatures(traces, _parameters(family, traces)), Dump())
        advance(1)
    return fused


def _build(
    family: Family,
    sizes: Sequence[Size],
    dtype: str,
    progress: Progress,
    dump: Dump,
    databases: ChosenDatabases,
) -> _Built:
    traces = _trace(family, sizes, dtype, progress)
    entry_points = list_entry_points(family, sizes, traces)
    parameters = _parameters(family, traces)
    with progress.stage("compile", total=3) as advance:
        module = import_entry_points(entry_points, traces)
        dump.write_module("imported", module)
        advance(1)
        module, report = lower(module, signatures(traces, parameters), dump, databases.databases)
        if databases.named:
            _check_use(databases, report)
        dump.write_variants(report.variants)
        advance(1)
        with tvm_compat.calling_tvm(f"code generation for {family.name}"):
            executable, plans = tvm_compat.build(module)
            shaders = tvm_compat.shaders(executable)
        dump.write_shaders(shaders)
        advance(1)
    check_nothing_unpacked(shaders)
    library = Library(
        folder=Path(),
        architecture=architecture(family),
        described=describe_architecture(family),
        sizes=tuple(sizes),
        dtype=dtype,
        entry_points=tuple(
            add_plan(entry, plans[entry.name], list(shaders), report.operations)
            for entry in entry_points
        ),
        parameters=parameters,
        storage_buffers=count_storage_buffers(shaders),
        shaders=shaders,
        variants=shader_variants(report.variants, report.bytes_accessed, shaders),
        gemm_problems=tuple(report.gemm_problems),
        toolchain=toolchain(databases),
        materials=merge_materials([*compiler_materials(), *runtime_materials()]),
    )
    return _Built(library, executable)


def _check_use(databases: ChosenDatabases, report: LoweringReport) -> None:
    """Refuse a database that has none of the module's functions."""
    tuned = {
        kind for found in report.variants.values() for v in found for kind in v.adapter_classes
    }
    for database in databases.databases:
        if database.adapter.kind not in tuned:
            raise UsageError(
                f"the database of {database.target.model} has schedules for none of the model's "
                f"{len(report.operations)} functions",
                "it was tuned for other picture sizes or by another version of WSD: tune anew, or "
                "leave --database out",
            )


def _trace(family: Family, sizes: Sequence[Size], dtype: str, progress: Progress) -> list[Trace]:
    """Export every entry point of every component with torch.export."""
    modules = list(entry_point_modules(family, sizes))
    traces = []
    with progress.stage("trace", total=len(modules)) as advance:
        for component, module in modules:
            traces.append(trace_component(component, module, dtype))
            advance(1)
    return traces


def entry_point_modules(
    family: Family, sizes: Sequence[Size]
) -> Iterator[tuple[Component, EntryPointModule]]:
    """Yield every entry point that is traced, with the component whose parameters it reads.

    Args:
        family: the model family.
        sizes: (width, height) of the pictures in pixels.
    """
    for component in family.components:
        for module in make_entry_points(family, component, build_skeleton(component), sizes):
            yield component, module


def _parameters(family: Family, traces: Sequence[Trace]) -> dict[str, tuple[Parameter, ...]]:
    """Return the parameters of each component, which all its entry points must agree on.

    The first entry point of a component reads all of them, and others may read fewer.
    """
    parameters: dict[str, tuple[Parameter, ...]] = {}
    for trace in traces:
        known = parameters.setdefault(trace.component, trace.parameters)
        read = {parameter.name for parameter in trace.parameters}
        if tuple(parameter for parameter in known if parameter.name in read) != trace.parameters:
            raise CompileError(
                f"{family.name}: entry point {trace.entry_point.name} reads other parameters of "
                f"{trace.component} than the entry points before it",
                "all entry points of a component share one params tuple: report this as a bug",
            )
    return parameters


def _write(built: _Built, folder: Path, progress: Progress) -> None:
    """Link a library and write its files to a folder."""
    library = replace(built.library, folder=folder)
    with progress.stage("link", total=1) as advance:
        with tvm_compat.calling_tvm("code generation for WebAssembly"):
            objects = tvm_compat.export_objects(built.executable, folder)
        link_library(objects, library.wasm)
        for path in objects:
            path.unlink()
        advance(1)
    write_library(library)
