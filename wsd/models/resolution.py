"""Which picture sizes a model can be compiled for."""

from __future__ import annotations

from collections.abc import Sequence

from wsd.errors import UsageError
from wsd.models.family import Family
from wsd.spec.tensor import Size


def check_sizes(family: Family, sizes: Sequence[Size]) -> tuple[Size, ...]:
    """Return the picture sizes to compile, the family's own if none are given.

    Args:
        family: the model family.
        sizes: (width, height) in pixels.

    Raises:
        UsageError: for an edge that is no multiple of the family's, or a size given twice.
    """
    factor = family.size_multiple
    for width, height in sizes:
        if width % factor or height % factor or min(width, height) < factor:
            raise UsageError(
                f"size {width}x{height} is not a multiple of {factor} each way",
                f"the nearest is {_nearest(width, factor)}x{_nearest(height, factor)}",
            )
    if len(set(sizes)) != len(sizes):
        raise UsageError("a size is given twice", "pass each --size once")
    return tuple(sizes) or family.sizes


def _nearest(edge: int, factor: int) -> int:
    return max(factor, round(edge / factor) * factor)
