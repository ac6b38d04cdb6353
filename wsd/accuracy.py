"""How far apart two results are."""

from __future__ import annotations

import math

import numpy as np


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the norm of the difference over the norm of what was expected."""
    difference = found.ravel().astype(np.float64) - expected.ravel().astype(np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected.astype(np.float64)))


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 images in dB."""
    error = np.mean((found.astype(np.float64) - expected.astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def tile_starts(extent: int, tile: int) -> list[int]:
    """Return where tiles start, as ``web/src/tiles.ts`` spreads them: a quarter is shared."""
    gaps = math.ceil((extent - tile) / (0.75 * tile))
    return [round(n * (extent - tile) / gaps) for n in range(gaps + 1)] if gaps else [0]


def seam(tiled: np.ndarray, whole: np.ndarray, tile: int, factor: int) -> float:
    """Return the largest step at a tile's edge that the picture decoded whole has not.

    Steps are averaged along the edge, where a seam would be a line, and looked for up
    to two pixels to either side of it.

    Args:
        tiled: (3, height, width), about -1 to 1.
        whole: the same, decoded at once.
        tile: edge of a tile in pixels.
        factor: pixels a latent pixel.

    Returns:
        the step, of 255.
    """
    difference = (tiled - whole).astype(np.float64) * 127.5
    steps = [0.0]
    for axis in (1, 2):
        extent = difference.shape[axis]
        starts = [factor * n for n in tile_starts(extent // factor, tile // factor)]
        edges = [*starts[1:], *(start + tile for start in starts[:-1])]
        along = np.abs(np.diff(difference, axis=axis).mean(axis=3 - axis))
        steps += [float(along[:, edge - 3 : edge + 2].max()) for edge in edges]
    return max(steps)
