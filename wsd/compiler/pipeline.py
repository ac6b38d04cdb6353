"""The list of the compiler's passes, in their order, from imported Relax to scheduled kernels."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm import relax

from wsd.compiler.dump import Dump
from wsd.compiler.match.replace import find_variants
from wsd.compiler.passes.channels_last import channels_last
from wsd.compiler.passes.check_legalized import check_legalized
from wsd.compiler.passes.legalize import legalize_own
from wsd.compiler.passes.pack_parameters import Signature, pack_parameters
from wsd.compiler.passes.schedule import schedule
from wsd.compiler.passes.strips import in_strips
from wsd.compiler.schedule_database import ScheduleDatabase
from wsd.compiler.tuned_variants import add_tuned_variants
from wsd.compiler.tvm_compat import (
    IRModule,
    buffers_of,
    calling_tvm,
    estimate_operations,
    target,
    tir,
)
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import Variant

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pass:
    """One step of the pipeline.

    Attributes:
        name: names the step in dumps, logs and errors.
        run: takes a module and returns the module after it.
        is_own: whether it is a pass of WSD, whose errors are WSD's own; else it is TVM's.
    """

    name: str
    run: Callable[[IRModule], IRModule]
    is_own: bool = False


def lowering_passes(signatures: Mapping[str, Signature]) -> list[Pass]:
    """Return the passes from imported Relax to fused TIR.

    Args:
        signatures: Relax function → what its arguments are, of every function with parameters.
    """
    transform = relax.transform
    whole = {name: s.whole_bytes for name, s in signatures.items() if s.whole_bytes is not None}
    return [
        # Parameters come as the browser uploads them: packed into words, channels last.
        Pass("pack_parameters", lambda module: pack_parameters(module, signatures), is_own=True),
        # A pixel becomes a row of a matrix; attention and convolutions transpose nothing between.
        Pass("channels_last", channels_last, is_own=True),
        # A function takes its parameters as one tuple, so that the browser passes one handle.
        Pass("bundle_model_params", transform.BundleModelParams()),
        # All transformer blocks project the same text and time embeddings: once is enough.
        Pass("eliminate_common_subexpr", transform.EliminateCommonSubexpr()),
        # What is computed again, rather than stored, would be a common subexpression.
        Pass("strips", lambda module: in_strips(module, whole), is_own=True),
        # WSD's legalizers come first: they match operands that TVM's would lower.
        Pass("legalize_own", legalize_own()),
        Pass("legalize_ops", transform.LegalizeOps()),
        Pass("check_legalized", check_legalized, is_own=True),
        Pass("fold_constant", transform.FoldConstant()),
        Pass("dead_code_elimination", transform.DeadCodeElimination()),
        # Elementwise work joins the kernel before it: fewer dispatches, fewer bytes accessed.
        Pass("annotate_tir_op_pattern", transform.AnnotateTIROpPattern()),
        Pass("fuse_ops", transform.FuseOps()),
        Pass("fuse_tir", transform.FuseTIR()),
        Pass("dead_function_elimination", transform.DeadCodeElimination()),
    ]


def scheduling_passes() -> list[Pass]:
    """Return the passes from fused TIR to scheduled kernels."""
    return [Pass("schedule", schedule())]


@dataclass(frozen=True)
class LoweringReport:
    """What is known of a module's TIR functions after fusion and before scheduling.

    Attributes:
        variants: TIR function → kernels that may run in its kernel's place: written ones, and then
            those with tuned schedules.
        gemm_problems: the GEMM problems among those functions.
        operations: TIR function → floating-point operations of one call.
        bytes_accessed: TIR function → bytes of its arguments and results, each counted once.
    """

    variants: dict[str, list[Variant]]
    gemm_problems: list[GemmProblem]
    operations: dict[str, int]
    bytes_accessed: dict[str, int]


def lower(
    module: IRModule,
    signatures: Mapping[str, Signature],
    dump: Dump,
    databases: Sequence[ScheduleDatabase] = (),
) -> tuple[IRModule, LoweringReport]:
    """Run every pass in order, and match kernels between fusion and scheduling.

    Args:
        module: imported Relax functions (:mod:`wsd.compiler.relax_module`).
        signatures: Relax function → what its arguments are, of every function with parameters.
        dump: gets the module after each pass.
        databases: tuned schedules, which give the functions further variants.

    Raises:
        CompileError: if a pass of TVM fails. An error in a pass, legalizer or schedule rule of
            WSD is raised as it is, with the pass in its notes.
    """
    fused, report = fuse(module, signatures, dump)
    variants = add_tuned_variants(report.variants, fused, databases)
    scheduled = run_passes(scheduling_passes(), fused, dump)
    return scheduled, replace(report, variants=variants)


def fuse(
    module: IRModule, signatures: Mapping[str, Signature], dump: Dump
) -> tuple[IRModule, LoweringReport]:
    """Run the passes up to fused TIR functions, which have no schedule yet; see :func:`lower`."""
    fused = run_passes(lowering_passes(signatures), module, dump)
    return fused, report_functions(fused)


def run_passes(passes: list[Pass], module: IRModule, dump: Dump) -> IRModule:
    """Run passes in order under the WebGPU target; see :func:`lower`."""
    with target(), tvm.transform.PassContext(opt_level=3):
        for step in passes:
            started = time.perf_counter()
            module = _run(step, module)
            _LOG.info("pass %s: %.2f s", step.name, time.perf_counter() - started)
            dump.write_module(step.name, module)
    return module


def _run(step: Pass, module: IRModule) -> IRModule:
    if not step.is_own:
        with calling_tvm(f"pass {step.name}"):
            return step.run(module)
    try:
        return step.run(module)
    except Exception as error:
        error.add_note(f"raised in pass {step.name}")
        raise


def report_functions(module: IRModule) -> LoweringReport:
    """Match a fused module's TIR functions with written kernels, and count their work."""
    functions = dict(_tir_functions(module))
    variants, problems = find_variants(functions)
    _LOG.info("kernels matched: %d of %d functions", len(variants), len(functions))
    for name, found in variants.items():
        _LOG.debug("kernel %s: variants %s", name, ", ".join(v.name for v in found))
    return LoweringReport(
        variants,
        problems,
        {name: int(estimate_operations(f.body)) for name, f in functions.items()},
        {name: _bytes_accessed(f) for name, f in functions.items()},
    )


def _tir_functions(module: IRModule) -> Iterator[tuple[str, Any]]:
    for variable, function in module.functions_items():
        if isinstance(function, tir.PrimFunc):
            yield str(variable.name_hint), function


def _bytes_accessed(function: Any) -> int:
    return sum(
        math.prod(int(extent) for extent in buffer.shape) * np.dtype(str(buffer.dtype)).itemsize
        for buffer in buffers_of(function)
    )
