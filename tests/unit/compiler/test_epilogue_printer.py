"""The epilogue printer: TIR expressions and indices as WGSL, evaluated here as Python."""

import itertools
import math
import re

import numpy as np
import pytest

from wsd.compiler.match.epilogue import INDEX, NoMatch, ResultIndex, print_expression
from wsd.compiler.tvm_compat import tir

X, Y = (tir.decl_buffer((4,), "float32", name=name) for name in "xy")
X0, Y0 = X[tir.const(0, INDEX)], Y[tir.const(0, INDEX)]
HALF = tir.const(0.5, "float32")
VALUES = {"x": 0.75, "y": -1.5}


def name_load(load):
    return "x" if load.same_as(X0) else "y"


def evaluate(wgsl, **variables):
    """Return the value of an expression of WGSL's operators, which Python writes alike."""
    text = re.sub(r"\b(\d+)u\b", r"\1", wgsl)
    text = re.sub(r"(\d)f\b", r"\1", text)
    functions = {name: getattr(math, name) for name in ("exp", "sqrt", "tanh", "erf")}
    return eval(text, {"max": max, "min": min, **functions, **variables})


EXPRESSIONS = {
    "load": (X0, 0.75),
    "constant": (HALF, 0.5),
    "add": (X0 + Y0, -0.75),
    "subtract": (X0 - Y0, 2.25),
    "multiply": (X0 * Y0, -1.125),
    "divide": (X0 / Y0, -0.5),
    "maximum": (tir.max(X0, Y0), 0.75),
    "minimum": (tir.min(X0, Y0), -1.5),
    "exp": (tir.exp(Y0), math.exp(-1.5)),
    "sqrt": (tir.sqrt(X0), math.sqrt(0.75)),
    "tanh": (tir.tanh(X0), math.tanh(0.75)),
    "erf": (tir.erf(Y0), math.erf(-1.5)),
    "sigmoid": (tir.sigmoid(Y0), 1 / (1 + math.exp(1.5))),
    "sigmoid of a difference": (tir.sigmoid(X0 - Y0), 1 / (1 + math.exp(-2.25))),
    "precedence": ((X0 - Y0) * HALF - (X0 + Y0), 1.125 + 0.75),
    "nested differences": (X0 - (Y0 - HALF), 0.75 + 2.0),
}


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_printed_expression_has_the_same_value(expression, expected):
    text = print_expression(expression, name_load)
    assert evaluate(text, **VALUES) == pytest.approx(expected, rel=1e-12)


def test_constants_are_float32_literals_and_keep_every_bit():
    assert print_expression(tir.const(2.0, "float32"), name_load) == "2.0f"
    text = print_expression(tir.const(1 / 3, "float32"), name_load)
    assert text.endswith("f")
    assert np.float32(text[:-1]) == np.float32(1 / 3)


def test_division_by_one_is_left_out():
    one = tir.const(1.0, "float32")
    # By calls of the constructor: the operators of TVM would simplify it themselves.
    assert print_expression(tir.Div(X0, one), name_load) == "x"
    assert print_expression(tir.Mul(X0, one), name_load) == "(x * 1.0f)"


UNPRINTED = {
    "another function": tir.cos(X0),
    "a choice": tir.Select(X0 > Y0, X0, Y0),
    "a variable": tir.Var("v", "float32"),
    "a conversion": tir.Cast("float32", tir.Var("i", "int32")),
}


@pytest.mark.parametrize("expression", UNPRINTED.values(), ids=UNPRINTED)
def test_other_expressions_do_not_match(expression):
    with pytest.raises(NoMatch):
        print_expression(expression, name_load)


def test_operand_of_an_operator_that_does_not_match():
    with pytest.raises(NoMatch):
        print_expression(X0 + tir.cos(Y0), name_load)


# The result's shape; its last axes make up N = 12, the others M = 6.
SHAPES = {"rows": (6, 12), "images": (2, 3, 12), "heads": (6, 3, 4), "both": (2, 3, 3, 4)}


def axis_variables(shape):
    return [tir.Var(f"i{axis}", INDEX) for axis in range(len(shape))]


def positions(shape, operand_shape):
    """Yield (m, n, position) of an operand that is broadcast to the result's shape."""
    for flat, index in enumerate(itertools.product(*map(range, shape))):
        own = tuple(i if extent > 1 else 0 for i, extent in zip(index, operand_shape, strict=True))
        yield flat // 12, flat % 12, int(np.ravel_multi_index(own, operand_shape))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_index_of_every_broadcast_operand(shape):
    variables = axis_variables(shape)
    index = ResultIndex(6, 12, shape, variables)
    for kept in itertools.product((False, True), repeat=len(shape)):
        operand = tuple(extent if keep else 1 for extent, keep in zip(shape, kept, strict=True))
        own = [
            variable if keep else tir.const(0, INDEX)
            for variable, keep in zip(variables, kept, strict=True)
        ]
        text = index.print_position(index.position(operand, own))
        text = re.sub("/", "//", text)
        for m, n, expected in positions(shape, operand):
            assert evaluate(text, m=m, n=n, at=m * 12 + n) == expected, (operand, text)


def test_position_of_the_result_itself_is_at():
    variables = axis_variables((2, 3, 12))
    index = ResultIndex(6, 12, (2, 3, 12), variables)
    own = index.position((2, 3, 12), variables)
    assert index.is_result(own)
    assert index.print_position(own) == "at"
    # Read as (6, 12), row 3 * i0 + i1 is the same position.
    same = index.position((6, 12), [variables[0] * 3 + variables[1], variables[2]])
    assert index.print_position(same) == "at"


def test_position_of_another_result_is_not_at():
    variables = axis_variables((6, 12))
    index = ResultIndex(6, 12, (6, 12), variables)
    other = index.position((6, 12), [variables[0], 11 - variables[1]])
    assert not index.is_result(other)


def test_axis_of_extent_one_may_be_stored_at_zero():
    i, j = axis_variables((6, 12))
    index = ResultIndex(6, 12, (1, 6, 12), [tir.const(0, INDEX), i, j])
    assert index.print_position(index.position((6, 12), [i, j])) == "at"


def test_result_that_is_stored_at_a_computed_index_does_not_match():
    i, j = axis_variables((6, 12))
    with pytest.raises(NoMatch, match="another order"):
        ResultIndex(6, 12, (6, 12), [i + 1, j])


def test_result_whose_axes_do_not_make_up_n_does_not_match():
    with pytest.raises(NoMatch, match="do not divide"):
        ResultIndex(9, 8, (6, 3, 4), axis_variables((6, 3, 4)))


def test_index_with_another_operator_does_not_match():
    i, j = axis_variables((6, 12))
    index = ResultIndex(6, 12, (6, 12), [i, j])
    with pytest.raises(NoMatch, match="an index with"):
        index.print_position(index.position((12,), [tir.Max(i, j)]))
