"""In which tiles a bundle can decode and encode: every square that it has functions for."""

from __future__ import annotations

from collections.abc import Sequence

from wsd.spec.manifest import EntryPoint, Manifest
from wsd.spec.roles import VAE_DECODER, VAE_DECODER_TILE, VAE_ENCODER, VAE_ENCODER_TILE
from wsd.spec.tensor import Size

# Role of what works on a whole picture → role of the same for one tile.
_TILE_ROLES = {VAE_DECODER: VAE_DECODER_TILE, VAE_ENCODER: VAE_ENCODER_TILE}


def own_tile_size(manifest: Manifest) -> int:
    """Return the edge in pixels of the tile that the bundle was built for: the default one.

    Args:
        manifest: of the bundle.
    """
    (tile,) = manifest.entries(VAE_DECODER_TILE)
    return tile.outputs[0].shape[-1]


def tile_sizes(manifest: Manifest, size: Size | None = None) -> tuple[int, ...]:
    """Return the edges in pixels of the tiles that can be had, ascending.

    A function for a whole square picture decodes a square part of a larger one just as well.

    Args:
        manifest: of the bundle.
        size: (width, height) in pixels of a picture that a tile must not be larger than.
    """
    squares = {
        entry.size[0]
        for entry in manifest.entries(VAE_DECODER)
        if entry.size is not None and entry.size[0] == entry.size[1]
    }
    found = sorted({own_tile_size(manifest), *squares})
    return tuple(edge for edge in found if size is None or edge <= min(size))


def find_tile(manifest: Manifest, role: str, edge: int) -> Sequence[EntryPoint]:
    """Return the functions that decode or encode a tile: one, or none without an encoder.

    Args:
        manifest: of the bundle.
        role: ``vae_decoder`` or ``vae_encoder``.
        edge: one of :func:`tile_sizes`, in pixels.
    """
    if edge == own_tile_size(manifest):
        return manifest.entries(_TILE_ROLES[role])
    return manifest.entries(role, (edge, edge))
