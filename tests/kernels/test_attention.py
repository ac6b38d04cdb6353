"""Attention kernels in WGSL on a GPU, against PyTorch in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from emulated import emulated

from wsd.evaluate.metrics import relative_error
from wsd.kernels.attention.flash import (
    FlashBlock,
    flash_attention,
    flash_blocks,
    further_flash_blocks,
)
from wsd.kernels.attention.one_pass import OnePassBlock, fits_one_pass, one_pass_attention
from wsd.kernels.attention.subgroup_matrix import (
    SubgroupMatrixBlock,
    further_subgroup_matrix_blocks,
    subgroup_matrix_attention,
    subgroup_matrix_block,
)
from wsd.kernels.heuristics import choose_attention_one_pass
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.tuning.further_tiles import BLOCKS_ONE_PASS

# No block divides all queries and keys.
PROBLEMS = [
    AttentionProblem(2, 100, 77, 2, 40, 40**-0.5),
    AttentionProblem(1, 77, 77, 3, 64, 0.125, causal=True),
    AttentionProblem(1, 64, 64, 2, 80, 80**-0.5),
    AttentionProblem(1, 40, 33, 2, 128, 128**-0.5),
    AttentionProblem(1, 33, 64, 2, 160, 160**-0.5),
    AttentionProblem(1, 48, 48, 1, 512, 512**-0.5),
]
# Blocks that need more shared memory than software adapters have, here with fewer queries: each
# thread computes the same.
FEWER_QUERIES = [
    (PROBLEMS[0], FlashBlock(64, 32, 40, 32, (8, 4), (8, 5))),
    (PROBLEMS[2], FlashBlock(64, 64, 40, 32, (4, 8), (4, 10))),
    (PROBLEMS[5], FlashBlock(16, 64, 64, 8, (2, 4), (8, 8))),
]
# The last block of each head_dim fits any adapter. The others compute the same with other numbers,
# and software adapters take seconds to compile each: `nox -s exhaustive` and `nox -s kernels`.
# `nox -s full` runs those of the largest and the smallest of published models' heads.
# `nox -s tests` runs the narrowest head, and a causal one.
LAST_BLOCKS = [(problem, flash_blocks(problem.head_dim)[-1]) for problem in PROBLEMS]
FLASH = [
    *LAST_BLOCKS,
    FEWER_QUERIES[0],
    (AttentionProblem(1, 40, 40, 2, 16, 0.25), flash_blocks(16)[0]),
]
USUAL = [LAST_BLOCKS[1], FLASH[-1]]
SELDOM = [
    *(
        (problem, block)
        for problem in PROBLEMS
        for block in flash_blocks(problem.head_dim)
        if (problem, block) not in LAST_BLOCKS
    ),
    *FEWER_QUERIES[1:],
]
# Blocks for tuning alone: `nox -s full` runs those of the first problem.
FURTHER = [
    (problem, block) for problem in PROBLEMS for block in further_flash_blocks(problem.head_dim)
]


# With a bias, as T5's attention: several heads, a scale of 1; queries and keys that no block
# divides, that all divide, and fewer queries than a block has; of narrow heads and causal too.
BIASED = [
    AttentionProblem(1, 70, 77, 3, 64, 1.0, bias=True),
    AttentionProblem(2, 32, 64, 2, 64, 0.125, bias=True),
    AttentionProblem(1, 5, 40, 4, 8, 1.0, bias=True),
    AttentionProblem(1, 45, 45, 2, 16, 0.25, causal=True, bias=True),
]


def choose_mark(case):
    """Return the mark of a problem and a block."""
    if case in USUAL:
        return ()
    often = (LAST_BLOCKS[0], LAST_BLOCKS[4], *FURTHER[:2])
    return pytest.mark.full if case in often else pytest.mark.exhaustive


def make_operands(problem):
    """Return query, key and value, (batch, length, heads, head_dim) float32."""
    random = np.random.default_rng(0)
    q, k, v = (
        random.standard_normal((problem.batch, length, problem.heads, problem.head_dim))
        for length in (problem.queries, problem.keys, problem.keys)
    )
    # Scores reach a few tens: exp overflows unless the largest score is subtracted.
    return tuple(x.astype(np.float32) for x in (6 * q, k, v))


def attend(problem, q, k, v, bias=None):
    """Return the attention in float64, by PyTorch."""
    operands = [torch.from_numpy(x).double().transpose(1, 2) for x in (q, k, v)]
    mask = None
    if bias is not None:
        mask = torch.from_numpy(bias).double()
        if problem.causal:
            # PyTorch takes one of the two.
            hidden = torch.ones(mask.shape[-2:], dtype=torch.bool).triu(1)
            mask = mask.masked_fill(hidden, -torch.inf)
    found = torch.nn.functional.scaled_dot_product_attention(
        *operands,
        attn_mask=mask,
        is_causal=problem.causal and mask is None,
        scale=problem.scale,
    )
    return found.transpose(1, 2).numpy()


def name_case(value):
    """Return the name of a problem or of a block in the tests' names."""
    if isinstance(value, AttentionProblem):
        return str(value.head_dim)
    return str(getattr(value, "threads", value))


@pytest.mark.parametrize(
    ("problem", "block"),
    [
        *(pytest.param(*case, marks=choose_mark(case)) for case in [*FLASH, *SELDOM, *FURTHER]),
    ],
    ids=name_case,
)
def test_flash_attention(kernel_host, problem, block):
    variant = flash_attention(problem, block)
    if not kernel_host.supports(variant):
        assert block != flash_blocks(problem.head_dim)[-1], "the last block is for any adapter"
        pytest.skip(f"not run: the adapter has less than {variant.shared_bytes} bytes to share")
    q, k, v = make_operands(problem)
    expected = attend(problem, q, k, v)
    found, _ = kernel_host.run(variant, {"q": q, "k": k, "v": v}, expected.size)
    assert relative_error(found, expected) < 2e-6


@pytest.mark.parametrize(
    ("problem", "block"),
    [
        pytest.param(
            problem,
            block,
            # One that masks keys and is for any adapter, and one of narrow heads.
            marks=()
            if problem in BIASED[::2] and block == flash_blocks(problem.head_dim)[-1]
            else pytest.mark.full,
        )
        for problem in BIASED
        for block in flash_blocks(problem.head_dim)
    ],
    ids=name_case,
)
def test_flash_attention_with_a_bias(kernel_host, problem, block):
    problem = replace(problem, buffers=("result", "q", "k", "v", "bias"))
    variant = flash_attention(problem, block)
    if not kernel_host.supports(variant):
        assert block != flash_blocks(problem.head_dim)[-1], "the last block is for any adapter"
        pytest.skip(f"not run: the adapter has less than {variant.shared_bytes} bytes to share")
    q, k, v = make_operands(problem)
    # Scores without a scale are larger: relative to them, not to the results, float32 rounds.
    q *= np.float32(0.2) if problem.scale == 1 else np.float32(1)
    bias = 4 * np.random.default_rng(1).standard_normal(
        (1, problem.heads, problem.queries, problem.keys)
    )
    bias = bias.astype(np.float32)
    expected = attend(problem, q, k, v, bias)
    assert relative_error(attend(problem, q, k, v), expected) > 0.1  # the bias matters
    found, _ = kernel_host.run(variant, {"q": q, "k": k, "v": v, "bias": bias}, expected.size)
    assert relative_error(found, expected) < 2e-6


def round_f16(values, factor=1.0):
    """Return values rounded to f16 after a scaling, and scaled back."""
    scaled = (values * np.float32(factor)).astype(np.float16)
    return scaled.astype(np.float32) / np.float32(factor)


def check_subgroup_matrix(host, problem, variant):
    q, k, v = make_operands(problem)
    # The rounding of the operands to f16 is not counted as an error.
    rounded = (round_f16(q, problem.exp2_scale), round_f16(k), round_f16(v))
    expected = attend(problem, *rounded)
    found, _ = host.run(variant, {"q": q, "k": k, "v": v}, expected.size)
    assert relative_error(found, expected) < 1e-3


SUBGROUP_MATRIX = [
    *((p, block) for p in PROBLEMS if (block := subgroup_matrix_block(p))),
    *((p, block) for p in PROBLEMS for block in further_subgroup_matrix_blocks(p)),
]


@pytest.mark.parametrize(("problem", "block"), SUBGROUP_MATRIX, ids=name_case)
def test_subgroup_matrix(kernel_host, problem, block):
    variant = subgroup_matrix_attention(problem, block)
    if not kernel_host.supports(variant):
        pytest.skip("not run: the adapter has no subgroup matrices")
    check_subgroup_matrix(kernel_host, problem, variant)


# Emulated f16 is stored as f32: blocks have fewer subgroups or keys, to fit shared memory.
@pytest.mark.parametrize(
    ("problem", "block"),
    [
        pytest.param(
            PROBLEMS[0], SubgroupMatrixBlock(2, 1, 32), id="40-1_unit", marks=pytest.mark.full
        ),
        pytest.param(
            PROBLEMS[0],
            SubgroupMatrixBlock(1, 2, 32),
            id="40-2_units",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            PROBLEMS[4], SubgroupMatrixBlock(2, 1, 16), id="160", marks=pytest.mark.exhaustive
        ),
    ],
)
def test_emulated_subgroup_matrix(kernel_host, problem, block):
    variant = emulated(subgroup_matrix_attention(problem, block))
    assert kernel_host.supports(variant)
    check_subgroup_matrix(kernel_host, problem, variant)


# Whole blocks of 32 keys, and such that the last one has a single key.
LENGTHS = {"whole": (64, 96), "cut": (40, 97)}


def make_ordered(problem, order):
    """Return query, key and value whose scores take an order along the keys.

    Args:
        problem: the attention; its keys are at least two blocks of 32.
        order: `grow`, so that the largest of each 32 is 6.5 above that of those before, more than
            8 powers of 2, but little enough that these still count; in a third of the rows they
            shrink instead. `steady`, where none exceeds the first block's by as much. `shrink`, in
            all rows. `random`: those of :func:`make_operands`.
    """
    if order == "random":
        return make_operands(problem)
    random = np.random.default_rng(2)
    q, k, v = (
        random.standard_normal((problem.batch, length, problem.heads, problem.head_dim))
        for length in (problem.queries, problem.keys, problem.keys)
    )
    # Scores are those of the first dimension, and small random ones.
    q *= 0.1
    steps = {"grow": 6.5, "steady": 0.0, "shrink": -6.5}[order] * (np.arange(problem.keys) // 32)
    k[..., 0] = steps[None, :, None]
    q[..., 0] = 1 / problem.scale
    if order == "grow":
        q[:, ::3, :, 0] *= -1
    return tuple(x.astype(np.float32) for x in (q, k, v))


def reference_changes(problem, q, k, block_keys):
    """Return, of each row, how often the reference of a softmax in one pass grows after a block."""
    scores = np.einsum("bqhd,bkhd->bhqk", q.astype(np.float64), k) * problem.exp2_scale
    reference = scores[..., :block_keys].max(-1)
    changes = np.zeros(reference.shape, int)
    for first in range(block_keys, problem.keys, block_keys):
        largest = scores[..., first : first + block_keys].max(-1)
        grows = largest > reference + 8
        reference = np.where(grows, largest, reference)
        changes += grows
    return changes


def check_one_pass(host, problem, variant, operands):
    q, k, v = operands
    expected = attend(problem, round_f16(q, problem.exp2_scale), round_f16(k), round_f16(v))
    found, _ = host.run(variant, {"q": q, "k": k, "v": v}, expected.size)
    assert relative_error(found, expected) < 1e-3


@pytest.mark.parametrize("order", ["grow", "steady", "shrink", "random"])
@pytest.mark.parametrize("head_dim", [20, 40, 64, 80, 160])
def test_one_pass(kernel_host, head_dim, order):
    for lengths in LENGTHS.values():
        problem = AttentionProblem(2, *lengths, 2, head_dim, head_dim**-0.5)
        blocks = {*choose_attention_one_pass(replace(problem, queries=4096, keys=4096))}
        blocks |= {*BLOCKS_ONE_PASS, OnePassBlock(1, 1, 16), OnePassBlock(2, 1, 64)}
        for block in sorted(blocks, key=lambda block: block.queries):
            variant = one_pass_attention(problem, block)
            if not kernel_host.supports(variant):
                pytest.skip("not run: the adapter has no subgroup matrices")
            check_one_pass(kernel_host, problem, variant, make_ordered(problem, order))


CHOSEN, NARROW, WIDE = OnePassBlock(1, 2, 16), OnePassBlock(1, 2, 32), OnePassBlock(2, 1, 16)


@pytest.mark.parametrize(
    ("head_dim", "block", "lengths", "order"),
    [
        pytest.param(40, CHOSEN, "cut", "grow", id="40-grow"),
        *(
            pytest.param(
                head_dim, block, lengths, order,
                marks=pytest.mark.full if head_dim in (20, 40) else pytest.mark.exhaustive,
                id=f"{head_dim}-{block.row_units}-{block.keys}-{lengths}-{order}",
            )
            for head_dim, block, lengths, order in (
                (40, WIDE, "cut", "grow"),
                (40, NARROW, "cut", "grow"),
                (40, NARROW, "cut", "steady"),
                (40, CHOSEN, "whole", "random"),
                (20, WIDE, "cut", "shrink"),
                (64, CHOSEN, "whole", "grow"),
                (64, WIDE, "cut", "random"),
                (80, NARROW, "cut", "grow"),
                (160, WIDE, "cut", "grow"),
                (160, WIDE, "whole", "steady"),
            )
        ),
    ],
)  # fmt: skip
def test_emulated_one_pass(kernel_host, head_dim, block, lengths, order):
    problem = AttentionProblem(2, *LENGTHS[lengths], 2, head_dim, head_dim**-0.5)
    operands = make_ordered(problem, order)
    changes = reference_changes(problem, *operands[:2], block.keys)
    if order == "grow":
        # At every later block of 32 keys in two of three rows, and in the others never.
        assert set(np.unique(changes)) == {0, (problem.keys - 1) // 32}
    if order in ("steady", "shrink"):
        assert not changes.any()
    variant = emulated(one_pass_attention(problem, block))
    assert kernel_host.supports(variant)
    check_one_pass(kernel_host, problem, variant, operands)


def test_the_block_that_runs_by_default_is_emulated_too():
    problem = AttentionProblem(2, 4096, 4096, 8, 40, 40**-0.5)
    assert choose_attention_one_pass(problem) == [CHOSEN]


def test_one_pass_takes_no_causal_mask_no_bias_and_no_operands_of_too_many_bytes():
    problem = AttentionProblem(2, 4096, 4096, 8, 40, 0.1)
    assert fits_one_pass(problem, NARROW)
    for other in ({"causal": True}, {"bias": True}, {"head_dim": 164}, {"keys": 1 << 16}):
        assert not fits_one_pass(replace(problem, **other), NARROW)
