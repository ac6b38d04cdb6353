"""Make variants of the kernels that databases of tuned schedules have.

The rules schedule a library's own kernels, whatever databases there are. What a database has for a
function becomes a variant of the function's kernel, which TVM generates with the tuned schedule. It
is for the class of adapters that the database was tuned on, so that no other adapter runs it.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsd.compiler.schedule_database import ScheduleDatabase
from wsd.compiler.tvm_compat import (
    IRModule,
    LoadedDatabase,
    build_functions,
    calling_tvm,
    function_of_kernel,
    is_scheduled,
    shared_bytes,
    standalone_shader,
    storage_buffers,
    thread_extents,
    tir,
)
from wsd.errors import CompileError
from wsd.kernels.registry import TUNED
from wsd.kernels.variant import MAX_WORKGROUPS, Launch, Variant

_LOG = logging.getLogger(__name__)


def add_tuned_variants(
    variants: Mapping[str, Sequence[Variant]],
    module: IRModule,
    databases: Sequence[ScheduleDatabase],
) -> dict[str, list[Variant]]:
    """Return variants of a module's functions with those of databases after the written ones.

    Args:
        variants: TIR function → written kernels that may run in its kernel's place.
        module: fused TIR functions that have no schedule yet.
        databases: tuned schedules of the model.

    Raises:
        CompileError: if TVM refuses a schedule, or if a function becomes several kernels with it.
    """
    found = {name: list(written) for name, written in variants.items()}
    for database in databases:
        for name, variant in _tuned_variants(module, database).items():
            written = found.setdefault(name, [])
            found[name] = [*written, _count_alike(variant, written)]
    return found


def _count_alike(variant: Variant, written: Sequence[Variant]) -> Variant:
    """Return a variant with the operations that the written ones count for the same work."""
    return replace(variant, operations=written[0].operations) if written else variant


def apply_tuned_schedules(module: IRModule, database: ScheduleDatabase) -> dict[str, Any]:
    """Return TIR function → its function with a tuned schedule, of those that a database has.

    Raises:
        CompileError: if TVM refuses a schedule.
    """
    with tempfile.TemporaryDirectory() as name:
        database.write_lines(Path(name))
        with calling_tvm("a database of schedules"):
            scheduled = LoadedDatabase(Path(name)).apply(module)
    applied = {
        str(variable.name_hint): function
        for variable, function in scheduled.functions_items()
        if isinstance(function, tir.PrimFunc) and is_scheduled(function)
    }
    _LOG.info(
        "tuned schedules of %s: %d of them for %d functions",
        database.adapter.kind,
        len(database.kernels),
        len(applied),
    )
    return applied


def _tuned_variants(module: IRModule, database: ScheduleDatabase) -> dict[str, Variant]:
    """Return TIR function → the variant that a database has for it."""
    functions = apply_tuned_schedules(module, database)
    with calling_tvm("code generation for tuned schedules"):
        shaders = build_functions(functions)
    kernels: dict[str, list[str]] = {name: [] for name in functions}
    for kernel in shaders:
        kernels[function_of_kernel(kernel)].append(kernel)
    if several := [name for name, made in kernels.items() if len(made) != 1]:
        raise CompileError(
            f"{several[0]} becomes {len(kernels[several[0]])} kernels with its tuned schedule",
            "tune anew: `wsd tune` of this version of WSD keeps schedules of one kernel only",
        )
    made = {
        name: _variant(functions[name], kernel, shaders[kernel], database.adapter.kind)
        for name, [kernel] in kernels.items()
    }
    # tvmjs spreads more workgroups over another dimension; a variant is dispatched as it is.
    return {name: v for name, v in made.items() if max(v.launches[0].grid) <= MAX_WORKGROUPS}


def _variant(function: Any, kernel: str, shader: str, kind: str) -> Variant:
    extents = thread_extents(function)
    grid = (extents.get("blockIdx.x", 1), extents.get("blockIdx.y", 1), 1)
    launch = Launch(
        head="",
        body=standalone_shader(shader, kernel, grid[0]),
        grid=grid,
        buffers=tuple(storage_buffers(shader)),
    )
    return Variant(
        launches=(launch,),
        name=TUNED,
        threads=math.prod(extents.get(f"threadIdx.{axis}", 1) for axis in "xyz"),
        shared_bytes=shared_bytes(shader),
        adapter_classes=(kind,),
    )
