"""Peak GPU memory of a model: its parameters and the workspace of its functions.

TVM plans every buffer when it compiles, so that a function's workspace is known before it runs.
Tests compare these figures with what the browser allocates.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from wsd.compiler.library import Library
from wsd.spec.inference_settings import STAGES
from wsd.spec.manifest import PeakMemory
from wsd.spec.peak_memory import Way, plan_peak
from wsd.spec.roles import VAE_DECODER_TILE, VAE_ENCODER_TILE
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
    weights = partial(parameter_bytes, library)
    for size in library.sizes:
        for tiling in (False, True) if takes_tiles(library, size) else (False,):
            for offload in (False, True):
                way = Way(size, STAGES if offload else (), tiling, image)
                yield PeakMemory(size, offload, tiling, plan_peak(library.entries, weights, way))


def takes_tiles(library: Library, size: Size) -> bool:
    """Tell whether a picture is larger than a tile, and a tile no larger than the picture.

    Args:
        library: has the function that decodes a tile.
        size: (width, height) of the picture in pixels.
    """
    (tile,) = library.entries(VAE_DECODER_TILE)
    *_, height, width = tile.outputs[0].shape
    return size != (width, height) and size[0] >= width and size[1] >= height
