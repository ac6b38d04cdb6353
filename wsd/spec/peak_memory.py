"""The most GPU memory that drawing a picture takes, for any choice of what stays on the GPU.

The page plans the same (``web/src/bundle/peak_memory.ts``). A stage is a part of drawing with
parameters and a workspace of its own; stages run one after another, and the workspace of one is
freed before the next one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsd.spec.roles import (
    CHUNKED_DENOISER,
    DENOISER,
    GUIDED_CHUNKED_DENOISER,
    GUIDED_DENOISER,
    GUIDED_SHALLOW_DENOISER,
    IMAGE_TO_RGBA,
    LAYERED_TEXT_ENCODER,
    LINEAR_COMBINATION,
    MASKED_BLEND,
    RGBA_TO_IMAGE,
    SHALLOW_DENOISER,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_DECODER_TILE,
    VAE_ENCODER,
    VAE_ENCODER_TILE,
)

if TYPE_CHECKING:
    from wsd.spec.manifest import EntryPoint
    from wsd.spec.tensor import Size

# Entry points of a role, for a picture size.
Entries = Callable[[str, "Size"], Sequence["EntryPoint"]]


@dataclass(frozen=True)
class Way:
    """One way to draw a picture.

    Attributes:
        size: (width, height) of the picture in pixels.
        evict: roles of the stages whose parameters are on the GPU only while they run.
        tiling: whether pictures are decoded, and encoded, in tiles.
        image: whether a picture is given, and encoded first.
    """

    size: Size
    evict: Collection[str] = ()
    tiling: bool = False
    image: bool = False


def plan_peak(
    entries: Entries,
    parameter_bytes: Callable[[str], int],
    way: Way,
    tiles: Callable[[str], Sequence[EntryPoint]] | None = None,
) -> int:
    """Return the peak in bytes of one way of drawing.

    It is with guidance, with as many chunks of a prompt as the library takes, and with clip skip.
    Stages that are not evicted are on the GPU while the others run, as they are from the second
    picture on.

    Args:
        entries: gives the entry points of a role for a picture size.
        parameter_bytes: gives the bytes of a component's parameters.
        way: how the picture is drawn.
        tiles: gives the functions that decode (``vae_decoder``) or encode (``vae_encoder``) a tile;
            those of the bundle's own tile unless given.
    """
    size = way.size

    def in_tiles(role: str, own: str) -> Sequence[EntryPoint]:
        if not way.tiling:
            return entries(role, size)
        return entries(own, size) if tiles is None else tiles(role)

    # Texts with clip skip and texts without it may be encoded for one picture.
    stages = {
        TEXT_ENCODER: [*entries(TEXT_ENCODER, size), *entries(LAYERED_TEXT_ENCODER, size)],
        VAE_DECODER: in_tiles(VAE_DECODER, VAE_DECODER_TILE),
    }
    if way.image:
        stages[VAE_ENCODER] = in_tiles(VAE_ENCODER, VAE_ENCODER_TILE)
    work = {role: _work(found) for role, found in stages.items()}
    # One denoiser runs at a time: the page frees its workspace before that of another number of
    # chunks runs.
    stages[DENOISER] = _denoisers(entries, size)
    work[DENOISER] = max(entry.workspace_bytes for entry in stages[DENOISER])
    # With a deep cache two run in turn, of which one leaves its features for the other.
    shallow = entries(GUIDED_SHALLOW_DENOISER, size) or entries(SHALLOW_DENOISER, size)
    work[DENOISER] += max((entry.workspace_bytes for entry in shallow), default=0)
    weights = {role: _weights(parameter_bytes, found) for role, found in stages.items()}
    kept = sum(weights[role] for role in stages if role not in way.evict)
    most = max(kept + work[role] + (weights[role] if role in way.evict else 0) for role in stages)
    shared = [*entries(LINEAR_COMBINATION, size)]
    # Tiles are cut out and put together by JavaScript, without a kernel from or to bytes.
    if not way.tiling:
        shared += entries(IMAGE_TO_RGBA, size)
        shared += entries(RGBA_TO_IMAGE, size) if way.image else []
    shared += entries(MASKED_BLEND, size) if way.image else []
    return most + _work(shared)


def _denoisers(entries: Entries, size: Size) -> list[EntryPoint]:
    """Return the denoisers of every number of chunks; those that guide, if there are any."""
    guided = entries(GUIDED_DENOISER, size)
    if guided:
        return [*guided, *entries(GUIDED_CHUNKED_DENOISER, size)]
    return [*entries(DENOISER, size), *entries(CHUNKED_DENOISER, size)]


def _weights(parameter_bytes: Callable[[str], int], entries: Sequence[EntryPoint]) -> int:
    """Return the bytes of the parameters that some functions read."""
    components = {entry.component for entry in entries if entry.component is not None}
    return sum(parameter_bytes(component) for component in components)


def _work(entries: Sequence[EntryPoint]) -> int:
    return sum(entry.workspace_bytes for entry in entries)
