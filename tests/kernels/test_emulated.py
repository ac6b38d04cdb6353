"""The emulation of subgroup matrices refuses what it would not compute."""

from dataclasses import replace

import pytest
from emulated import emulated

from tools.check_wgsl import Shader, find_faults
from wsd.kernels.attention.subgroup_matrix import (
    SubgroupMatrixBlock,
    subgroup_matrix_attention,
    subgroup_matrix_block,
)
from wsd.kernels.problem import AttentionProblem

PROBLEM = AttentionProblem(1, 64, 64, 1, 40, 1.0)
VARIANT = subgroup_matrix_attention(PROBLEM, SubgroupMatrixBlock(2, 1, 32))


def test_it_is_plain_wgsl():
    found = emulated(VARIANT)
    shaders = [Shader("emulated", launch.head + launch.body) for launch in found.launches]
    assert find_faults(shaders) == []
    assert found.features == ()
    # f16 takes as much room as f32.
    assert VARIANT.shared_bytes < found.shared_bytes <= 2 * VARIANT.shared_bytes


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("subgroupShuffleXor", "subgroupShuffleUp", "subgroupShuffleUp"),
        ("subgroup_matrix_left<f16, 16, 16>", "subgroup_matrix_left<f16, 8, 8>", "matrix_left"),
        ("vec4<f16>", "vec2<f16>", "f16"),
    ],
)
def test_a_word_without_a_rule_is_refused(old, new, word):
    [launch] = VARIANT.launches
    assert old in launch.body
    changed = replace(launch, body=launch.body.replace(old, new, 1))
    with pytest.raises(AssertionError, match=f"no rule for .*{word}"):
        emulated(replace(VARIANT, launches=(changed,)))


def test_variants_without_subgroup_matrices_are_refused():
    with pytest.raises(AssertionError):
        emulated(replace(VARIANT, subgroup_matrix=None))
    assert subgroup_matrix_block(replace(PROBLEM, causal=True)) is None
