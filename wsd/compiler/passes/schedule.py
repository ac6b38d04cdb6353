"""Give every TIR function a schedule: bind its loops to workgroups and threads.

In: fused TIR functions whose blocks have plain loops.
Out: the same functions with loops bound to ``blockIdx`` and ``threadIdx``, and marked as
scheduled. The first rule that fits a function schedules it.
"""

from __future__ import annotations

from typing import Any

from wsd.compiler.tir.schedule.attention import RowAttention
from wsd.compiler.tir.schedule.elementwise import Elementwise
from wsd.compiler.tir.schedule.matmul_direct import MatmulDirect
from wsd.compiler.tir.schedule.row_reduction import RowReduction
from wsd.compiler.tvm_compat import dlight


def schedule_rules() -> tuple[Any, ...]:
    """Return the schedule rules in the order in which they are tried: WSD's, then dlight's."""
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


def schedule() -> Any:
    """Return the pass."""
    return dlight.ApplyDefaultSchedule(*schedule_rules())
