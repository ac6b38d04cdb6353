"""Which picture sizes a model can be compiled for."""

from __future__ import annotations

from collections.abc import Sequence

from wsd.errors import UsageError
from wsd.models.registry import Family

Size = tuple[int, int]


def check_sizes(family: Family, sizes: Sequence[Size]) -> tuple[Size, ...]:
    """Return the sizes to compile, the family's own if none are given.

    Raises:
        UsageError: for an edge that the model cannot make, or a size twice.
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
