"""The candidates of a problem: the product's own variants, other tiles of them, and new kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from typing import Any, TypeVar

from tools.kernel_study.attention import flash_f16_candidate
from tools.kernel_study.candidate import (
    F16_LIMIT,
    F32_LIMIT,
    Candidate,
    candidate_of_variant,
    describe_tile,
)
from tools.kernel_study.matrix_direct import DirectTile, direct_candidate, fits_direct
from tools.kernel_study.matrix_pipelined import (
    PipelinedTile,
    fits_pipelined,
    pipelined_candidate,
)
from tools.kernel_study.outer import OuterTile, fits_outer, outer_candidate
from tools.kernel_study.winograd import fits_winograd, winograd_candidate
from wsd.kernels.attention.flash import FlashBlock
from wsd.kernels.attention.one_pass import OnePassBlock, one_pass_attention
from wsd.kernels.attention.subgroup_matrix import SubgroupMatrixBlock, subgroup_matrix_attention
from wsd.kernels.gemm.f16 import F16Tile, f16_gemm
from wsd.kernels.gemm.subgroup_matrix import (
    SubgroupMatrixTile,
    fits_subgroup_matrix,
    subgroup_matrix_gemm,
)
from wsd.kernels.gemm.tiled import GemmTile, fits, tiled_gemm
from wsd.kernels.problem import AttentionProblem, GemmProblem
from wsd.kernels.registry import (
    ATTENTION_FLASH,
    CONV_WINOGRAD_F16,
    CONV_WINOGRAD_F32,
    CONV_WINOGRAD_SUBGROUP_MATRIX,
    GEMM_TILED_F32,
    VariantKind,
    kinds_for,
)

StudyProblem = GemmProblem | AttentionProblem
T = TypeVar("T", F16Tile, GemmTile, OuterTile, PipelinedTile, SubgroupMatrixTile)

# Workgroups from which on k is not split, by how many of them a multiprocessor holds.
_ENOUGH_SMALL, _ENOUGH_LARGE, _ENOUGH_MATRIX = 300, 200, 132
_SPLITS = (2, 3, 4, 5, 6, 8)
_MIN_STEPS_PER_SPLIT = 8

# Of each list, the tiles that every problem gets, and those that only some problems get.
_F16 = ((F16Tile(128, 64, 32, 8, 8), F16Tile(64, 64, 32, 8, 8)),
        (F16Tile(128, 64, 64, 8, 8), F16Tile(128, 128, 32, 8, 8),
         F16Tile(64, 64, 32, 8, 4), F16Tile(64, 64, 64, 8, 4)))  # fmt: skip
_F32 = ((GemmTile(128, 128, 16, 8, 8),),
        (GemmTile(128, 64, 16, 8, 8), GemmTile(128, 64, 32, 8, 8)))  # fmt: skip
_OUTER = (
    (
        OuterTile(128, 128, 32, 8, 8),
        OuterTile(128, 64, 32, 8, 8),
        OuterTile(128, 128, 16, 16, 8),
        OuterTile(128, 64, 32, 8, 8, buffers=2),
        OuterTile(128, 128, 16, 16, 8, is_f16=False),
        OuterTile(64, 64, 32, 8, 8),
        OuterTile(128, 64, 32, 8, 8, flush=32),
        OuterTile(128, 128, 32, 8, 8, is_f16=False),
    ),
    (
        OuterTile(128, 128, 32, 8, 8, buffers=2),
        OuterTile(128, 64, 32, 8, 4),
        OuterTile(128, 128, 32, 16, 8),
        OuterTile(64, 64, 32, 8, 4),
        OuterTile(128, 64, 32, 8, 8, is_f16=False),
        OuterTile(128, 128, 16, 16, 8, is_f16=False, buffers=2),
    ),
)
_MATRIX: tuple[tuple[SubgroupMatrixTile, ...], ...] = (
    (),
    (
        SubgroupMatrixTile(128, 128, 32, 2, 2),
        SubgroupMatrixTile(128, 128, 32, 2, 4),
        SubgroupMatrixTile(64, 64, 32, 2, 2),
        SubgroupMatrixTile(128, 64, 32, 2, 2),
    ),
)
_PIPELINED = (
    (
        PipelinedTile(128, 128, 32, 2, 2, interleaved=True),
        PipelinedTile(128, 128, 32, 2, 2, buffers=2, interleaved=True),
        PipelinedTile(128, 128, 32, 2, 4, buffers=2, interleaved=True),
        PipelinedTile(128, 128, 32, 2, 4, interleaved=True, staged=2),
        PipelinedTile(128, 64, 32, 2, 2, buffers=2, interleaved=True, staged=2),
        PipelinedTile(64, 64, 64, 2, 2, interleaved=True, staged=2),
        PipelinedTile(64, 64, 32, 2, 2, buffers=2, interleaved=True),
        PipelinedTile(128, 128, 32, 2, 2, w_packed=True),
        PipelinedTile(128, 64, 32, 2, 1, w_packed=True),
        PipelinedTile(128, 128, 32, 2, 4, w_packed=True, buffers=2),
        PipelinedTile(128, 128, 32, 2, 4, buffers=2, interleaved=True, a_is_f16=True),
        PipelinedTile(128, 128, 32, 2, 2, w_packed=True, a_is_f16=True),
    ),
    (
        PipelinedTile(128, 128, 32, 2, 2),
        PipelinedTile(128, 128, 32, 2, 2, buffers=2),
        PipelinedTile(128, 128, 32, 2, 2, staged=4, interleaved=True),
        PipelinedTile(128, 128, 32, 4, 2, buffers=2, interleaved=True),
        PipelinedTile(128, 128, 32, 2, 4),
        PipelinedTile(256, 128, 32, 4, 2, interleaved=True),
        PipelinedTile(128, 256, 32, 2, 4, interleaved=True),
        PipelinedTile(128, 128, 64, 2, 4, interleaved=True),
        PipelinedTile(64, 128, 32, 2, 2, buffers=2, interleaved=True),
        PipelinedTile(128, 128, 32, 2, 2, w_packed=True, buffers=2, staged=2),
        PipelinedTile(128, 128, 32, 2, 2, w_in_place=True),
        PipelinedTile(128, 128, 32, 2, 2, interleaved=True, a_is_f16=True),
        PipelinedTile(128, 128, 32, 2, 2, interleaved=True, a_is_f16=True, buffers=2),
        PipelinedTile(128, 128, 64, 2, 4, w_packed=True, a_is_f16=True),
    ),
)
_DIRECT = ((DirectTile(4, 4, 2, 2, 2), DirectTile(4, 4, 1, 1, 4)),
           (DirectTile(4, 4, 2, 1, 4), DirectTile(4, 2, 2, 2, 2),
            DirectTile(4, 4, 4, 2, 1)))  # fmt: skip
_WINOGRAD = (
    OuterTile(128, 128, 32, 8, 8),
    OuterTile(128, 64, 32, 8, 8),
    OuterTile(64, 64, 32, 8, 4),
    OuterTile(128, 128, 16, 16, 8),
    OuterTile(128, 128, 16, 16, 8, is_f16=False),
    OuterTile(128, 64, 32, 8, 8, is_f16=False),
    PipelinedTile(128, 128, 32, 2, 2, interleaved=True),
    PipelinedTile(128, 128, 32, 2, 4, interleaved=True, buffers=2),
    PipelinedTile(64, 64, 32, 2, 2, interleaved=True),
)
# The product's own kernels of these convolutions, whose launches take a chunk of the image each.
_OWN_WINOGRAD: tuple[tuple[VariantKind[GemmProblem, Any], Any], ...] = (
    *(
        (CONV_WINOGRAD_F32, tile)
        for tile in (
            GemmTile(128, 64, 16, 8, 8),
            GemmTile(128, 128, 16, 16, 8),
            GemmTile(128, 128, 16, 8, 8),
            GemmTile(64, 64, 16, 8, 4),
        )
    ),
    (CONV_WINOGRAD_F16, F16Tile(64, 64, 32, 8, 4)),
    (CONV_WINOGRAD_F16, F16Tile(128, 64, 32, 8, 8)),
    *(
        (CONV_WINOGRAD_SUBGROUP_MATRIX, tile)
        for tile in (
            SubgroupMatrixTile(64, 64, 32, 2, 2),
            SubgroupMatrixTile(128, 128, 32, 2, 2),
            SubgroupMatrixTile(128, 64, 32, 2, 2),
        )
    ),
)
# By head_dim.
_FLASH_F16 = {
    40: (
        FlashBlock(256, 32, 40, 32, (8, 4), (8, 5)),
        FlashBlock(128, 64, 40, 64, (8, 8), (8, 5)),
        FlashBlock(128, 32, 40, 32, (8, 4), (8, 5)),
        FlashBlock(128, 32, 40, 32, (4, 4), (4, 5)),
        FlashBlock(128, 64, 40, 32, (8, 8), (8, 5)),
        FlashBlock(256, 64, 20, 32, (8, 8), (8, 5)),
        FlashBlock(64, 32, 40, 32, (4, 4), (4, 5)),
    ),
    64: (
        FlashBlock(128, 64, 32, 64, (8, 8), (8, 8)),
        FlashBlock(128, 64, 64, 32, (8, 8), (8, 8)),
        FlashBlock(128, 32, 32, 32, (8, 4), (8, 8)),
        FlashBlock(128, 32, 32, 32, (4, 4), (8, 4)),
        FlashBlock(64, 64, 32, 64, (4, 8), (8, 4)),
        FlashBlock(64, 64, 32, 64, (8, 8), (8, 8)),
        FlashBlock(128, 64, 32, 32, (8, 4), (8, 4)),
    ),
    80: (
        FlashBlock(128, 64, 40, 32, (8, 4), (8, 5)),
        FlashBlock(128, 64, 40, 32, (8, 8), (8, 10)),
        FlashBlock(64, 64, 40, 32, (4, 8), (8, 5)),
        FlashBlock(64, 64, 40, 32, (8, 8), (8, 10)),
    ),
    160: (
        FlashBlock(64, 64, 40, 16, (4, 8), (8, 10)),
        FlashBlock(32, 64, 40, 16, (4, 4), (8, 5)),
        FlashBlock(32, 64, 40, 16, (2, 8), (8, 5)),
    ),
}
_MATRIX_BLOCKS = tuple(
    SubgroupMatrixBlock(*numbers) for numbers in ((4, 2, 32), (8, 1, 32), (4, 1, 64), (2, 2, 32))
)
_ONE_PASS_BLOCKS = tuple(
    OnePassBlock(*numbers)
    for numbers in (
        (1, 2, 32), (1, 2, 64), (2, 2, 32), (2, 2, 64), (4, 2, 32), (4, 1, 32),
        (4, 1, 64), (8, 1, 32), (1, 1, 64), (2, 1, 64), (8, 2, 16),
    )
)  # fmt: skip


def list_candidates(problem: StudyProblem, *, all_tiles: bool = True) -> list[Candidate]:
    """Return the candidates of a problem, each name once.

    Args:
        problem: what is computed.
        all_tiles: whether tiles are tried that only some problems get.
    """
    found = [*_list_today(problem)]
    if isinstance(problem, GemmProblem):
        found += _list_gemms(problem, 2 if all_tiles else 1)
    else:
        found += _list_attentions(problem)
    return list({candidate.name: candidate for candidate in reversed(found)}.values())[::-1]


def _list_today(problem: StudyProblem) -> Iterator[Candidate]:
    """Yield the variants that the product selects: the baseline."""
    for kind in kinds_for(problem):
        is_f32 = kind in (CONV_WINOGRAD_F32, GEMM_TILED_F32, ATTENTION_FLASH)
        for parameters in kind.choose(problem)[:1]:
            if parameters is None:  # GEMV, which the study does not look at
                continue
            tile = describe_tile(parameters) if hasattr(parameters, "m") else astuple(parameters)
            yield candidate_of_variant(
                f"today {kind.name} {tile}",
                kind.variant(problem, parameters),
                F32_LIMIT if is_f32 else F16_LIMIT,
            )


def _list_gemms(problem: GemmProblem, lists: int) -> Iterator[Candidate]:
    """Yield the candidates of a GEMM, of so many of the lists of tiles."""
    for f16 in _fitting(problem, _F16[:lists], _ENOUGH_SMALL, fits):
        yield candidate_of_variant(f"f16 {describe_tile(f16)}", f16_gemm(problem, f16), F16_LIMIT)
    for f32 in _fitting(problem, _F32[:lists], _ENOUGH_SMALL, fits):
        yield candidate_of_variant(f"f32 {describe_tile(f32)}", tiled_gemm(problem, f32), F32_LIMIT)
    for outer in _fitting(problem, _OUTER[:lists], _ENOUGH_LARGE, fits_outer):
        yield outer_candidate(problem, outer)
    for matrix in _fitting(problem, _MATRIX[:lists], _ENOUGH_MATRIX, fits_subgroup_matrix):
        variant = subgroup_matrix_gemm(problem, matrix)
        yield candidate_of_variant(f"matrix {describe_tile(matrix)}", variant, F16_LIMIT)
    for pipelined in _fitting(problem, _PIPELINED[:lists], _ENOUGH_MATRIX, fits_pipelined):
        yield pipelined_candidate(problem, pipelined)
    for direct in (tile for tiles in _DIRECT[:lists] for tile in tiles):
        if fits_direct(problem, direct):
            yield direct_candidate(problem, direct)
    for tile in _WINOGRAD:
        if fits_winograd(problem, tile):
            yield winograd_candidate(problem, tile)
    for kind, own in _OWN_WINOGRAD:
        if kind.accepts(problem, own):
            name = f"winograd {kind.name} {describe_tile(own)}"
            limit = F32_LIMIT if kind is CONV_WINOGRAD_F32 else F16_LIMIT
            yield candidate_of_variant(name, kind.variant(problem, own), limit)


def _fitting(
    problem: GemmProblem,
    lists: tuple[tuple[T, ...], ...],
    enough: int,
    is_fitting: Callable[[GemmProblem, T], bool],
) -> Iterator[T]:
    """Yield the tiles that fit a problem, with k split until there are enough workgroups."""
    for tile in (tile for tiles in lists for tile in tiles):
        best = tile
        groups = math.prod(problem.grid(tile.m, tile.n))
        for split_k in _SPLITS if groups < enough else ():
            split = replace(tile, split_k=split_k)
            steps = problem.k // tile.k // split_k
            if steps >= _MIN_STEPS_PER_SPLIT and is_fitting(problem, split):
                best = split
                if split_k * groups >= enough:
                    break
        if is_fitting(problem, best):
            yield best


def _list_attentions(problem: AttentionProblem) -> Iterator[Candidate]:
    for flash in _FLASH_F16.get(problem.head_dim, ()):
        yield flash_f16_candidate(problem, flash)
    for block in _MATRIX_BLOCKS:
        variant = subgroup_matrix_attention(problem, block)
        yield candidate_of_variant(f"matrix {_describe_block(block)}", variant, F16_LIMIT)
    for one_pass in _ONE_PASS_BLOCKS:
        variant = one_pass_attention(problem, one_pass)
        yield candidate_of_variant(f"one pass {_describe_block(one_pass)}", variant, F16_LIMIT)


def _describe_block(block: SubgroupMatrixBlock | OnePassBlock) -> str:
    return f"s{block.subgroups} r{block.row_units} k{block.keys}"
