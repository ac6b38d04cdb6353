"""TIR expressions as WGSL: what follows a product, computed where its result is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tvm

from wsd.compiler.tvm_compat import analyzer, node_kind, tir

# Of extents and indices in TIR that comes from Relax.
INDEX = "int64"

_INFIX = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
_FUNCTIONS = {
    "exp": "exp({})",
    "sqrt": "sqrt({})",
    "tanh": "tanh({})",
    "erf": "erf({})",  # of wsd.kernels.gemm.loads
    "sigmoid": "(1.0f / (1.0f + exp(-{})))",
}


class NotWritable(Exception):  # noqa: N818 - it is no fault
    """An expression holds something that has no counterpart here."""


class Indices:
    """A result's index (m, n), and positions in other buffers as functions of it.

    Args:
        rows: extent of m.
        columns: extent of n.
        shape: of the result; its last axes make up n, those before m.
        stored: where it is stored: along each axis a variable, or 0 where it has one place.

    Raises:
        NotWritable: if the result is stored in another order.
    """

    def __init__(
        self, rows: int, columns: int, shape: Sequence[int], stored: Sequence[Any]
    ) -> None:
        self._analyzer = analyzer()
        self.m, self.n = (tir.Var(name, INDEX) for name in "mn")
        for variable, extent in ((self.m, rows), (self.n, columns)):
            low = tir.const(0, INDEX)
            self._analyzer.bind(variable, tvm.ir.Range.from_min_extent(low, extent))
        self._columns = columns
        cut = _cut(shape, columns)
        for value, axes in ((self.m, slice(0, cut)), (self.n, slice(cut, None))):
            for index, digit in _digits(value, shape[axes], stored[axes]):
                if node_kind(index) == "Var":
                    self._analyzer.bind(index, self._analyzer.simplify(digit))
                elif node_kind(index) != "IntImm":
                    raise NotWritable("the result is stored in another order")

    def position(self, shape: Sequence[int], indices: Sequence[Any]) -> Any:
        """Return a row-major position, simplified."""
        flat: Any = 0
        for index, extent in zip(indices, shape, strict=True):
            flat = flat * extent + index
        if isinstance(flat, int):
            return tir.const(flat, INDEX)
        return self._analyzer.simplify(flat)

    def is_result(self, position: Any) -> bool:
        """Tell whether a position is the result's own, m * columns + n."""
        own = self.m * self._columns + self.n
        return bool(self._analyzer.can_prove_equal(position, own))

    def text(self, position: Any) -> str:
        """Return a position as WGSL."""
        if self.is_result(position):
            return "at"
        return _integer(position)


def _cut(shape: Sequence[int], columns: int) -> int:
    product = 1
    for axis in range(len(shape) - 1, -1, -1):
        product *= shape[axis]
        if product == columns:
            return axis
    raise NotWritable("the result's axes cannot be cut into rows and columns")


def _digits(
    value: Any, shape: Sequence[int], variables: Sequence[Any]
) -> Iterator[tuple[Any, Any]]:
    """Yield each axis's index as a digit of a row-major position."""
    below = 1
    for axis in range(len(shape) - 1, -1, -1):
        digit = tir.floordiv(value, tir.const(below, INDEX))
        if axis:
            digit = tir.floormod(digit, tir.const(shape[axis], INDEX))
        yield variables[axis], digit
        below *= shape[axis]


def _integer(expression: Any) -> str:
    kind = node_kind(expression)
    if kind == "IntImm":
        return f"{int(expression)}u" if int(expression) >= 0 else f"({int(expression)})"
    if kind == "Var":
        return str(expression.name)
    if kind == "Cast":
        return _integer(expression.value)
    operator = {**_INFIX, "FloorDiv": "/", "FloorMod": "%"}.get(kind)
    if operator is None:
        raise NotWritable(f"index {expression}")
    return f"({_integer(expression.a)} {operator} {_integer(expression.b)})"


def write(expression: Any, load: Callable[[Any], str]) -> str:
    """Return a float32 expression as WGSL.

    Args:
        expression: of TIR.
        load: gives the text of a ``BufferLoad``.

    Raises:
        NotWritable: if it holds what has no counterpart here.
    """
    kind = node_kind(expression)
    if kind == "BufferLoad":
        return load(expression)
    if kind == "FloatImm":
        return f"{float(expression.value)!r}f"
    if kind in _INFIX:
        left, right = write(expression.a, load), write(expression.b, load)
        # Diffusers divides by output scales that are 1.
        return left if (kind, right) == ("Div", "1.0f") else f"({left} {_INFIX[kind]} {right})"
    if kind in ("Max", "Min"):
        return f"{kind.lower()}({write(expression.a, load)}, {write(expression.b, load)})"
    name = str(getattr(expression.op, "name", "")).rpartition(".")[2] if kind == "Call" else ""
    if name not in _FUNCTIONS:
        raise NotWritable(f"{kind} {name}")
    return _FUNCTIONS[name].format(*(write(argument, load) for argument in expression.args))
