"""Which TIR functions are matched as sums of norms, from Relax that is lowered here."""

import pytest
from tvm.relax import op

from relax_functions import relax_function, tir_functions
from wsd.compiler.dump import Dump
from wsd.compiler.match.norm_sums import match_norm_sums
from wsd.compiler.passes.pack_parameters import Signature
from wsd.compiler.pipeline import lowering_passes, run_passes
from wsd.compiler.tir.stages import (
    GROUP_NORM,
    LAYER_NORM,
    ROW_TOTAL,
    SQUARED_DEVIATIONS,
    SUMS,
    norm_sums_name,
)
from wsd.kernels.problem import NormSumsProblem

ROWS, IMAGE = (2, 77, 320), (2, 16, 12, 320)


def lower(inputs, body):
    """Return name → TIR function of one expression, after fusion and before scheduling."""
    module = relax_function(inputs, body)
    return tir_functions(
        run_passes(lowering_passes({"main": Signature(len(inputs), ())}), module, Dump())
    )


def layer_norm(_, x, scale, shift):
    return op.nn.layer_norm(x, scale, shift, axes=-1)


def group_norm(_, x, scale, shift):
    return op.nn.group_norm(x, scale, shift, num_groups=32, channel_axis=3, axes=[1, 2])


def match(shape, norm, channels=320):
    """Return function name → problem, of the functions that are matched."""
    functions = lower({"x": shape, "scale": (channels,), "shift": (channels,)}, norm)
    found = {name: match_norm_sums(name, function) for name, function in functions.items()}
    return {name: problem for name, problem in found.items() if problem}


@pytest.mark.parametrize(
    ("shape", "norm", "name", "extents"),
    [
        (ROWS, layer_norm, LAYER_NORM, (154, 1, 1, 320)),
        (IMAGE, group_norm, GROUP_NORM, (2, 192, 32, 10)),
    ],
)
def test_both_sums_of_a_norm(shape, norm, name, extents):
    found = match(shape, norm)
    sums, deviations = (norm_sums_name(name, each) for each in (SUMS, SQUARED_DEVIATIONS))
    assert set(found) == {sums, deviations}
    # Buffers: the result, x and, of squared deviations, the sums.
    result, *inputs = found[sums].buffers
    assert inputs == ["x"]
    assert found[sums] == NormSumsProblem(*extents, False, (result, "x"))
    result, x, totals = found[deviations].buffers
    assert found[deviations] == NormSumsProblem(*extents, True, (result, "x", totals))
    assert len({result, x, totals}) == 3


@pytest.mark.parametrize("width", [64, 4096])
def test_the_sums_of_an_rms_norm_are_those_of_a_layer_norm(width):
    """Of T5, whose rows are long; queries and keys have many short ones."""
    functions = lower(
        {"x": (2, 77, width)},
        lambda emit, x: op.rsqrt(emit(op.mean(emit(op.multiply(x, x)), [-1], keepdims=True))),
    )
    found = {name: match_norm_sums(name, function) for name, function in functions.items()}
    problems = {name: problem for name, problem in found.items() if problem}
    assert set(problems) == {ROW_TOTAL}
    problem = problems[ROW_TOTAL]
    assert problem == NormSumsProblem(154, 1, 1, width, False, problem.buffers)
    assert len(set(problem.buffers)) == 2


def test_every_norm_of_a_model_is_matched():
    # TVM numbers functions of one name.
    functions = lower(
        {"x": ROWS, "y": (5, 640), "scale": (320,), "long": (640,)},
        lambda emit, x, y, scale, long: op.add(
            emit(op.sum(emit(layer_norm(emit, x, scale, scale)))),
            emit(op.sum(emit(layer_norm(emit, y, long, long)))),
        ),
    )
    found = [match_norm_sums(name, function) for name, function in functions.items()]
    assert sorted(p.channels_per_group for p in found if p) == [320, 320, 640, 640]


def test_a_norm_over_other_axes_is_not_matched():
    functions = lower(
        {"x": ROWS, "scale": (77, 320), "shift": (77, 320)},
        lambda _, x, scale, shift: op.nn.layer_norm(x, scale, shift, axes=[-2, -1]),
    )
    assert functions
    assert not any(match_norm_sums(name, f) for name, f in functions.items())


def test_other_sums_are_not_matched():
    functions = lower({"x": ROWS}, lambda _, x: op.sum(x, axis=-1))
    assert functions
    assert not any(match_norm_sums(name, f) for name, f in functions.items())
    # Neither the name alone nor the stage alone decides.
    [function] = functions.values()
    assert match_norm_sums(norm_sums_name(LAYER_NORM, SUMS), function) is None
    sums = lower({"x": ROWS, "scale": (320,), "shift": (320,)}, layer_norm)
    assert match_norm_sums("another", sums[norm_sums_name(LAYER_NORM, SUMS)]) is None
