"""A candidate: the dispatches that compute a problem, and what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wsd.kernels.variant import MAX_WORKGROUPS, Variant

# Relative errors (of the Euclidean norms of the checked results) that a candidate may have: of
# sums in float32, and of operands that are rounded to float16.
F32_LIMIT = 2e-5
F16_LIMIT = 2e-3
# Threads of a workgroup of a launch that computes values one by one.
FLAT_THREADS = 256
# Buffers of what one launch leaves for another; a number follows.
SCRATCH = "scratch"


@dataclass(frozen=True)
class Launch:
    """One dispatch of a candidate.

    Attributes:
        shader: its WGSL.
        grid: workgroups along x, y and z.
        buffers: names of buffers in the order of the bindings: those of the problem, and those of
            the candidate.
        label: what it does, for the table of results.
        once: whether it would run once when weights are loaded, so that its time does not count.
        uniform: a u32 that is bound after the buffers, if the shader reads one.
    """

    shader: str
    grid: tuple[int, int, int]
    buffers: tuple[str, ...]
    label: str
    once: bool = False
    uniform: int | None = None


@dataclass(frozen=True)
class Candidate:
    """One way to compute a problem.

    Attributes:
        name: tells it from the problem's other candidates.
        launches: dispatches, in order.
        threads: threads of a workgroup of the launch that multiplies; those of the others have at
            most 256, which every adapter allows.
        shared_bytes: the most shared memory of one workgroup.
        limit: relative error from which on its results count as wrong.
        features: WebGPU features that it needs.
        scratch: bytes of each of its own buffers, by name.
    """

    name: str
    launches: tuple[Launch, ...]
    threads: int
    shared_bytes: int
    limit: float
    features: tuple[str, ...] = ()
    scratch: Mapping[str, int] = field(default_factory=dict)


def candidate_of_variant(name: str, variant: Variant, limit: float) -> Candidate:
    """Return a variant of :mod:`wsd.kernels` as a candidate."""
    launches = tuple(
        Launch(
            launch.head + launch.body,
            launch.grid,
            tuple(f"{SCRATCH}{b}" if isinstance(b, int) else b for b in launch.buffers),
            f"launch {number}",
            uniform=launch.uniform,
        )
        for number, launch in enumerate(variant.launches)
    )
    scratch = {f"{SCRATCH}{number}": size for number, size in enumerate(variant.scratch_bytes)}
    return Candidate(
        name, launches, variant.threads, variant.shared_bytes, limit, variant.features, scratch
    )


def flat_grid(threads: int) -> tuple[int, int, int]:
    """Return workgroups of :data:`FLAT_THREADS`, along x and y, that have so many threads."""
    workgroups = -(-threads // FLAT_THREADS)
    rows = -(-workgroups // MAX_WORKGROUPS)
    return -(-workgroups // rows), rows, 1


def describe_tile(tile: object) -> str:
    """Return what is special of a tile, a dataclass, in few characters."""
    values = vars(tile)
    words = [f"{values['m']}x{values['n']}x{values['k']}"]
    if "thread_m" in values:
        words.append(f"t{values['thread_m']}x{values['thread_n']}")
    if "subgroups_m" in values:
        words.append(f"s{values['subgroups_m']}x{values['subgroups_n']}")
    if values.get("is_f16"):
        words.append(f"f{values['flush']}")
    if values.get("buffers", 1) > 1:
        words.append("2buf")
    words += [
        name for name in ("interleaved", "w_in_place", "w_packed", "a_is_f16") if values.get(name)
    ]
    if values.get("staged", 1) > 1:
        words.append(f"st{values['staged']}")
    if values.get("split_k", 1) > 1:
        words.append(f"sk{values['split_k']}")
    return " ".join(words)
