"""The schedule rules: which functions each one takes, and how loops are bound to threads."""

import itertools
import math
import re

import pytest
from tvm.relax import op

from relax_functions import relax_function, tir_functions
from wsd.compiler.dump import Dump
from wsd.compiler.passes.schedule import schedule_rules
from wsd.compiler.pipeline import lower, lowering_passes, run_passes
from wsd.compiler.tir.schedule.attention import RowAttention, _threads
from wsd.compiler.tir.schedule.elementwise import Elementwise
from wsd.compiler.tir.schedule.matmul_direct import MatmulDirect
from wsd.compiler.tir.schedule.row_reduction import RowReduction
from wsd.compiler.tvm_compat import target

OWN = (Elementwise, RowAttention, MatmulDirect, RowReduction)


def fused(shapes, body):
    """Return the TIR functions of a model before they are scheduled."""
    return tir_functions(run_passes(lowering_passes({}), relax_function(shapes, body), Dump()))


def linear(emit, x, w):
    return emit(op.matmul(x, emit(op.permute_dims(w))))


def norm(emit, x, s, b):
    return emit(op.nn.layer_norm(x, s, b, axes=[-1]))


def attend(emit, q, k, v):
    return emit(op.nn.attention(q, k, v))


def attend_with_bias(emit, q, k, v, bias):
    return emit(op.nn.attention(q, k, v, bias))


def linear_shapes(m, n, k):
    return {"x": (m, k), "w": (n, k)}


def norm_shapes(rows, width):
    return {"x": (rows, width), "s": (width,), "b": (width,)}


ATTENTION = dict.fromkeys(("q", "k", "v"), (1, 64, 2, 8))
BIASED = {**ATTENTION, "bias": (1, 2, 64, 64)}
FUNCTIONS = [
    ({"x": (5, 6)}, lambda emit, x: emit(op.nn.relu(x)), "relu", Elementwise),
    (linear_shapes(16, 24, 8), linear, "linear", MatmulDirect),
    (norm_shapes(128, 96), norm, "layer_total", RowReduction),
    # It reads two tensors, as a GEMM does, so that the rule for GEMMs is the first to fit.
    (norm_shapes(128, 96), norm, "layer_spread", MatmulDirect),
    (norm_shapes(8, 96), norm, "layer_spread", RowReduction),
    (norm_shapes(128, 96), norm, "normalize", Elementwise),
    (ATTENTION, attend, "attention_statistics", RowAttention),
    (ATTENTION, attend, "attention", RowAttention),
    # Fewer outputs than threads, and more multiply-adds than suit registers: dlight's rules.
    (linear_shapes(1, 24, 8), linear, "linear", None),
    (linear_shapes(1 << 10, 1 << 10, (1 << 10) + 1), linear, "linear", None),
]


def apply(rule, function):
    with target():
        return rule.apply(function, target(), False)


@pytest.mark.parametrize(("shapes", "body", "name", "expected"), FUNCTIONS)
def test_which_rule_takes_a_function(shapes, body, name, expected):
    functions = fused(shapes, body)
    taken = [rule for rule in OWN if apply(rule(), functions[name]) is not None]
    assert taken[:1] == ([] if expected is None else [expected])


def test_the_order_in_which_rules_are_tried():
    assert tuple(type(rule) for rule in schedule_rules()[: len(OWN)]) == OWN


def threads(function):
    """Return thread axis → extent of a scheduled function's bound loops."""
    bound = re.findall(
        r'T\.thread_binding\(\D*(?:64\()?(\d+)\)?, thread="([\w.]+)"\)', function.script()
    )
    return {axis: int(extent) for extent, axis in bound}


def scheduled(rule, shapes, body, name):
    return threads(apply(rule(), fused(shapes, body)[name]).mod["main"])


@pytest.mark.parametrize(
    ("m", "n", "k", "tile"),
    [
        (16, 24, 8, (4, 4)),
        (6, 12, 8, (2, 4)),
        (7, 12, 8, (1, 4)),
        # Enough threads and enough work for tiles of 8x8.
        (128, 128, 1 << 10, (8, 8)),
        # Enough threads, too little work.
        (128, 128, 1 << 8, (4, 4)),
        # Enough work, too few threads.
        (64, 64, 1 << 14, (4, 4)),
    ],
)
def test_a_thread_takes_a_tile_of_a_gemm(m, n, k, tile):
    tiles = (m // tile[0]) * (n // tile[1])
    assert scheduled(MatmulDirect, linear_shapes(m, n, k), linear, "linear") == {
        "blockIdx.x": math.ceil(tiles / 64),
        "threadIdx.x": 64,
    }


def test_many_rows_take_a_thread_each_and_few_a_workgroup():
    many = scheduled(RowReduction, norm_shapes(128, 96), norm, "layer_total")
    assert many == {"blockIdx.x": 2, "threadIdx.x": 64}
    few = scheduled(RowReduction, norm_shapes(5, 960), norm, "layer_total")
    assert few == {"blockIdx.x": 5, "threadIdx.x": 64}


@pytest.mark.slow
def test_attention_takes_a_thread_a_query():
    cases = ((ATTENTION, attend), (BIASED, attend_with_bias))
    for (shapes, body), name in itertools.product(cases, ("attention_statistics", "attention")):
        found = scheduled(RowAttention, shapes, body, name)
        assert found == {"blockIdx.x": 2, "threadIdx.x": 64}


@pytest.mark.parametrize(
    ("rows", "queries", "expected"),
    [
        (128, 64, 64),  # one workgroup a head
        (192, 96, 48),  # half a head
        (924, 77, 44),  # 77 has no divisor that fills a workgroup: no row is left over at least
        (8, 4, 64),  # few rows in all
    ],
)
def test_how_many_queries_a_workgroup_of_attention_takes(rows, queries, expected):
    assert _threads(rows, queries) == expected


@pytest.mark.parametrize(
    ("batch", "heads", "queries", "grid"),
    [
        (2, 8, 64, {"blockIdx.x": 16}),
        # Of pictures whose latents do not halve evenly: workgroups would begin in one item of the
        # batch and end in the other.
        (2, 8, 17 * 17, {"blockIdx.x": 68, "blockIdx.y": 2}),
        (2, 8, 65 * 65, {"blockIdx.x": 650, "blockIdx.y": 2}),
        (2, 20, 33 * 17, {"blockIdx.x": 440}),
        (2, 8, 71 * 73, {"blockIdx.x": 648, "blockIdx.y": 2}),
        # Four heads of 15 queries fill a workgroup, and ten heads are no multiple of four.
        (2, 10, 15, {"blockIdx.x": 5, "blockIdx.y": 2}),
        (1, 8, 17 * 17, {"blockIdx.x": 68}),
        (1, 8, 71 * 73, {"blockIdx.x": 648}),
    ],
)
def test_any_number_of_queries_is_scheduled(batch, heads, queries, grid):
    shapes = {"q": (batch, queries, heads, 8), **dict.fromkeys("kv", (batch, 77, heads, 8))}
    functions = fused(shapes, attend)
    for name in ("attention_statistics", "attention"):
        found = threads(apply(RowAttention(), functions[name]).mod["main"])
        assert found.pop("threadIdx.x") <= 64
        assert found == grid


@pytest.mark.slow
def test_every_function_is_scheduled():
    def model(emit, x, w, s, b):
        return emit(op.nn.silu(norm(emit, linear(emit, x, w), s, b)))

    shapes = {"x": (128, 8), "w": (96, 8), "s": (96,), "b": (96,)}
    module, report = lower(relax_function(shapes, model), {}, Dump())
    functions = tir_functions(module)
    assert set(functions) == set(report.operations) == set(report.bytes_accessed)
    assert len(functions) >= 4
    for function in functions.values():
        assert threads(function)["threadIdx.x"] <= 256


def test_the_report_counts_work():
    _, report = lower(relax_function(linear_shapes(16, 24, 8), linear), {}, Dump())
    assert report.operations == {"linear": 2 * 16 * 24 * 8}
    assert report.bytes_accessed == {"linear": 4 * (16 * 8 + 24 * 8 + 16 * 24)}
