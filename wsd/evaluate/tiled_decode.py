"""Decode latents, or encode pictures, in tiles: the reference for ``pipeline/tiling.ts``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wsd.spec.inference_settings import DEFAULT_OVERLAP


@dataclass(frozen=True)
class Tiled:
    """A picture decoded in tiles.

    Attributes:
        image: (3, height, width), about -1 to 1.
        seam: largest change of brightness, of 255, that the transition between two tiles adds
            between two neighbouring rows or columns of pixels, averaged along them.
    """

    image: np.ndarray
    seam: float


def tile_starts(extent: int, tile: int, overlap: float = DEFAULT_OVERLAP) -> list[int]:
    """Return the starts of evenly spaced tiles that cover an extent.

    Args:
        extent: length to cover, in pixels of the latents.
        tile: length of a tile, in pixels of the latents.
        overlap: least share of a tile that it has in common with the next one.
    """
    gaps = math.ceil((extent - tile) / ((1 - overlap) * tile))
    # As JavaScript rounds: a half goes up.
    return [math.floor(n * (extent - tile) / gaps + 0.5) for n in range(gaps + 1)] if gaps else [0]


def tile_weights(starts: list[int], tile: int) -> np.ndarray:
    """Return the weight of each tile at each position, (tiles, extent), with Hann-window fades.

    Args:
        starts: where the tiles start, ascending, in pixels of the image.
        tile: length of a tile, in pixels of the image.
    """
    weights = np.zeros((len(starts), starts[-1] + tile))
    for n, start in enumerate(starts):
        weights[n, start : start + tile] = 1
    for n in range(len(starts) - 1):
        begin, end = starts[n + 1], starts[n] + tile
        fade = np.sin(np.pi / 2 * (np.arange(end - begin) + 0.5) / (end - begin)) ** 2
        weights[n + 1, begin:end] *= fade
        weights[n, begin:end] *= fade[::-1]
    normalised: np.ndarray = weights / weights.sum(axis=0)
    return normalised


def decode_tiles(
    decode: Callable[[np.ndarray], np.ndarray],
    latents: np.ndarray,
    tile: int,
    factor: int,
    overlap: float = DEFAULT_OVERLAP,
) -> Tiled:
    """Decode latents tile by tile and blend the tiles.

    Args:
        decode: latents (channels, tile / factor, tile / factor) to (3, tile, tile).
        latents: (channels, height / factor, width / factor).
        tile: edge of a tile in pixels.
        factor: pixels of the image per latent pixel, each way.
        overlap: least share of a tile that it has in common with the next one.
    """
    edge = tile // factor
    tops, lefts = (tile_starts(extent, edge, overlap) for extent in latents.shape[1:])
    rows, columns = (
        tile_weights([factor * start for start in starts], tile) for starts in (tops, lefts)
    )
    shape = (3, rows.shape[1], columns.shape[1])
    image, down, across = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            pixels = decode(latents[:, top : top + edge, left : left + edge])
            y, x = (slice(factor * start, factor * start + tile) for start in (top, left))
            image[:, y, x] += rows[i, y, None] * columns[j, x] * pixels
            down[:, y, x] += _change(rows[i])[y, None] * columns[j, x] * pixels
            across[:, y, x] += rows[i, y, None] * _change(columns[j])[x] * pixels
    steps = [np.abs(down.mean(axis=2)).max(), np.abs(across.mean(axis=1)).max()]
    return Tiled(image, 127.5 * float(max(steps)))


def encode_tiles(
    encode: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    tile: int,
    factor: int,
    overlap: float = DEFAULT_OVERLAP,
) -> np.ndarray:
    """Encode a picture tile by tile and blend what the tiles give, (planes, height, width).

    diffusers blends moments too (``AutoencoderKL.tiled_encode``), of tiles that the picture's
    edges cut off. Here all tiles are as large, because a compiled function has one shape.

    Args:
        encode: a tile (3, tile, tile) to moments or latents (planes, tile / factor, tile / factor).
        image: (3, height, width), -1 to 1.
        tile: edge of a tile in pixels.
        factor: pixels of the image per latent pixel, each way.
        overlap: least share of a tile that it has in common with the next one.
    """
    edge = tile // factor
    tops, lefts = (tile_starts(extent // factor, edge, overlap) for extent in image.shape[1:])
    rows, columns = tile_weights(tops, edge), tile_weights(lefts, edge)

    def place(i: int, j: int) -> np.ndarray:
        """Return what a tile adds to the planes of the whole picture, zeros around it."""
        y, x = (slice(factor * start, factor * start + tile) for start in (tops[i], lefts[j]))
        part = encode(image[:, y, x])
        placed = np.zeros((part.shape[0], rows.shape[1], columns.shape[1]))
        placed[:, tops[i] : tops[i] + edge, lefts[j] : lefts[j] + edge] = part
        weighted: np.ndarray = rows[i][:, None] * columns[j] * placed
        return weighted

    planes: np.ndarray = np.sum(
        [place(i, j) for i in range(len(tops)) for j in range(len(lefts))], axis=0
    )
    return planes


def _change(weights: np.ndarray) -> np.ndarray:
    """Return the change of a weight from each position to the next, 0 at the last."""
    return np.diff(weights, append=weights[-1])
