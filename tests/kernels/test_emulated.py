"""The emulation of subgroup matrices refuses what it would not compute."""

from dataclasses import replace

import pytest
from emulated import emulated

from tools.check_wgsl import Shader, find_faults
from wsd.kernels.attention.one_pass import OnePassBlock, one_pass_attention
from wsd.kernels.attention.subgroup_matrix import (
    SubgroupMatrixBlock,
    subgroup_matrix_attention,
    subgroup_matrix_block,
)
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile, subgroup_matrix_gemm
from wsd.kernels.problem import AttentionProblem, GemmProblem

PROBLEM = AttentionProblem(1, 64, 64, 1, 40, 1.0)
ATTENTION = subgroup_matrix_attention(PROBLEM, SubgroupMatrixBlock(2, 1, 32))
ONE_PASS = one_pass_attention(PROBLEM, OnePassBlock(2, 1, 32))
TILE = SubgroupMatrixTile(64, 64, 32, 2, 2)
GEMM = {
    weights: subgroup_matrix_gemm(GemmProblem(77, 72, 192, weights), TILE)
    for weights in ("float32", "float16", "int8", "int4")
}


@pytest.mark.parametrize(
    "variant",
    [ATTENTION, ONE_PASS, *GEMM.values()],
    ids=["attention", "one pass", *GEMM],
)
def test_it_is_plain_wgsl(variant):
    found = emulated(variant)
    shaders = [Shader("emulated", launch.head + launch.body) for launch in found.launches]
    assert find_faults(shaders) == []
    assert found.features == ()
    if variant in (ATTENTION, ONE_PASS):
        # f16 takes as much room as f32, but in words of two.
        assert variant.shared_bytes < found.shared_bytes <= 2 * variant.shared_bytes
    else:
        assert found.shared_bytes == variant.shared_bytes


@pytest.mark.parametrize(
    ("variant", "old", "new", "word"),
    [
        (ATTENTION, "subgroupShuffleXor", "subgroupShuffleUp", "subgroupShuffleUp"),
        (
            ATTENTION,
            "subgroup_matrix_left<f16, 16, 16>",
            "subgroup_matrix_left<f16, 8, 8>",
            "matrix_left",
        ),
        (ATTENTION, "vec4<f16>", "vec2<f16>", "f16"),
        # The extension's older form, which gives the order as an argument.
        (ATTENTION, "subgroupMatrixStore<row_major>(", "subgroupMatrixStore(", "MatrixStore"),
        # Pointers to an element, and to an array of arrays.
        (ATTENTION, "&kv_tile,", "&kv_tile[0u],", "MatrixLoad"),
        (ATTENTION, "&scores[subgroup],", "&scores,", "MatrixStore"),
        # Arrays that matrices do not lie in.
        (ATTENTION, "kv_tile : array<vec2<u32>,", "kv_tile : array<vec4<f32>,", "MatrixLoad"),
        (ATTENTION, "&kv_tile,", "&k,", "MatrixLoad"),
        (
            ONE_PASS,
            "Load<subgroup_matrix_result<f32, 16, 16>, col_major>(&scores[",
            "Load<subgroup_matrix_result<f32, 16, 16>, col_major>(&probabilities[",
            "MatrixLoad",
        ),
        # Two rows in one word.
        (GEMM["int8"], "Store<row_major>(&parts", "Store<col_major>(&parts", "MatrixStore"),
    ],
)
def test_a_word_without_a_rule_is_refused(variant, old, new, word):
    launch = variant.launches[-1]
    assert old in launch.body
    changed = replace(launch, body=launch.body.replace(old, new, 1))
    with pytest.raises(AssertionError, match=f"no rule for .*{word}"):
        emulated(replace(variant, launches=(*variant.launches[:-1], changed)))


def test_variants_without_subgroup_matrices_are_refused():
    with pytest.raises(AssertionError):
        emulated(replace(ATTENTION, subgroup_matrix=None))
    assert subgroup_matrix_block(replace(PROBLEM, causal=True)) is None
