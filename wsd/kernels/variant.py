"""A kernel in WGSL that may run in the place of one that TVM generated."""

from __future__ import annotations

from dataclasses import dataclass

# Scalars of one vector load: a vec4.
VECTOR = 4
# Threads of a workgroup and bytes of shared memory that every WebGPU adapter allows: the
# defaults of maxComputeInvocationsPerWorkgroup and maxComputeWorkgroupStorageSize.
BASELINE_MAX_THREADS = 256
BASELINE_MAX_SHARED_BYTES = 16384
# Workgroups along one dimension of a dispatch: the default of maxComputeWorkgroupsPerDimension.
MAX_WORKGROUPS = 65535
# Names of the WebGPU features that variants need.
F16 = "shader-f16"
SUBGROUPS = "subgroups"
SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix"
FEATURES = (F16, SUBGROUPS, SUBGROUP_MATRIX)


@dataclass(frozen=True)
class Launch:
    """One dispatch of a variant.

    Attributes:
        head: WGSL in which kernels of one body differ: bindings, constants and the epilogue.
        body: the rest of the shader, shared by all kernels with the same tile.
        grid: workgroups along x, y and z.
        buffers: names of the PrimFunc's buffers in the order of the bindings; a number stands for
            the scratch buffer of that number.
        uniform: a number below 2^32 that the shader reads as a uniform u32, whose binding follows
            those of the buffers; None if it reads none. Launches of one shader may differ in it.
    """

    head: str
    body: str
    grid: tuple[int, int, int]
    buffers: tuple[str | int, ...]
    uniform: int | None = None


@dataclass(frozen=True)
class Variant:
    """Launches that compute what a generated kernel computes, and what they require.

    Attributes:
        launches: dispatches, in order; none if another kernel's variant does the work.
        name: of its kind in the registry (:mod:`wsd.kernels.registry`), which sets it.
        features: WebGPU features that the launches need.
        threads: threads of the largest workgroup.
        shared_bytes: the most shared memory of one workgroup.
        subgroup_matrix: (M, N, K) of the subgroup matrix operation, f16 operands and f32
            results; None if there is none.
        subgroup_size: (smallest, largest) subgroup size that works; None for any.
        scratch_bytes: sizes of the buffers that hold what one launch leaves for another. Variants
            use the same ones in turn, so what they hold is lost after a call.
        operations: floating-point operations, two for a multiply-add, as papers count them.
        adapter_classes: the class of adapters that it was tuned on, of :func:`adapter_class`; it
            runs on no others. Empty for a variant that is for any adapter.
        tile: what a workgroup computes at a time, in words; empty for kinds without tiles.
        tuning_only: whether it runs only where tuning on a visitor's GPU found it to be faster.
    """

    launches: tuple[Launch, ...]
    name: str = ""
    features: tuple[str, ...] = ()
    threads: int = BASELINE_MAX_THREADS
    shared_bytes: int = 0
    subgroup_matrix: tuple[int, int, int] | None = None
    subgroup_size: tuple[int, int] | None = None
    scratch_bytes: tuple[int, ...] = ()
    operations: int = 0
    adapter_classes: tuple[str, ...] = ()
    tile: str = ""
    tuning_only: bool = False


def adapter_class(vendor: str, architecture: str) -> str:
    """Return the class of a WebGPU adapter, such as ``google swiftshader``.

    The page writes the same (``web/src/gpu/selection_rules.ts``).

    Args:
        vendor: as ``GPUAdapterInfo`` names it, and so is the next.
        architecture: may be empty.
    """
    return f"{vendor} {architecture}".strip()
