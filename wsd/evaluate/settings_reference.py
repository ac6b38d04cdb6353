"""Settings for the reference: what of them decides a picture that diffusers draws."""

from __future__ import annotations

from typing import Any

from wsd.errors import UsageError
from wsd.evaluate.tiled_autoencoder import use_tiles
from wsd.models.registry import Family
from wsd.runtime.request import GenerationRequest
from wsd.runtime.settings import fill_request, is_tiled
from wsd.spec.inference_settings import DEFAULT_OVERLAP, ROOT, DiffusionSettings, TilingSettings
from wsd.spec.tensor import Size


def fill_family_request(
    family: Family, request: GenerationRequest, settings: DiffusionSettings
) -> GenerationRequest:
    """Return a request in which settings stand for what it leaves open.

    Args:
        family: of the checkpoint; there is no bundle that limits its sizes.
        request: what to draw; what it has wins.
        settings: what is given beside it.
    """
    latent, factor = settings.latent, family.latent_space.scale_factor
    size = None
    if latent is not None and (latent.width is not None or latent.height is not None):
        width, height = family.sizes[0]
        size = (
            width if latent.width is None else factor * latent.width,
            height if latent.height is None else factor * latent.height,
        )
    return fill_request(request, settings, size)


def tile_reference(
    family: Family, pipeline: Any, settings: DiffusionSettings, size: Size | None
) -> None:
    """Have a pipeline of diffusers decode in the tiles of settings, if they enable tiles.

    Args:
        family: of the checkpoint.
        pipeline: of diffusers.
        settings: what is given.
        size: (width, height) of the picture in pixels; the family's first one unless given.

    Raises:
        UsageError: for a tile that is larger than the picture, or does not fit the latents.
    """
    decode = settings.decode
    tiling = (decode and decode.tiling) or TilingSettings()
    edge, factor = tiling.tile_size or family.tile, family.latent_space.scale_factor
    smallest = min(size or family.sizes[0])
    if tiling.tile_size is not None and (edge > smallest or edge % factor):
        raise UsageError(
            f"{ROOT}.decode.tiling.tileSize is {edge}",
            f"it must be a multiple of {factor}, and at most {smallest} for this picture",
        )
    overlap = DEFAULT_OVERLAP if tiling.overlap is None else tiling.overlap
    if is_tiled(settings):
        use_tiles(pipeline.vae, edge, factor, overlap)
