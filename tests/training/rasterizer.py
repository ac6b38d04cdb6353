"""Draw scenes as pixels, on the CPU or a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from training.scenes import BACKGROUNDS, COLORS, NEW_COLORS, NEW_SHAPES, SHAPES, Scene

_MASK_EDGE = 96
_SUPERSAMPLING = 8
_MOST_THINGS = 3
_SHAPES = (*SHAPES, *NEW_SHAPES)
_COLORS = {**COLORS, **NEW_COLORS}


def _star() -> list[tuple[float, float]]:
    points = []
    for corner in range(10):
        radius = 0.42 if corner % 2 else 1.0
        angle = math.pi * corner / 5 - math.pi / 2
        points.append((radius * math.cos(angle), radius * math.sin(angle) + 0.05))
    return points


def _pentagon() -> list[tuple[float, float]]:
    angles = [2 * math.pi * corner / 5 - math.pi / 2 for corner in range(5)]
    return [(math.cos(angle), math.sin(angle) + 0.05) for angle in angles]


def _heart() -> list[tuple[float, float]]:
    # The heart is the curve x = 16 sin³t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t.
    points = []
    for step in range(90):
        t = 2 * math.pi * step / 90
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 17.5, -(y + 2.5) / 17.5))
    return points


_ARM = 0.32
_POLYGONS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -0.95), (0.98, 0.8), (-0.98, 0.8)],
    "star": _star(),
    "cross": [
        (-_ARM, -0.95), (_ARM, -0.95), (_ARM, -_ARM), (0.95, -_ARM), (0.95, _ARM), (_ARM, _ARM),
        (_ARM, 0.95), (-_ARM, 0.95), (-_ARM, _ARM), (-0.95, _ARM), (-0.95, -_ARM), (-_ARM, -_ARM),
    ],
    "diamond": [(0, -1), (0.85, 0), (0, 1), (-0.85, 0)],
    "heart": _heart(),
    "pentagon": _pentagon(),
}  # fmt: skip
_CIRCLES = {"circle": (0.95,), "ring": (1.0, 0.5)}


@cache
def shape_mask(shape: str) -> np.ndarray:
    """Return a shape's coverage, (96, 96) float32 from 0 to 1; its circle has radius 47."""
    edge = _MASK_EDGE * _SUPERSAMPLING
    # A border of one pixel stays empty: sampling outside the mask repeats its border.
    scale = edge * (0.5 - 1 / _MASK_EDGE)
    image = Image.new("L", (edge, edge))
    draw = ImageDraw.Draw(image)
    if shape in _CIRCLES:
        for fill, radius in zip((255, 0), _CIRCLES[shape], strict=False):
            low, high = edge / 2 - radius * scale, edge / 2 + radius * scale
            draw.ellipse((low, low, high, high), fill=fill)
    else:
        points = [(edge / 2 + scale * x, edge / 2 + scale * y) for x, y in _POLYGONS[shape]]
        draw.polygon(points, fill=255)
    small = image.resize((_MASK_EDGE, _MASK_EDGE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def scene_table(scenes: Sequence[Scene]) -> dict[str, torch.Tensor]:
    """Return what drawing needs of each scene, as tensors.

    Returns:
        ``shape`` (n, 3) int64, -1 where there is no thing; ``color`` (n, 3, 3),
        ``place`` (n, 3, 3) with x, y and radius; ``background`` (n, 2, 3), top
        and bottom; colours from 0 to 1.
    """
    count = len(scenes)
    shape = torch.full((count, _MOST_THINGS), -1)
    color = torch.zeros(count, _MOST_THINGS, 3)
    place = torch.zeros(count, _MOST_THINGS, 3)
    background = torch.tensor([[BACKGROUNDS[name] for name in s.background] for s in scenes])
    for row, scene in enumerate(scenes):
        for column, thing in enumerate(scene.things):
            shape[row, column] = _SHAPES.index(thing.shape)
            color[row, column] = torch.tensor(_COLORS[thing.color]) / 255
            place[row, column] = torch.tensor([thing.x, thing.y, thing.radius])
    return {"shape": shape, "color": color, "place": place, "background": background / 255}


def draw(table: dict[str, torch.Tensor], edge: int) -> torch.Tensor:
    """Draw scenes.

    Args:
        table: of :func:`scene_table`, on any device.
        edge: of the square pictures, in pixels.

    Returns:
        (n, 3, edge, edge) float32 from 0 to 1.
    """
    device = table["place"].device
    masks = torch.from_numpy(np.stack([shape_mask(shape) for shape in _SHAPES])).to(device)
    canvas = 2 * edge  # is averaged down at the end, so that edges are smooth
    down = torch.linspace(0, 1, canvas, device=device).view(1, 1, canvas, 1)
    top, bottom = table["background"].unbind(1)
    image = torch.lerp(top[:, :, None, None], bottom[:, :, None, None], down)
    image = image.expand(-1, -1, -1, canvas).clone()
    centers = (torch.arange(canvas, device=device) + 0.5) / canvas
    reach = 1 - 2 / _MASK_EDGE
    for n in range(_MOST_THINGS):
        x, y, radius = table["place"][:, n].unbind(1)
        present = (table["shape"][:, n] >= 0).float()
        radius = radius.clamp_min(1e-3)
        across = (centers[None] - x[:, None]) / radius[:, None] * reach
        along = (centers[None] - y[:, None]) / radius[:, None] * reach
        grid = torch.stack(
            [across[:, None].expand(-1, canvas, -1), along[:, :, None].expand(-1, -1, canvas)], -1
        )
        mask = masks[table["shape"][:, n].clamp_min(0)][:, None]
        covered = functional.grid_sample(mask, grid, align_corners=False)
        covered = covered * present[:, None, None, None]
        image = torch.lerp(image, table["color"][:, n][:, :, None, None], covered)
    return functional.avg_pool2d(image, 2)


def draw_scenes(scenes: Sequence[Scene], edge: int) -> np.ndarray:
    """Draw scenes as images, (n, edge, edge, 3) uint8."""
    pixels = draw(scene_table(scenes), edge).movedim(1, -1)
    return (pixels * 255).round().to(torch.uint8).numpy()
