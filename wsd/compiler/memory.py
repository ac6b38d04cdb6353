"""Peak GPU memory of a model: its parameters and the workspace of its functions.

TVM plans every buffer when it compiles, so that a function's workspace is known before it runs.
Tests compare these figures with what the browser allocates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wsd.compiler.library import Library
from wsd.spec.manifest import EntryPoint, PeakMemory
from wsd.spec.roles import (
    CHUNKED_DENOISER,
    DENOISER,
    GUIDED_CHUNKED_DENOISER,
    GUIDED_DENOISER,
    IMAGE_TO_RGBA,
    LAYERED_TEXT_ENCODER,
    LINEAR_COMBINATION,
    MASKED_BLEND,
    RGBA_TO_IMAGE,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_DECODER_TILE,
    VAE_ENCODER,
    VAE_ENCODER_TILE,
)
from wsd.spec.tensor import Size


def parameter_bytes(library: Library, component: str) -> int:
    """Return the bytes of a component's parameters."""
    return sum(parameter.bytes for parameter in library.parameters[component])


def peaks(library: Library) -> Iterator[PeakMemory]:
    """Yield the peak of every picture size, with and without offloading and tiling."""
    yield from _peaks(library, image=False)


def image_peaks(library: Library) -> tuple[PeakMemory, ...] | None:
    """Return the same for drawing from a picture; None if no function encodes one."""
    return tuple(_peaks(library, image=True)) if library.entries(VAE_ENCODER_TILE) else None


def _peaks(library: Library, *, image: bool) -> Iterator[PeakMemory]:
    for size in library.sizes:
        for tiling in (False, True) if takes_tiles(library, size) else (False,):
            for offload in (False, True):
                peak = _peak(library, size, offload=offload, tiling=tiling, image=image)
                yield PeakMemory(size, offload, tiling, peak)


def _peak(library: Library, size: Size, *, offload: bool, tiling: bool, image: bool) -> int:
    """Return the peak in bytes of one way of drawing.

    It is with guidance, with as many chunks of a prompt as the library takes, and with clip skip.
    """
    decoders = library.entries(VAE_DECODER_TILE if tiling else VAE_DECODER, size)
    # Texts with clip skip and texts without it may be encoded for one picture.
    encoders = library.entries(TEXT_ENCODER, size) + library.entries(LAYERED_TEXT_ENCODER, size)
    stages = [encoders, decoders]
    if image:
        stages.append(library.entries(VAE_ENCODER_TILE if tiling else VAE_ENCODER, size))
    weights = [_weights(library, entries) for entries in stages]
    # A stage's workspace is freed before the next stage runs.
    work = [sum(entry.workspace_bytes for entry in entries) for entries in stages]
    # One denoiser runs at a time: the page frees its workspace before that of another number of
    # chunks runs.
    denoisers = _denoisers(library, size)
    weights.append(_weights(library, denoisers))
    work.append(max(entry.workspace_bytes for entry in denoisers))
    shared = library.entries(LINEAR_COMBINATION, size)
    # Tiles are cut out and put together by JavaScript, without a kernel from or to bytes.
    if not tiling:
        shared += library.entries(IMAGE_TO_RGBA, size)
        shared += library.entries(RGBA_TO_IMAGE, size) if image else []
    shared += library.entries(MASKED_BLEND, size) if image else []
    most = max(map(sum, zip(weights, work, strict=True))) if offload else sum(weights) + max(work)
    return most + sum(entry.workspace_bytes for entry in shared)


def _denoisers(library: Library, size: Size) -> list[EntryPoint]:
    """Return the denoisers of every number of chunks; those that guide, if there are any."""
    guided = library.entries(GUIDED_DENOISER, size)
    if guided:
        return guided + library.entries(GUIDED_CHUNKED_DENOISER, size)
    return library.entries(DENOISER, size) + library.entries(CHUNKED_DENOISER, size)


def takes_tiles(library: Library, size: Size) -> bool:
    """Tell whether a picture is larger than a tile, and a tile no larger than the picture.

    Args:
        library: has the function that decodes a tile.
        size: (width, height) of the picture in pixels.
    """
    (tile,) = library.entries(VAE_DECODER_TILE)
    *_, height, width = tile.outputs[0].shape
    return size != (width, height) and size[0] >= width and size[1] >= height


def _weights(library: Library, entries: Sequence[EntryPoint]) -> int:
    """Return the bytes of the parameters that some functions read."""
    components = {entry.component for entry in entries if entry.component is not None}
    return sum(parameter_bytes(library, component) for component in components)
