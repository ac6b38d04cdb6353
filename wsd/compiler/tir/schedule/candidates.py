"""The schedules that `wsd tune` tries for a function: the rules with other numbers than theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsd.compiler.tir.schedule.attention import RowAttention
from wsd.compiler.tir.schedule.elementwise import ElementwiseTile
from wsd.compiler.tir.schedule.matmul_direct import DirectTile, MatmulDirect
from wsd.compiler.tir.schedule.row_reduction import RowReduction
from wsd.compiler.tvm_compat import calling_tvm, dlight, target
from wsd.errors import CompileError

_THREADS = (32, 64, 128)
# Edges of a thread's tile along the first and the second operand's axis. Larger tiles than 8x8
# spill registers, and their shaders take seconds to compile.
_TILES = ((8, 8), (8, 4), (4, 8), (4, 4), (4, 2), (2, 4), (2, 2), (8, 1), (1, 8), (1, 4), (1, 1))
_DEPTHS = (1, 4)
_VALUES = (1, 2, 4, 8)
_KEYS = (4, 8, 16)
# A row reduction with one thread for each row, and with one workgroup for each row.
_MANY_ROWS = (1, 1 << 31)


def schedule_candidates(function: Any) -> Iterator[Any]:
    """Yield every schedule that fits a function, in an order that never changes.

    Args:
        function: a TIR function that has no schedule yet. It becomes the only function of each
            schedule's module, named ``main``.
    """
    for rule in _rules():
        try:
            with target(), calling_tvm("a schedule that is tried"):
                schedule = rule.apply(function, target(), False)
        except CompileError:
            continue  # A rule of TVM does not fit, and notices late.
        if schedule is not None:
            yield schedule


def _rules() -> Iterator[Any]:
    for threads in _THREADS:
        for values in _VALUES:
            yield ElementwiseTile(threads, values)
        for keys in _KEYS:
            yield RowAttention(threads, keys)
        for depth in _DEPTHS:
            for first, second in _TILES:
                yield MatmulDirect(DirectTile(first, second, threads, depth))
        for many in _MANY_ROWS:
            yield RowReduction(threads, many)
    gpu = dlight.gpu
    yield from (gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction())
