"""Lowering without a build: what written kernels replace in a model, and the memory it takes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tvm import relax

from matches import describe_selection, write_problem
from wsd.compiler import tvm_compat
from wsd.compiler.driver import entry_point_modules
from wsd.compiler.dump import Dump
from wsd.compiler.library import Library
from wsd.compiler.match.replace import match_function
from wsd.compiler.pipeline import lowering_passes, run_passes, scheduling_passes
from wsd.compiler.relax_module import (
    add_plan,
    import_entry_points,
    list_entry_points,
    signatures,
)
from wsd.frontend.export import trace_component
from wsd.models.family import Family
from wsd.spec.manifest import EntryPoint
from wsd.spec.parameter import Parameter
from wsd.spec.roles import LAYERED_TEXT_ENCODER
from wsd.spec.tensor import Size


@dataclass(frozen=True)
class Lowered:
    """A family's module after fusion and before scheduling, and what it was made of."""

    family: Family
    sizes: tuple[Size, ...]
    dtype: str
    module: tvm_compat.IRModule
    entry_points: list[EntryPoint]
    parameters: dict[str, tuple[Parameter, ...]]

    def library(self):
        """Return a library with the planned memory of each function, which no browser can run."""
        # Schedules decide which functions TVM takes for views of their arguments.
        scheduled = run_passes(scheduling_passes(), self.module, Dump())
        plans = tvm_compat.plan_memory(scheduled)
        return Library(
            folder=Path(),
            architecture="",
            described={},
            sizes=self.sizes,
            dtype=self.dtype,
            entry_points=tuple(
                add_plan(entry, plans[entry.name], [], {}) for entry in self.entry_points
            ),
            parameters=self.parameters,
            storage_buffers=8,
            shaders={},
            variants={"version": 3, "heads": [], "bodies": [], "kernels": {}, "bytes": {}},
            gemm_problems=(),
            toolchain={},
            materials=(),
        )


def lower(family, sizes, dtype):
    """Lower a family for prompts of one chunk, without clip skip; it needs no weights."""
    # The functions of long prompts and of clip skip have the same kinds of problems.
    traces = [
        trace_component(component, module, dtype)
        for component, module in entry_point_modules(replace(family, prompt_chunks=1), sizes)
        if module.role != LAYERED_TEXT_ENCODER
    ]
    entry_points = list_entry_points(family, sizes, traces)
    module = import_entry_points(entry_points, traces)
    fused = run_passes(lowering_passes(signatures(traces)), module, Dump())
    parameters = {trace.component: trace.parameters for trace in traces}
    return Lowered(family, tuple(sizes), dtype, fused, entry_points, parameters)


def lower_family(family, sizes, dtype):
    """Return a family's module after fusion and before scheduling."""
    return lower(family, sizes, dtype).module


def make_table(module):
    """Return the table of a fused module: its matched problems and its generated functions."""
    calls = _count_calls(module)
    matched, generated = {}, {}
    for variable, function in module.functions_items():
        if not isinstance(function, tvm_compat.tir.PrimFunc):
            continue
        name = str(variable.name_hint)
        if match := match_function(name, function):
            entry = _describe_match(match)
            entries, key = matched, json.dumps(entry)
        elif _reduces(function):
            entry = {"function": _describe_function(name, function)}
            entries, key = generated, json.dumps(entry)
        else:
            continue
        counts = entries.setdefault(key, {**entry, "functions": 0, "calls": 0})
        counts["functions"] += 1
        counts["calls"] += calls[name]
    return {
        name: [entries[key] for key in sorted(entries)]
        for name, entries in (("matched", matched), ("generated", generated))
    }


def _describe_match(match):
    variants = describe_selection(match.problem)
    assert [text.split()[0] for text in variants] == [
        v.name for v in match.variants if not v.tuning_only
    ]
    # The function that computes attention's softmax statistics has nothing left to launch.
    launches = any(variant.launches for variant in match.variants)
    return {"problem": write_problem(match.problem), "launches": launches, "variants": variants}


def _count_calls(module):
    """Return TIR function → how often the Relax functions of a module call it."""
    calls = Counter()

    def visit(node):
        if isinstance(node, relax.Call) and tvm_compat.operator_name(node) == "relax.call_tir":
            calls[str(node.args[0].name_hint)] += 1

    for _, function in module.functions_items():
        if isinstance(function, relax.Function):
            relax.analysis.post_order_visit(function.body, visit)
    return calls


def _reduces(function):
    """Tell whether a TIR function has a block that sums, or one that is not understood."""
    blocks = tvm_compat.normalize_prim_func(tvm_compat.Schedule(function))
    return blocks is None or any(block.is_reduction() for block in blocks)


def _describe_function(name, function):
    """Return a function's operators without their numbers, and the shapes of its buffers."""
    words = [word.rstrip("0123456789") for word in name.split("_")]
    shapes = [
        "x".join(str(int(extent)) for extent in buffer.shape) or "scalar"
        for buffer in tvm_compat.buffers_of(function)
    ]
    return f"{'_'.join(words)} {' '.join(shapes)}"
