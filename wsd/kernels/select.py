"""Select the variants that may run in the place of a generated kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from wsd.kernels.registry import Problem, kinds_for
from wsd.kernels.variant import MAX_WORKGROUPS, Variant


def select_variants(problem: Problem) -> list[Variant]:
    """Return the variants of a problem: those that run by default, then those for tuning alone.

    The list is empty for a problem that is too small, or whose extents are not multiples of what
    the kernels load at once: then only the generated kernel runs. It also runs where a variant
    would take more workgroups than a dispatch has: the full size of a picture of 2048x2048, which
    is 2^22 rows of a GEMM.
    """
    return [*default_variants(problem), *further_variants(problem)]


def default_variants(problem: Problem) -> list[Variant]:
    """Return the variants that run by default, the fastest first, the last for any adapter.

    Each kind of the registry chooses its own parameters: from the tuning table if it holds the
    problem, else by rule (:mod:`wsd.kernels.heuristics`).
    """
    return _dispatchable(
        kind.variant(problem, tile) for kind in kinds_for(problem) for tile in kind.choose(problem)
    )


def further_variants(problem: Problem) -> list[Variant]:
    """Return the variants for tuning alone (:mod:`wsd.kernels.tuning.further_tiles`).

    They never run by default, not even where an adapter lacks what the default ones of their kind
    need: whether they or the next kind are faster there was not measured, and ``tune`` measures it.
    """
    return _dispatchable(
        replace(kind.variant(problem, tile), tuning_only=True)
        for kind in kinds_for(problem)
        for tile in kind.further(problem)
    )


def _dispatchable(variants: Iterable[Variant]) -> list[Variant]:
    return [v for v in variants if all(max(launch.grid) <= MAX_WORKGROUPS for launch in v.launches)]
