"""Which TIR functions are matched as attention, from Relax that is lowered here."""

from dataclasses import replace

import pytest
from tvm.relax import op

from relax_functions import relax_function, tir_functions
from wsd.compiler.dump import Dump
from wsd.compiler.match.attention import match_attention
from wsd.compiler.match.replace import match_function
from wsd.compiler.passes.pack_parameters import Signature
from wsd.compiler.pipeline import lowering_passes, run_passes
from wsd.compiler.tir.stages import SOFTMAX_STATISTICS, WEIGHTED_VALUES
from wsd.kernels.problem import AttentionProblem

# (batch, length, heads, head_dim); enough operations that the written kernel is worth it.
Q, KV = (2, 1024, 8, 40), (2, 77, 8, 40)
PROBLEM = AttentionProblem(2, 1024, 77, 8, 40, 40**-0.5, buffers=("unnamed", "q", "k", "v"))


def lower(inputs, body):
    """Return name → TIR function of one expression, after fusion and before scheduling."""
    module = relax_function(inputs, body)
    return tir_functions(
        run_passes(lowering_passes({"main": Signature(len(inputs), ())}), module, Dump())
    )


def match(q, k, v, **attributes):
    """Return what is matched in one attention: kind → problem."""
    functions = lower(
        {"q": q, "k": k, "v": v}, lambda _, *operands: op.nn.attention(*operands, **attributes)
    )
    return dict(filter(None, map(match_attention, functions.values())))


def check(found, problem):
    """Compare both functions' problems, names of intermediate buffers aside."""
    assert set(found) == {SOFTMAX_STATISTICS, WEIGHTED_VALUES}
    for each in found.values():
        assert each.scale == pytest.approx(problem.scale, rel=1e-6)  # float32 in TIR
        same = {"scale": problem.scale, "buffers": problem.buffers}
        assert replace(each, **same) == problem
    result, *operands = found[WEIGHTED_VALUES].buffers
    assert operands == ["q", "k", "v", *(["bias"] if problem.bias else [])]
    assert result not in operands


def test_cross_attention():
    check(match(Q, KV, KV), PROBLEM)


def test_self_attention_with_a_causal_mask():
    causal = replace(PROBLEM, queries=77, causal=True)
    check(match(KV, KV, KV, causal_mask="TopLeft"), causal)


def test_the_scale_is_the_operators():
    check(match(Q, KV, KV, scale=0.25), replace(PROBLEM, scale=0.25))


def test_a_kernel_launches_in_the_place_of_the_second_function_alone():
    functions = lower({"q": Q, "k": KV, "v": KV}, lambda _, *operands: op.nn.attention(*operands))
    launches = {}
    for name, function in functions.items():
        kind, _ = match_attention(function)
        found = match_function(name, function)
        assert found.variants
        launches[kind] = sum(len(variant.launches) for variant in found.variants)
    assert launches[SOFTMAX_STATISTICS] == 0
    assert launches[WEIGHTED_VALUES] >= 1


def test_a_value_of_another_head_dim_is_not_matched():
    assert match(Q, KV, (2, 77, 8, 64)) == {}


def match_biased(bias, **attributes):
    """Return what is matched in an attention whose scores have a bias of some shape."""
    functions = lower(
        {"q": Q, "k": KV, "v": KV, "bias": bias},
        lambda _, *operands: op.nn.attention(*operands, **attributes),
    )
    assert len(functions) == 2
    return dict(filter(None, map(match_attention, functions.values())))


@pytest.mark.parametrize("scale", [None, 1.0, 0.25])
def test_a_bias_of_each_score(scale):
    biased = replace(PROBLEM, bias=True, buffers=("unnamed", "q", "k", "v", "bias"))
    wanted = biased if scale is None else replace(biased, scale=scale)
    check(match_biased((1, 8, 1024, 77), scale=scale), wanted)


@pytest.mark.parametrize("bias", [(2, 8, 1024, 77), (1, 1, 1024, 77), (1, 8, 1, 77)], ids=str)
def test_a_bias_of_another_shape_is_not_matched(bias):
    assert match_biased(bias) == {}


def test_a_softmax_of_a_matmul_is_not_matched():
    functions = lower(
        {"q": (1024, 40), "k": (40, 77)},
        lambda emit, q, k: op.nn.softmax(emit(op.matmul(q, k))),
    )
    assert functions
    assert not any(map(match_attention, functions.values()))
