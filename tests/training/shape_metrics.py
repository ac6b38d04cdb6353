"""Measure whether a picture shows what its caption says, by simple, published means.

Things are what differs from the background, which the picture's margins tell.
Each connected component has a contour (Suzuki and Abe 1985); its shape is the
one whose outline, scaled to the same bounding box, overlaps it most (Jaccard
1912), and its colour the nearest of the palette in CIELAB (CIE 1976).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import cv2
import numpy as np

from training.rasterizer import shape_mask
from training.scenes import (
    COLORS,
    NEW_COLORS,
    NEW_SHAPES,
    PLACES,
    SHAPES,
    SIZES,
    Scene,
    Thing,
)

# A pixel belongs to an object if its CIELAB distance from the background is larger than this.
_STANDS_OUT = 20.0
# A connected component of fewer pixels, at 128x128, is noise and no object.
_MIN_AREA = 60
_CELLS = 48
# Least overlap with the outline of a shape; below it an object has no known shape.
_MIN_OVERLAP = 0.6


@dataclass(frozen=True)
class Found:
    """One object that was found in a picture.

    Attributes:
        shape, color: names, or None for a shape that is none of the known ones.
        radius, x, y: half the larger side of its box, and the box's centre, as
            fractions of the edge.
    """

    shape: str | None
    color: str
    radius: float
    x: float
    y: float


@dataclass(frozen=True)
class Score:
    """Which measures are right in one picture; None where the caption does not say."""

    count: bool
    color: bool
    shape: bool
    size: bool | None
    relation: bool | None
    place: bool | None


def find_things(image: np.ndarray, new: Collection[str] = ()) -> list[Found]:
    """Return the objects in a picture, largest first.

    Args:
        image: (edge, edge, 3) uint8.
        new: colours and shapes that are looked for besides those that the models know.
    """
    colors = {**COLORS, **{word: rgb for word, rgb in NEW_COLORS.items() if word in new}}
    shapes = (*SHAPES, *(word for word in NEW_SHAPES if word in new))
    edge = image.shape[0]
    smooth = cv2.medianBlur(image, 3)
    lab = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    margin = max(2, round(0.02 * edge))
    sides = np.concatenate([lab[:, :margin], lab[:, -margin:]], axis=1)
    background = np.median(sides, axis=1, keepdims=True)
    mask = (np.linalg.norm(lab - background, axis=2) > _STANDS_OUT).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    least = _MIN_AREA * (edge / 128) ** 2
    found = []
    order = sorted(range(1, count), key=lambda n: -statistics[n, cv2.CC_STAT_AREA])
    for n in order:
        x, y, width, height, area = (int(value) for value in statistics[n])
        if area < least:
            continue
        part = (labels[y : y + height, x : x + width] == n).astype(np.uint8)
        inside = cv2.erode(part, np.ones((3, 3), np.uint8), borderValue=0)
        pixels = lab[y : y + height, x : x + width][(inside if inside.any() else part) > 0]
        found.append(
            Found(
                shape=_shape_of(part, shapes),
                color=_color_of(np.median(pixels, axis=0), colors),
                radius=max(width, height) / 2 / edge,
                x=(x + width / 2) / edge,
                y=(y + height / 2) / edge,
            )
        )
    return found


def _color_of(lab: np.ndarray, colors: Mapping[str, tuple[int, int, int]]) -> str:
    palette = np.array(list(colors.values()), np.float32)[None] / 255
    distances = np.linalg.norm(cv2.cvtColor(palette, cv2.COLOR_RGB2LAB)[0] - lab, axis=1)
    return list(colors)[int(distances.argmin())]


def _shape_of(part: np.ndarray, shapes: Sequence[str]) -> str | None:
    height, width = part.shape
    if not 0.6 < width / height < 1.7:
        return None
    outline = _fill_contours(part)
    overlaps = {shape: _overlap(outline, _ideal(shape)) for shape in shapes}
    best = max(overlaps, key=lambda shape: overlaps[shape])
    return best if overlaps[best] >= _MIN_OVERLAP else None


@cache
def _ideal(shape: str) -> np.ndarray:
    mask = shape_mask(shape) > 0.5
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _fill_contours(cut.astype(np.uint8))


def _fill_contours(part: np.ndarray) -> np.ndarray:
    """Return a component by its contours, outer and inner, in a square of fixed size."""
    height, width = part.shape
    contours, _ = cv2.findContours(
        cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT),
        cv2.RETR_CCOMP,
        cv2.CHAIN_APPROX_NONE,
    )
    scale = np.array([_CELLS / width, _CELLS / height])
    canvas = np.zeros((_CELLS, _CELLS), np.uint8)
    scaled = [np.round((c[:, 0] - 0.5) * scale - 0.5).astype(np.int32) for c in contours]
    cv2.fillPoly(canvas, scaled, (1,))
    return canvas


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum(one & other) / max(1, np.sum(one | other)))


def score(scene: Scene, image: np.ndarray, new: Collection[str] = ()) -> Score:
    """Compare a picture, (edge, edge, 3) uint8, with the scene that was asked for.

    ``new`` is as in :func:`find_things`.
    """
    found = find_things(image, new)
    wanted = scene.things
    pairs = _assign(wanted, found)
    right_number = len(found) == len(wanted)

    def every(test: Iterable[bool]) -> bool:
        return len(pairs) == len(wanted) and all(test)

    sized = [(thing, seen) for thing, seen in pairs if thing.size_said]
    return Score(
        count=right_number,
        color=every(thing.color == seen.color for thing, seen in pairs),
        shape=every(thing.shape == seen.shape for thing, seen in pairs),
        size=every(_size_of(seen) == thing.size for thing, seen in sized) if sized else None,
        relation=(
            None
            if scene.relation in (None, "and")
            else len(pairs) == 2 and _holds(str(scene.relation), pairs[0][1], pairs[1][1])
        ),
        place=None if scene.place is None else every(_at(scene.place, seen) for _, seen in pairs),
    )


def _assign(wanted: tuple[Thing, ...], found: list[Found]) -> list[tuple[Thing, Found]]:
    """Pair expected shapes with found objects so that as many properties as possible agree."""

    def agreement(order: Iterable[Found]) -> int:
        return sum(
            4 * (thing.color == seen.color)
            + 3 * (thing.shape == seen.shape)
            + (thing.size_said and _size_of(seen) == thing.size)
            for thing, seen in zip(wanted, order, strict=False)
        )

    orders = permutations(found[: len(wanted) + 1], min(len(wanted), len(found)))
    return list(zip(wanted, max(orders, key=agreement), strict=False))


def _size_of(seen: Found) -> str:
    middle = (SIZES["small"][1] + SIZES["large"][0]) / 2
    return "large" if seen.radius > middle else "small"


def _holds(relation: str, first: Found, second: Found) -> bool:
    across, down = second.x - first.x, second.y - first.y
    ahead, aside = (across, down) if relation in ("left of", "right of") else (down, across)
    if relation in ("right of", "below"):
        ahead = -ahead
    return ahead > abs(aside)


def _at(place: str, seen: Found) -> bool:
    column, row = PLACES[place]
    return column == _third(seen.x, seen.radius) and row == _third(seen.y, seen.radius)


def _third(center: float, radius: float) -> int:
    """Return the nearest position on an axis: 0 at the start, 1 in the middle, 2 at the end."""
    stops = (radius + 0.06, 0.5, 1 - radius - 0.06)
    return min(range(3), key=lambda n: abs(center - stops[n]))
