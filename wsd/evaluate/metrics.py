"""Measures of how far two results are apart: relative error and PSNR."""

from __future__ import annotations

import math

import numpy as np


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the Euclidean norm of the difference over that of what was expected.

    Args:
        found: numbers of any shape and dtype.
        expected: as many numbers; shapes are not compared. If all are 0, the result is not finite.

    Returns:
        a ratio without a unit, computed in float64.
    """
    difference = found.ravel().astype(np.float64) - expected.ravel().astype(np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected.astype(np.float64)))


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two pictures.

    Args:
        found: uint8 of any shape, for example (height, width, 3).
        expected: uint8 of the same shape.

    Returns:
        dB, by the peak of 255; infinite if they are equal.
    """
    error = np.mean((found.astype(np.float64) - expected.astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
