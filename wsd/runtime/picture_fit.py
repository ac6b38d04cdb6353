"""Fits pictures into the size that is drawn, as diffusers' VaeImageProcessor resizes them.

``web/src/picture/fit.ts`` does the same in the page. Tests compare the two byte for byte, and both
with diffusers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from wsd.spec.picture import Fit
from wsd.spec.tensor import Size

# A picture of more pixels is not scaled as a whole if only a part of it is kept.
_SCALED_WHOLE = 2**25
# How far two logarithms of shapes or areas may be apart and still mean the same.
_ALIKE = 1e-9


@dataclass(frozen=True)
class Fitting:
    """Where a picture lies in the size that is drawn, in pixels.

    Attributes:
        given: width and height of the picture.
        size: width and height that are drawn.
        fit: how it is fitted.
        scaled: width and height that the whole given picture is scaled to.
        offset: left and top of the scaled picture in the drawn one; negative where it is cut off.
    """

    given: Size
    size: Size
    fit: Fit
    scaled: Size
    offset: tuple[int, int]

    @property
    def covered(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of what the picture covers of the drawn one."""
        (left, top), (width, height) = self.offset, self.scaled
        right, bottom = min(self.size[0], left + width), min(self.size[1], top + height)
        return max(0, left), max(0, top), right, bottom

    def describe(self) -> str:
        """Return what is done to the picture, for a person."""
        given, size, scaled = (
            f"{width}x{height}" for width, height in (self.given, self.size, self.scaled)
        )
        done = "not scaled" if self.scaled == self.given else f"scaled to {scaled}"
        if min(self.offset) < 0:
            done += ", and its middle is kept"
        elif self.covered != (0, 0, *self.size):
            done += ", and its edges fill what is left"
        return f"from {given} to {size} by {self.fit}: {done}"


def describe_fit(given: Size, size: Size, fit: Fit) -> Fitting:
    """Say how a picture is fitted into a size.

    Args:
        given: (width, height) of the picture, each at least 1.
        size: (width, height) that are drawn.
        fit: how it is fitted.
    """
    scaled = _scaled_size(given, size, fit)
    # As diffusers' _resize_and_fill and _resize_and_crop round.
    left, top = (side // 2 - length // 2 for side, length in zip(size, scaled, strict=True))
    return Fitting(given, size, fit, scaled, (left, top))


def _scaled_size(given: Size, size: Size, fit: Fit) -> Size:
    (width, height), (wide, high) = given, size
    if fit == "stretch":
        return size
    if fit == "crop" and width >= wide and height >= high:
        return given
    is_wider = width * high > wide * height
    # A picture of one row has a row left, however small it becomes.
    if is_wider == (fit == "contain"):
        return wide, max(1, height * wide // width)
    return max(1, width * high // height), high


def fit_picture(image: np.ndarray, size: Size, fit: Fit) -> np.ndarray:
    """Fit a picture into a size. What it does not cover repeats its edge.

    diffusers' ``_resize_and_fill`` does not quite: it leaves a row or a column black where an odd
    number of them is left.

    Args:
        image: (height, width, 3) uint8.
        size: (width, height) that are drawn.
        fit: how it is fitted.

    Returns:
        (height, width, 3) uint8; the picture itself if it has the size.
    """
    return _fit(image, size, fit, "edge")


def fit_mask(mask: np.ndarray, size: Size, fit: Fit) -> np.ndarray:
    """Fit a mask as its picture. What the picture does not cover is kept, so that it is black.

    Args:
        mask: (height, width) uint8.
        size: (width, height) that are drawn.
        fit: how it is fitted.

    Returns:
        (height, width) uint8; the mask itself if it has the size.
    """
    return _fit(mask, size, fit, "constant")


def _fit(
    image: np.ndarray, size: Size, fit: Fit, beyond: Literal["edge", "constant"]
) -> np.ndarray:
    given = (image.shape[1], image.shape[0])
    if given == size:
        return image
    fitting = describe_fit(given, size, fit)
    left, top, right, bottom = fitting.covered
    margins = [(top, size[1] - bottom), (left, size[0] - right)]
    margins += [(0, 0)] * (image.ndim - 2)
    return np.pad(_scale_covered(image, fitting), margins, mode=beyond)


def _scale_covered(image: np.ndarray, fitting: Fitting) -> np.ndarray:
    """Scale a picture with Pillow's Lanczos filter, and return what is kept of it."""
    (left, top), scaled = fitting.offset, fitting.scaled
    from_left, from_top, to_right, to_bottom = fitting.covered
    rows = slice(from_top - top, to_bottom - top)
    columns = slice(from_left - left, to_right - left)
    height, width = image.shape[:2]
    if scaled == (width, height):
        return image[rows, columns]
    picture = Image.fromarray(image)
    if math.prod(scaled) <= _SCALED_WHOLE:
        return np.asarray(picture.resize(scaled, Image.Resampling.LANCZOS))[rows, columns]
    # Only a thin picture becomes so large, where it covers a size. Of a picture that grows, Pillow
    # filters the rows first. It keeps the edges of a part in float32, so that a byte may differ by
    # one from that of the whole picture.
    across, down = width / scaled[0], height / scaled[1]
    wide, high = columns.stop - columns.start, rows.stop - rows.start
    strip = picture.resize(
        (wide, height),
        Image.Resampling.LANCZOS,
        box=(columns.start * across, 0, min(width, columns.stop * across), height),
    )
    return np.asarray(
        strip.resize(
            (wide, high),
            Image.Resampling.LANCZOS,
            box=(0, rows.start * down, wide, min(height, rows.stop * down)),
        )
    )


def nearest_size(given: Size, sizes: Sequence[Size]) -> Size:
    """Choose the size that a picture is drawn in.

    It is the picture's own if that is offered, else the one whose shape is nearest; of several of
    one shape, the one whose pixels are nearest in number; of several of these, the first.

    Args:
        given: (width, height) of the picture, each at least 1.
        sizes: those that are offered, at least one.
    """

    def distance(size: Size) -> tuple[float, float]:
        shape = math.log((size[0] * given[1]) / (size[1] * given[0]))
        area = math.log((size[0] * size[1]) / (given[0] * given[1]))
        return abs(shape), abs(area)

    best = sizes[0]
    for size in sizes[1:]:
        (shape, area), (best_shape, best_area) = distance(size), distance(best)
        is_same_shape = abs(shape - best_shape) < _ALIKE
        if area < best_area - _ALIKE if is_same_shape else shape < best_shape:
            best = size
    return best
