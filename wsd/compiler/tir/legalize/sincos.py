"""Legalize ``sin`` and ``cos`` in full float32 precision, for the embedding of timesteps.

WGSL guarantees an absolute error of 2^-11 for arguments between -π and π, and nothing for larger
ones; timesteps times frequencies reach 1000. These kernels reduce the argument and evaluate the
polynomials of Cephes (Moshier 1989, ``sinf.c``). The error is below 1e-7 for arguments up to 8192.
"""

from __future__ import annotations

from typing import Any

from tvm import te

from wsd.compiler.tvm_compat import tir

_TWO_OVER_PI = 0.636619772367581
# π/2 as a sum of three numbers. Multiples of the first two are exact: they have few bits.
_PARTS = (1.5703125, 4.837512969970703125e-4, 7.549789954891882e-8)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)


def legalize_sin(builder: Any, call: Any) -> Any:
    """Lower ``sin`` of a float32 tensor of any shape."""
    return builder.call_te(sine, call.args[0], primfunc_name_hint="sine")


def legalize_cos(builder: Any, call: Any) -> Any:
    """Lower ``cos`` of a float32 tensor of any shape."""
    return builder.call_te(cosine, call.args[0], primfunc_name_hint="cosine")


def sine(x: te.Tensor) -> te.Tensor:
    """Return the sine of each number.

    Args:
        x: float32 of any shape, in radians.

    Returns:
        float32 of the same shape.
    """
    return te.compute(x.shape, lambda *index: _value(x(*index), 0), name="sine")


def cosine(x: te.Tensor) -> te.Tensor:
    """Return the cosine of each number: the sine a quarter of a circle further.

    Args:
        x: float32 of any shape, in radians.

    Returns:
        float32 of the same shape.
    """
    return te.compute(x.shape, lambda *index: _value(x(*index), 1), name="cosine")


def _constant(value: float) -> Any:
    return tir.const(value, "float32")


def _polynomial(coefficients: tuple[float, ...], square: Any) -> Any:
    value = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * square + _constant(coefficient)
    return value


def _value(x: Any, quarters: int) -> Any:
    turns = tir.floor(x * _constant(_TWO_OVER_PI) + _constant(0.5))
    rest = x
    for part in _PARTS:
        rest = rest - turns * _constant(part)
    square = rest * rest
    sine = rest + rest * square * _polynomial(_SINE, square)
    cosine = (
        _constant(1.0) - square * _constant(0.5) + square * square * _polynomial(_COSINE, square)
    )
    # The quarter of the circle decides between sine and cosine, and the sign.
    quarter = turns + _constant(float(quarters))
    quarter = quarter - _constant(4.0) * tir.floor(quarter * _constant(0.25))
    odd = tir.any(quarter == _constant(1.0), quarter == _constant(3.0))
    value = tir.Select(odd, cosine, sine)
    return tir.Select(quarter >= _constant(2.0), -value, value)
