"""Which picture sizes a model can be compiled for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsd.errors import UsageError
from wsd.models.family import Family
from wsd.spec.tensor import Size

# The largest width and height in pixels. Beyond it, positions in the VAE decoder's largest tensor
# (256 channels at the full size) exceed the 32-bit integers of shaders.
LARGEST_EDGE: Final = 2048


def check_sizes(family: Family, sizes: Sequence[Size]) -> tuple[Size, ...]:
    """Return the picture sizes to compile, the family's own if none are given.

    Args:
        family: the model family.
        sizes: (width, height) in pixels.

    Raises:
        UsageError: for an edge that is no multiple of the family's, too small or too large, or a
            size given twice.
    """
    multiple = family.size_multiple
    least = family.architecture.smallest_edge(family)
    for size in sizes:
        nearest = [_nearest(edge, multiple, least) for edge in size]
        if list(size) != nearest:
            raise UsageError(
                f"size {size[0]}x{size[1]}: {family.name} takes a width and a height from {least} "
                f"to {LARGEST_EDGE} that are multiples of {multiple}",
                f"the nearest is {nearest[0]}x{nearest[1]}",
            )
    _check_unique(sizes)
    return tuple(sizes) or family.sizes


def _check_unique(sizes: Sequence[Size]) -> None:
    if len(set(sizes)) != len(sizes):
        raise UsageError("a size is given twice", "pass each --size once")


def check_sizes_early(family: Family, sizes: Sequence[Size]) -> None:
    """Refuse sizes that no checkpoint of a family takes, before one is opened.

    A checkpoint's own VAE may have another scale than the family's, and allow other sizes. So
    :func:`check_sizes` is called with the checkpoint's family afterwards.

    Args:
        family: the registry's entry.
        sizes: (width, height) in pixels.

    Raises:
        UsageError: for an edge that is too large or no multiple of the architecture's least one,
            or a size given twice.
    """
    _check_unique(sizes)
    multiple = family.architecture.least_multiple
    for size in sizes:
        if any(edge % multiple or not multiple <= edge <= LARGEST_EDGE for edge in size):
            check_sizes(family, [size])


def note_untrained(
    family: Family, sizes: Sequence[Size], known: Sequence[Size] = ()
) -> Iterator[str]:
    """Say which sizes a model was not trained on: it draws them, and draws them worse.

    Args:
        family: the model family.
        sizes: (width, height) in pixels.
        known: sizes that a fine-tune was trained on.
    """
    trained = family.trained
    fitting = {*family.sizes, *known}
    outside = [size for size in sizes if size not in fitting and trained and not trained.has(size)]
    if outside:
        first, *_ = family.sizes
        listed = ", ".join(f"{width}x{height}" for width, height in outside)
        yield (
            f"{family.name} was trained on {trained}, and pictures of {listed} may look worse; its "
            f"own size is --size {first[0]}x{first[1]}"
        )


def is_size(family: Family, size: Size) -> bool:
    """Return whether a model can be compiled for pictures of a size.

    Args:
        family: the model family.
        size: (width, height) in pixels.
    """
    least = family.architecture.smallest_edge(family)
    return all(edge == _nearest(edge, family.size_multiple, least) for edge in size)


def _nearest(edge: int, multiple: int, least: int) -> int:
    return min(max(least, round(edge / multiple) * multiple), LARGEST_EDGE)
