"""What a model needs of a GPU's memory: its parameters, and what its functions work in.

TVM plans every buffer when it compiles, so that a function's working memory is
known before it runs; tests hold the browser to these figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wsd.library import EntryPoint, Library, Size
from wsd.parts import TILE_ROLE


@dataclass(frozen=True)
class Peak:
    """The most GPU memory that drawing one picture takes.

    Attributes:
        size: (width, height) of the picture in pixels.
        offload: whether the parameters of one stage are on the GPU at a time.
        tiling: whether the picture is decoded in tiles.
        bytes: how much that is.
    """

    size: Size
    offload: bool
    tiling: bool
    bytes: int


def parameter_bytes(library: Library, component: str) -> int:
    """Return the bytes of a component's parameters."""
    return sum(parameter.bytes for parameter in library.parameters[component])


def peaks(library: Library) -> Iterator[Peak]:
    """Yield the peak of every size and way of drawing it."""
    for size in library.sizes:
        for tiling in (False, True) if takes_tiles(library, size) else (False,):
            decoders = library.entries(TILE_ROLE if tiling else "vae_decoder", size)
            encoders = library.entries("text_encoder", size)
            stages = [encoders, library.entries("unet", size), decoders]
            weights = [_weights(library, entries) for entries in stages]
            # What one stage worked in makes room for the next.
            work = [sum(entry.workspace_bytes for entry in entries) for entries in stages]
            shared = library.entries("linear_combination", size)
            # Tiles are put together by the processor.
            shared += [] if tiling else library.entries("image_to_rgba", size)
            rest = sum(entry.workspace_bytes for entry in shared)
            whole = sum(weights) + max(work)
            parts = max(map(sum, zip(weights, work, strict=True)))
            yield Peak(size, offload=False, tiling=tiling, bytes=whole + rest)
            yield Peak(size, offload=True, tiling=tiling, bytes=parts + rest)


def takes_tiles(library: Library, size: Size) -> bool:
    """Tell whether a picture is larger than a tile, and a tile no larger than the picture."""
    (tile,) = library.entries(TILE_ROLE)
    *_, height, width = tile.outputs[0].shape
    return size != (width, height) and size[0] >= width and size[1] >= height


def _weights(library: Library, entries: Sequence[EntryPoint]) -> int:
    """Return the bytes of the parameters that some functions read."""
    components = {entry.component for entry in entries if entry.component is not None}
    return sum(parameter_bytes(library, component) for component in components)
