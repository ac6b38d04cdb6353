"""Epilogue printer: what follows a GEMM in its TIR function, as one WGSL expression.

The expression is :attr:`wsd.kernels.problem.GemmProblem.epilogue`: it computes the result (m, n)
from the sum and from operands such as a bias, at indices that are printed as functions of m and n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tvm

from wsd.compiler.tvm_compat import analyzer, intrinsic_name, node_kind, tir

# The dtype of extents and indices in TIR that was lowered from Relax.
INDEX = "int64"

_INFIX = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
_INTEGER_INFIX = {**_INFIX, "FloorDiv": "/", "FloorMod": "%"}
_INTRINSICS = {
    "exp": "exp({})",
    "sqrt": "sqrt({})",
    "tanh": "tanh({})",
    "erf": "erf({})",  # a function of templates/gemm/operands.wgsl.j2
    "sigmoid": "(1.0f / (1.0f + exp(-{})))",
}


class NoMatch(Exception):  # noqa: N818 - no error: the generated kernel runs
    """A TIR function, or a part of it, is not what a pattern matches."""


class ResultIndex:
    """The index (m, n) of a GEMM's result, and positions in other buffers as functions of it.

    Args:
        m: extent of M.
        n: extent of N.
        shape: the result's shape; its last axes make up N, those before them M.
        stored: the index at which the result is stored: along each axis a variable, or 0
            where the extent is 1.

    Raises:
        NoMatch: if the result is not stored in row-major order of (m, n).
    """

    def __init__(self, m: int, n: int, shape: Sequence[int], stored: Sequence[Any]) -> None:
        self._analyzer = analyzer()
        self.m, self.n = (tir.Var(name, INDEX) for name in "mn")
        for variable, extent in ((self.m, m), (self.n, n)):
            zero = tir.const(0, INDEX)
            self._analyzer.bind(variable, tvm.ir.Range.from_min_extent(zero, extent))
        self._n_extent = n
        first = _first_axis_of_n(shape, n)
        for value, axes in ((self.m, slice(0, first)), (self.n, slice(first, None))):
            for index, digit in _digits(value, shape[axes], stored[axes]):
                if node_kind(index) == "Var":
                    self._analyzer.bind(index, self._analyzer.simplify(digit))
                elif node_kind(index) != "IntImm":
                    raise NoMatch("the result is stored in another order")

    def position(self, shape: Sequence[int], indices: Sequence[Any]) -> Any:
        """Return the row-major position of an index in a buffer as simplified TIR.

        Args:
            shape: the buffer's shape.
            indices: the index along each axis, of the variables in ``stored``.
        """
        flat: Any = 0
        for index, extent in zip(indices, shape, strict=True):
            flat = flat * extent + index
        if isinstance(flat, int):
            return tir.const(flat, INDEX)
        return self._analyzer.simplify(flat)

    def is_result(self, position: Any) -> bool:
        """Tell whether a position is the result's own, m * N + n."""
        own = self.m * self._n_extent + self.n
        return bool(self._analyzer.can_prove_equal(position, own))

    def print_position(self, position: Any) -> str:
        """Return a position as WGSL of ``m``, ``n`` and ``at``, which is m * N + n.

        Raises:
            NoMatch: if it holds an operator that is not printed.
        """
        if self.is_result(position):
            return "at"
        return _print_integer(position)


def _first_axis_of_n(shape: Sequence[int], n: int) -> int:
    """Return the first of the last axes whose extents multiply to N."""
    extent = 1
    for axis in range(len(shape) - 1, -1, -1):
        extent *= shape[axis]
        if extent == n:
            return axis
    raise NoMatch("the result's axes do not divide into M and N")


def _digits(
    value: Any, shape: Sequence[int], variables: Sequence[Any]
) -> Iterator[tuple[Any, Any]]:
    """Yield each axis's variable and its value, a digit of the row-major position ``value``."""
    below = 1
    for axis in range(len(shape) - 1, -1, -1):
        digit = tir.floordiv(value, tir.const(below, INDEX))
        if axis:
            digit = tir.floormod(digit, tir.const(shape[axis], INDEX))
        yield variables[axis], digit
        below *= shape[axis]


def _print_integer(expression: Any) -> str:
    kind = node_kind(expression)
    if kind == "IntImm":
        return f"{int(expression)}u" if int(expression) >= 0 else f"({int(expression)})"
    if kind == "Var":
        return str(expression.name)
    if kind == "Cast":
        return _print_integer(expression.value)
    operator = _INTEGER_INFIX.get(kind)
    if operator is None:
        raise NoMatch(f"an index with {kind}: {expression}")
    return f"({_print_integer(expression.a)} {operator} {_print_integer(expression.b)})"


def print_expression(expression: Any, print_load: Callable[[Any], str]) -> str:
    """Return a float32 TIR expression as WGSL.

    Args:
        expression: constants, loads, + - * /, max, min, exp, sqrt, tanh, erf and sigmoid.
        print_load: returns the WGSL of a load from a buffer.

    Raises:
        NoMatch: if it holds anything else.
    """
    kind = node_kind(expression)
    if kind == "BufferLoad":
        return print_load(expression)
    if kind == "FloatImm":
        return f"{float(expression.value)!r}f"
    if kind in (*_INFIX, "Max", "Min"):
        left = print_expression(expression.a, print_load)
        right = print_expression(expression.b, print_load)
        if kind in ("Max", "Min"):
            return f"{kind.lower()}({left}, {right})"
        if (kind, right) == ("Div", "1.0f"):
            return left  # diffusers divides by an output scale, which is 1 in all of WSD's models
        return f"({left} {_INFIX[kind]} {right})"
    name = intrinsic_name(expression)
    if name not in _INTRINSICS:
        raise NoMatch(f"an expression with {kind} {name}")
    arguments = (print_expression(argument, print_load) for argument in expression.args)
    return _INTRINSICS[name].format(*arguments)
