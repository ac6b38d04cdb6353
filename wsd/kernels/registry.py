"""Every kind of kernel variant: its name, the problem that it solves, and what it requires.

A new variant is one file, which holds its generator, and one entry of :data:`KINDS`. The
compiler selects variants from this table (:mod:`wsd.kernels.select`), tuning reads search
spaces from it, ``--kernels`` takes its names, and the page reads names and requirements from a
bundle's ``kernels.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, TypeVar

from wsd.errors import UsageError
from wsd.kernels import heuristics
from wsd.kernels.attention.flash import FlashBlock, flash_attention
from wsd.kernels.attention.one_pass import OnePassBlock, fits_one_pass, one_pass_attention
from wsd.kernels.attention.subgroup_matrix import SubgroupMatrixBlock, subgroup_matrix_attention
from wsd.kernels.conv.winograd import (
    fits_winograd,
    winograd_f16,
    winograd_f32,
    winograd_subgroup_matrix,
)
from wsd.kernels.gemm.f16 import F16Tile, f16_gemm
from wsd.kernels.gemm.gemv import gemv
from wsd.kernels.gemm.subgroup_matrix import (
    SubgroupMatrixTile,
    fits_subgroup_matrix,
    subgroup_matrix_gemm,
)
from wsd.kernels.gemm.tiled import GemmTile, fits, tiled_gemm
from wsd.kernels.problem import AttentionProblem, GemmProblem, NormSumsProblem
from wsd.kernels.reduce.norm_sums import group_sums, row_sums
from wsd.kernels.tuning.further_tiles import (
    MOST_FURTHER,
    further_f16,
    further_f32,
    further_flash,
    further_matrix_attention,
    further_one_pass,
    further_subgroup_matrix,
    further_winograd_f16,
    further_winograd_f32,
    further_winograd_matrix,
    is_negligible,
)
from wsd.kernels.tuning.search_space import subgroup_matrix_tiles, tiles_f32
from wsd.kernels.variant import F16, SUBGROUP_MATRIX, SUBGROUPS, Variant

Problem = GemmProblem | AttentionProblem | NormSumsProblem
ProblemName = Literal["gemm", "attention", "norm_sums", "generated"]
P = TypeVar("P", bound=Problem)


class Tile(Protocol):
    """What one workgroup computes at a time: the parameters of a kind."""

    @property
    def label(self) -> str:
        """Return the tile in words, for reports."""


T = TypeVar("T", bound=Tile | None)


def _accept_all(_problem: Any, _parameters: Any) -> bool:
    return True


def _search_nothing(_problem: Any) -> Iterable[Any]:
    return ()


@dataclass(frozen=True)
class VariantKind(Generic[P, T]):
    """One way to compute a problem, with parameters that can be tuned.

    Attributes:
        name: by which kernels.json, ``--kernels``, reports and the tuning table know it.
        problem: the type of the problem that it solves.
        features: WebGPU features that every variant of the kind needs. Threads, shared memory
            and subgroup sizes depend on the parameters: :class:`wsd.kernels.variant.Variant`.
        parameters: the type of its tunable parameters; ``NoneType`` if it has none.
        generate: makes the launches for a problem and parameters.
        choose: returns the parameters to use, best first; none if it is not worth it.
        accepts: tells whether parameters fit a problem.
        search_space: yields the parameters that :mod:`wsd.evaluate.tune_kernels` tries; none if
            it is not tuned so.
        search_further: yields the parameters that the table has for tuning on a visitor's GPU.
    """

    name: str
    problem: type[P]
    features: tuple[str, ...]
    parameters: type[T]
    generate: Callable[[P, T], Variant]
    choose: Callable[[P], Sequence[T]]
    accepts: Callable[[P, T], bool] = _accept_all
    search_space: Callable[[P], Iterable[T]] = _search_nothing
    search_further: Callable[[P], Iterable[T]] = _search_nothing

    def variant(self, problem: P, parameters: T) -> Variant:
        """Return the variant of a problem, named after its kind.

        Raises:
            ValueError: if the parameters do not fit the problem.
        """
        if not self.accepts(problem, parameters):
            raise ValueError(f"{self.name}: {parameters} does not fit {problem}")
        tile = "" if parameters is None else parameters.label
        return replace(self.generate(problem, parameters), name=self.name, tile=tile)

    def further(self, problem: P) -> Sequence[T]:
        """Return parameters for tuning alone, other than those that are chosen.

        There are none where the kind is not worth it, or where too little is computed.
        """
        chosen = self.choose(problem)
        if not chosen or is_negligible(problem):
            return ()
        found = self.search_further(problem)
        fitting = [p for p in found if p not in chosen and self.accepts(problem, p)]
        return fitting[:MOST_FURTHER]

    def candidates(self, problem: P) -> Iterable[T]:
        """Return the parameters of the search space that fit a problem."""
        return (p for p in self.search_space(problem) if self.accepts(problem, p))


def _gemv(subgroups: bool) -> Callable[[GemmProblem, None], Variant]:
    return lambda problem, _: gemv(problem, subgroups=subgroups)


def _norm_sums(subgroups: bool) -> Callable[[NormSumsProblem, None], Variant]:
    def generate(problem: NormSumsProblem, _: None) -> Variant:
        kernel = group_sums if problem.pixels > 1 or problem.groups > 1 else row_sums
        return kernel(problem, subgroups=subgroups)

    return generate


CONV_WINOGRAD_SUBGROUP_MATRIX: VariantKind[GemmProblem, SubgroupMatrixTile] = VariantKind(
    name="conv_winograd_subgroup_matrix",
    problem=GemmProblem,
    features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
    parameters=SubgroupMatrixTile,
    generate=winograd_subgroup_matrix,
    choose=heuristics.choose_winograd_subgroup_matrix,
    accepts=fits_winograd,
    search_further=further_winograd_matrix,
)
GEMM_SUBGROUP_MATRIX: VariantKind[GemmProblem, SubgroupMatrixTile] = VariantKind(
    name="gemm_subgroup_matrix",
    problem=GemmProblem,
    features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
    parameters=SubgroupMatrixTile,
    generate=subgroup_matrix_gemm,
    choose=heuristics.choose_subgroup_matrix,
    accepts=fits_subgroup_matrix,
    search_space=subgroup_matrix_tiles,
    search_further=further_subgroup_matrix,
)
CONV_WINOGRAD_F16: VariantKind[GemmProblem, F16Tile] = VariantKind(
    name="conv_winograd_f16",
    problem=GemmProblem,
    features=(F16,),
    parameters=F16Tile,
    generate=winograd_f16,
    choose=heuristics.choose_winograd_f16,
    accepts=fits_winograd,
    search_further=further_winograd_f16,
)
GEMM_TILED_F16: VariantKind[GemmProblem, F16Tile] = VariantKind(
    name="gemm_tiled_f16",
    problem=GemmProblem,
    features=(F16,),
    parameters=F16Tile,
    generate=f16_gemm,
    choose=heuristics.choose_tiled_f16,
    accepts=fits,
    search_further=further_f16,
)
CONV_WINOGRAD_F32: VariantKind[GemmProblem, GemmTile] = VariantKind(
    name="conv_winograd_f32",
    problem=GemmProblem,
    features=(),
    parameters=GemmTile,
    generate=winograd_f32,
    choose=heuristics.choose_winograd_f32,
    accepts=fits_winograd,
    search_further=further_winograd_f32,
)
GEMM_TILED_F32: VariantKind[GemmProblem, GemmTile] = VariantKind(
    name="gemm_tiled_f32",
    problem=GemmProblem,
    features=(),
    parameters=GemmTile,
    generate=tiled_gemm,
    choose=heuristics.choose_tiled_f32,
    accepts=fits,
    search_space=tiles_f32,
    search_further=further_f32,
)
GEMV_SUBGROUPS: VariantKind[GemmProblem, None] = VariantKind(
    name="gemv_subgroups",
    problem=GemmProblem,
    features=(SUBGROUPS,),
    parameters=type(None),
    generate=_gemv(subgroups=True),
    choose=heuristics.choose_gemv,
)
GEMV_WORKGROUP_SUM: VariantKind[GemmProblem, None] = VariantKind(
    name="gemv_workgroup_sum",
    problem=GemmProblem,
    features=(),
    parameters=type(None),
    generate=_gemv(subgroups=False),
    choose=heuristics.choose_gemv,
)
ATTENTION_ONE_PASS: VariantKind[AttentionProblem, OnePassBlock] = VariantKind(
    name="attention_one_pass",
    problem=AttentionProblem,
    features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
    parameters=OnePassBlock,
    generate=one_pass_attention,
    choose=heuristics.choose_attention_one_pass,
    accepts=fits_one_pass,
    search_further=further_one_pass,
)
ATTENTION_SUBGROUP_MATRIX: VariantKind[AttentionProblem, SubgroupMatrixBlock] = VariantKind(
    name="attention_subgroup_matrix",
    problem=AttentionProblem,
    features=(F16, SUBGROUPS, SUBGROUP_MATRIX),
    parameters=SubgroupMatrixBlock,
    generate=subgroup_matrix_attention,
    choose=heuristics.choose_attention_subgroup_matrix,
    search_further=further_matrix_attention,
)
ATTENTION_FLASH: VariantKind[AttentionProblem, FlashBlock] = VariantKind(
    name="attention_flash",
    problem=AttentionProblem,
    features=(),
    parameters=FlashBlock,
    generate=flash_attention,
    choose=heuristics.choose_flash,
    search_further=further_flash,
)
NORM_SUMS_SUBGROUPS: VariantKind[NormSumsProblem, None] = VariantKind(
    name="norm_sums_subgroups",
    problem=NormSumsProblem,
    features=(SUBGROUPS,),
    parameters=type(None),
    generate=_norm_sums(subgroups=True),
    choose=heuristics.choose_norm_sums,
)
NORM_SUMS_WORKGROUP: VariantKind[NormSumsProblem, None] = VariantKind(
    name="norm_sums_workgroup",
    problem=NormSumsProblem,
    features=(),
    parameters=type(None),
    generate=_norm_sums(subgroups=False),
    choose=heuristics.choose_norm_sums,
)

# Of each problem the fastest first; the last of them runs on every adapter.
KINDS: tuple[VariantKind[Any, Any], ...] = (
    CONV_WINOGRAD_SUBGROUP_MATRIX,
    GEMM_SUBGROUP_MATRIX,
    CONV_WINOGRAD_F16,
    GEMM_TILED_F16,
    CONV_WINOGRAD_F32,
    GEMM_TILED_F32,
    GEMV_SUBGROUPS,
    GEMV_WORKGROUP_SUM,
    ATTENTION_ONE_PASS,
    ATTENTION_SUBGROUP_MATRIX,
    ATTENTION_FLASH,
    NORM_SUMS_SUBGROUPS,
    NORM_SUMS_WORKGROUP,
)
# The name of a variant that TVM generated, with a schedule of a database that `wsd tune` wrote. It
# is of no kind: any generated kernel may have one (:mod:`wsd.compiler.tuned_variants`).
TUNED = "tuned"
# The kinds whose parameters tuning measures; their names are the keys of the tuning table.
TUNED_KINDS = tuple(kind for kind in KINDS if kind.search_space is not _search_nothing)

PROBLEM_NAMES: dict[type[Problem], ProblemName] = {
    GemmProblem: "gemm",
    AttentionProblem: "attention",
    NormSumsProblem: "norm_sums",
}


def kind_named(name: str) -> VariantKind[Any, Any]:
    """Return a kind by its name.

    Raises:
        UsageError: if there is none of this name.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise UsageError(f"no kernel variant is called {name}", f"known: {', '.join(variant_names())}")


def problem_name(variant: str) -> ProblemName:
    """Return what a variant computes, by its name: ``generated`` for :data:`TUNED`.

    Raises:
        UsageError: if no variant has this name.
    """
    return "generated" if variant == TUNED else PROBLEM_NAMES[kind_named(variant).problem]


def kinds_for(problem: Problem) -> list[VariantKind[Any, Any]]:
    """Return the kinds that solve a problem, the fastest first."""
    return [kind for kind in KINDS if kind.problem is type(problem)]


def variant_names() -> list[str]:
    """Return the names of all variants: those of the kinds in their order, then :data:`TUNED`."""
    return [*(kind.name for kind in KINDS), TUNED]
