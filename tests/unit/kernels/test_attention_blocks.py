"""Blocks of the attention kernels meet the preconditions in the headers of their templates."""

from dataclasses import replace

import pytest

from wsd.kernels.attention.flash import flash_blocks, further_flash_blocks
from wsd.kernels.attention.one_pass import OnePassBlock, one_pass_attention
from wsd.kernels.attention.subgroup_matrix import subgroup_matrix_attention, subgroup_matrix_block
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES, BASELINE_MAX_THREADS

HEAD_DIMS = [8, 16, 24, 32, 40, 48, 64, 72, 80, 96, 128, 160, 256, 512]


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
def test_flash_blocks_meet_the_preconditions(head_dim):
    blocks = flash_blocks(head_dim)
    for block in [*blocks, *further_flash_blocks(head_dim)]:
        rows, columns = block.result_thread_tile
        assert head_dim % block.slice == block.slice % 4 == 0
        assert head_dim % columns == block.queries % rows == 0
        assert block.keys % block.value_keys == block.value_keys % 4 == 0
        # Scores are stored as vec4 along the keys.
        assert block.score_thread_tile[1] % 4 == 0
        # The threads share the results exactly, and there is one for each row of scores.
        assert block.threads * rows * columns == block.queries * head_dim
        assert block.queries <= block.threads <= BASELINE_MAX_THREADS
    assert blocks[-1].shared_bytes(head_dim) <= BASELINE_MAX_SHARED_BYTES


@pytest.mark.parametrize("head_dim", [4, 12, 36, 44, 264, 320])
def test_other_head_dims_have_no_flash_block(head_dim):
    assert flash_blocks(head_dim) == further_flash_blocks(head_dim) == []


def test_subgroup_matrices_take_no_causal_mask_no_bias_and_no_large_head_dim():
    assert subgroup_matrix_block(AttentionProblem(1, 64, 64, 1, 160, 1.0))
    for problem in (
        AttentionProblem(1, 64, 64, 1, 160, 1.0, causal=True),
        AttentionProblem(1, 64, 64, 1, 160, 1.0, bias=True),
        AttentionProblem(1, 64, 64, 1, 164, 1.0),
        AttentionProblem(1, 64, 64, 1, 42, 1.0),
    ):
        assert subgroup_matrix_block(problem) is None


def test_bodies_are_shared_by_problems_of_one_head_dim():
    problems = [AttentionProblem(2, n, n, heads, 40, 0.1) for n in (64, 4096) for heads in (1, 8)]
    launches = [
        subgroup_matrix_attention(p, subgroup_matrix_block(p)).launches[0] for p in problems
    ]
    assert len({launch.body for launch in launches}) == 1
    assert len({launch.head for launch in launches}) == 4


def test_in_one_pass_too_and_keys_and_values_are_packed_by_one_shader():
    problems = [
        AttentionProblem(2, n, n + 40, heads, 40, 0.1) for n in (64, 4096) for heads in (1, 8)
    ]
    variants = [one_pass_attention(p, OnePassBlock(4, 2, 32)) for p in problems]
    for variant in variants:
        _, keys, values, _ = variant.launches
        assert keys == replace(values, buffers=(1, "k"))
    bodies = [[launch.body for launch in variant.launches] for variant in variants]
    assert all(each == bodies[0] for each in bodies)
    assert len({variant.launches[-1].head for variant in variants}) == 4


@pytest.mark.parametrize("head_dim", [4, 40, 160])
@pytest.mark.parametrize(("queries", "keys"), [(1, 257), (128, 256), (4096, 4429)])
def test_packed_operands_are_whole_blocks_and_written_whole(head_dim, queries, keys):
    problem = AttentionProblem(2, queries, keys, 3, head_dim, 0.1)
    block = OnePassBlock(4, 2, 32)
    variant = one_pass_attention(problem, block)
    *packs, attend = variant.launches
    padded_head_dim = -(-head_dim // 16) * 16
    for size, pack, rows, multiple in zip(
        variant.scratch_bytes, packs, (queries, keys, keys), (128, 32, 32), strict=True
    ):
        padded = size // (2 * problem.batch * problem.heads * padded_head_dim)
        assert rows <= padded < rows + multiple
        assert padded % multiple == 0
        # Each thread writes four values of 2 bytes; no workgroup has nothing to write.
        threads = 256 * pack.grid[0] * pack.grid[1]
        assert size // 8 <= threads < size // 8 + 256 * pack.grid[1]
    assert attend.grid == (-(-queries // 128), 3, 2)
