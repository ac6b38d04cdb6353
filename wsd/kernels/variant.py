"""A kernel in WGSL that may take the place of the one TVM generated."""

from __future__ import annotations

from dataclasses import dataclass

# Values that a load takes at once.
VECTOR = 4
# Threads that a workgroup may have on every WebGPU adapter.
BASELINE_MAX_THREADS = 256
# And bytes that it may share.
BASELINE_MAX_SHARED_BYTES = 16384
F16 = "shader-f16"
SUBGROUPS = "subgroups"
MATRIX = "chromium-experimental-subgroup-matrix"


@dataclass(frozen=True)
class Launch:
    """One dispatch of a variant.

    Attributes:
        head: what differs between kernels of one body: constants and the epilogue.
        body: the rest, shared by every kernel of the same tiles.
        grid: workgroups along x, y and z.
        buffers: names of the PrimFunc's buffers in order of binding; None for scratch.
    """

    head: str
    body: str
    grid: tuple[int, int, int]
    buffers: tuple[str | None, ...]


@dataclass(frozen=True)
class Variant:
    """What runs instead of a generated kernel, where the GPU can.

    Attributes:
        launches: dispatches, in order.
        features: WebGPU features that they need.
        threads: of the largest workgroup.
        shared_bytes: of the most shared memory.
        matrix: of a variant on matrix units, rows, columns and depth of their unit.
        lanes: least and most threads of a subgroup that they can do with, None for any.
        scratch_bytes: of a buffer that the launches share, or 0.
        operations: floating-point operations, as published counts have them.
    """

    launches: tuple[Launch, ...]
    features: tuple[str, ...] = ()
    threads: int = BASELINE_MAX_THREADS
    shared_bytes: int = 0
    matrix: tuple[int, int, int] | None = None
    lanes: tuple[int, int] | None = None
    scratch_bytes: int = 0
    operations: int = 0
