"""The named, ordered list of passes from imported Relax to scheduled kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from wsd.compiler.match.replace import find_variants
from wsd.compiler.passes.channels_last import channels_last
from wsd.compiler.tir.legalize import LEGALIZERS
from wsd.compiler.tir.schedule.attention import RowAttention
from wsd.compiler.tir.schedule.elementwise import Elementwise
from wsd.compiler.tir.schedule.matmul_direct import MatmulDirect
from wsd.compiler.tir.schedule.row_reduction import RowReduction
from wsd.compiler.tvm_compat import IRModule, buffers_of, dlight, estimate_operations, target, tir
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import Variant

# A compute stage has 8 storage buffers on every WebGPU adapter and 10 on all
# current ones; 10 is what tvmjs asks for.
MAX_STORAGE_BUFFERS = 10
_SCHEDULE = "schedule"
# Operators that ours look through to what is before them.
_LATER = ("relax.permute_dims", "relax.image.resize2d")


def schedule_rules() -> tuple[Any, ...]:
    """Return the schedule rules in the order in which they are tried."""
    gpu = dlight.gpu
    return (
        Elementwise(),
        RowAttention(),
        MatmulDirect(),
        RowReduction(),
        gpu.Matmul(),
        gpu.GEMV(),
        gpu.Reduction(),
        gpu.GeneralReduction(),
        gpu.Fallback(),
    )


def _keep(_builder: Any, call: Any) -> Any:
    """Leave an operator for the second legalisation."""
    return call


def _module_pass(work: Any) -> Any:
    return tvm.transform.module_pass(lambda module, _context: work(module), opt_level=0)


def passes() -> list[tuple[str, Any]]:
    """Return (name, pass) pairs; each line says what it is for."""
    transform = relax.transform
    return [
        # Pixels are rows of matrices, and nothing is transposed between operators.
        ("channels last", _module_pass(channels_last)),
        # One params tuple a function, so that the browser passes one handle.
        ("bundle parameters", transform.BundleModelParams()),
        # What every block computes of one embedding is computed once.
        ("share results", transform.EliminateCommonSubexpr()),
        # Operators become TIR kernels: ours first, while transposed weights can
        # and doubled images can still be told from other operands, then the rest.
        ("legalize ours", transform.LegalizeOps({**LEGALIZERS, **dict.fromkeys(_LATER, _keep)})),
        ("legalize", transform.LegalizeOps()),
        ("fold constants", transform.FoldConstant()),
        ("drop dead code", transform.DeadCodeElimination()),
        # Elementwise work joins the kernel before it: fewer launches, fewer bytes.
        ("annotate patterns", transform.AnnotateTIROpPattern()),
        ("fuse operators", transform.FuseOps()),
        ("fuse kernels", transform.FuseTIR()),
        ("drop fused kernels", transform.DeadCodeElimination()),
        (_SCHEDULE, dlight.ApplyDefaultSchedule(*schedule_rules())),
    ]


@dataclass(frozen=True)
class Found:
    """What is known of a module's TIR functions before they are scheduled.

    Attributes:
        variants: function name → what may run in its kernel's place.
        gemm_problems: the GEMM problems among those with variants.
        operations: function name → floating-point operations of one call.
        moved: function name → bytes of all that one call reads and writes.
    """

    variants: dict[str, list[Variant]]
    gemm_problems: list[GemmProblem]
    operations: dict[str, int]
    moved: dict[str, int]


def apply_passes(module: IRModule) -> tuple[IRModule, Found]:
    """Run every pass in order under the WebGPU target."""
    found = Found({}, [], {}, {})
    with target(), tvm.transform.PassContext(opt_level=3):
        for name, step in passes():
            if name == _SCHEDULE:
                functions = dict(_functions(module))
                found = Found(
                    *find_variants(functions),
                    {name: int(estimate_operations(f.body)) for name, f in functions.items()},
                    {name: _moved_bytes(f) for name, f in functions.items()},
                )
            module = step(module)
    return module, found


def _functions(module: IRModule) -> Iterator[tuple[str, Any]]:
    for variable, function in module.functions_items():
        if isinstance(function, tir.PrimFunc):
            yield str(variable.name_hint), function


def _moved_bytes(function: Any) -> int:
    """Return the bytes of a function's arguments and results, each counted once."""
    return sum(
        math.prod(int(extent) for extent in buffer.shape) * np.dtype(str(buffer.dtype)).itemsize
        for buffer in buffers_of(function)
    )
