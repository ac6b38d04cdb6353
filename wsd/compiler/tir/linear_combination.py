"""Add scaled tensors: the only kernel that schedulers need on the GPU."""

from __future__ import annotations

from tvm import te


def linear_combination(*operands: te.Tensor) -> te.Tensor:
    """Add scaled latents.

    Args:
        operands: ``LINEAR_COMBINATION_TERMS`` tensors of one shape, float32, then their
            coefficients (LINEAR_COMBINATION_TERMS,) float32. An unused term gets any
            finite tensor and the coefficient 0.

    Returns:
        the sum, of the same shape, added from the first term to the last.
    """
    *terms, coefficients = operands

    def element(*index: object) -> object:
        total = coefficients[0] * terms[0](*index)
        for number, term in enumerate(terms[1:], start=1):
            total = total + coefficients[number] * term(*index)
        return total

    return te.compute(terms[0].shape, element, name="linear_combination")
