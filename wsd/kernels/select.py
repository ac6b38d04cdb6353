"""Select the variants that may run in the place of a generated kernel."""

from __future__ import annotations

from wsd.kernels.registry import Problem, kinds_for
from wsd.kernels.variant import MAX_WORKGROUPS, Variant


def select_variants(problem: Problem) -> list[Variant]:
    """Return the variants of a problem, the fastest first, the last for any adapter.

    Each kind of the registry chooses its own parameters: from the tuning table if it holds the
    problem, else by rule (:mod:`wsd.kernels.heuristics`). The list is empty for a problem that
    is too small, or whose extents are not multiples of what the kernels load at once: then
    only the generated kernel runs. It also runs where a variant would take more workgroups than a
    dispatch has: the full size of a picture of 2048x2048, which is 2^22 rows of a GEMM.
    """
    made = (
        kind.variant(problem, parameters)
        for kind in kinds_for(problem)
        for parameters in kind.choose(problem)
    )
    return [variant for variant in made if _can_dispatch(variant)]


def _can_dispatch(variant: Variant) -> bool:
    return all(max(launch.grid) <= MAX_WORKGROUPS for launch in variant.launches)
