"""Files of settings (``--settings``): read by their schema, and compared with a bundle's manifest.

The page checks the same of its options (``web/src/bundle/inference_settings.ts``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from wsd.errors import UsageError
from wsd.runtime.request import GenerationRequest
from wsd.spec.inference_settings import (
    DEFAULT_OVERLAP,
    DOCUMENT,
    ROOT,
    STAGES,
    DecodeSettings,
    DiffusionSettings,
    SchedulerSettings,
    SwapperSettings,
    TilingSettings,
)
from wsd.spec.manifest import Manifest
from wsd.spec.peak_memory import Way, plan_peak
from wsd.spec.roles import DENOISER, SAFETY_CHECKER, VAE_DECODER
from wsd.spec.tensor import Size
from wsd.spec.tiles import find_tile, own_tile_size, tile_sizes
from wsd.util.json_reader import parse_file, read_text
from wsd.util.typed_json import validate

_HINT = f"a file of settings is a JSON object with {ROOT}; its schema is settings.schema.json"


def read_settings(path: Path) -> DiffusionSettings:
    """Return what a file of settings gives.

    Args:
        path: of a JSON file, ``{"inference": {"diffusion": {...}}}``.

    Raises:
        UsageError: if it is missing, not JSON, or does not fit the schema; the message names the
            path of the setting.
    """
    text = read_text(path, UsageError, _HINT)
    parse_file(text, path, UsageError, _HINT)
    try:
        document = validate(text, DOCUMENT)
    except ValueError as error:
        place, _, fault = str(error).partition(": ")
        raise UsageError(f"{path}: {place.replace('/', '.')}: {fault}", _HINT) from error
    inference = document.inference
    diffusion = None if inference is None else inference.diffusion
    return DiffusionSettings() if diffusion is None else diffusion


def check_settings(
    manifest: Manifest, settings: DiffusionSettings, size: Size | None = None
) -> None:
    """Refuse settings that a model cannot have.

    Args:
        manifest: of the model.
        settings: what is given.
        size: (width, height) in pixels of the picture; that of the settings unless given.

    Raises:
        UsageError: for the first of them; the message names its path, and the hint what is
            possible.
    """
    drawn = size or settings_size(manifest, settings)
    for path, value, possible in _list_choices(manifest, settings, drawn):
        if value is not None and value not in possible:
            raise UsageError(
                f"{ROOT}.{path} is {json.dumps(value)}",
                f"{manifest.model.name} takes {_describe(possible)}",
            )


def fill_request(
    request: GenerationRequest, settings: DiffusionSettings, size: Size | None
) -> GenerationRequest:
    """Return a request in which settings stand for what it leaves open.

    Args:
        request: what to draw; what it has wins.
        settings: what is given beside it.
        size: (width, height) in pixels that the settings name.
    """
    scheduler = settings.scheduler or SchedulerSettings()
    guidance, eta = scheduler.guidance_scale, scheduler.eta
    return replace(
        request,
        steps=scheduler.num_steps if request.steps is None else request.steps,
        guidance_scale=guidance if request.guidance_scale is None else request.guidance_scale,
        eta=eta if request.eta is None else request.eta,
        scheduler=request.scheduler or scheduler.type,
        size=request.size or size,
    )


def settle_request(
    manifest: Manifest, request: GenerationRequest, settings: DiffusionSettings
) -> GenerationRequest:
    """Return a request in which settings stand for what it leaves open; see `fill_request`.

    Args:
        manifest: of the model.
        request: what to draw; what it has wins.
        settings: what is given beside it.

    Raises:
        UsageError: for the first setting that the model cannot have, whatever the picture's size.
    """
    check_settings(manifest, settings, request.size)
    return fill_request(request, settings, settings_size(manifest, settings))


def with_ways(settings: DiffusionSettings, *, offload: bool, tiling: bool) -> DiffusionSettings:
    """Return settings with offloading and tiling switched on or off, and all else as it is.

    Args:
        settings: what is given.
        offload: whether the swapper is enabled.
        tiling: whether tiles are.
    """
    decode = settings.decode or DecodeSettings()
    tiles = (decode.tiling or TilingSettings()).model_copy(update={"enabled": tiling})
    swapper = (settings.swapper or SwapperSettings()).model_copy(update={"enabled": offload})
    decode = decode.model_copy(update={"tiling": tiles})
    return settings.model_copy(update={"decode": decode, "swapper": swapper})


def settings_size(manifest: Manifest, settings: DiffusionSettings) -> Size | None:
    """Return the picture size in pixels that settings name by that of its latents.

    Args:
        manifest: of the model.
        settings: what is given.

    Returns:
        None if they name none.

    Raises:
        UsageError: if the model was not compiled for it.
    """
    given = settings.latent
    if given is None or (given.width is None and given.height is None):
        return None
    sizes = _latent_sizes(manifest)
    usual = next(latent for latent, size in sizes.items() if size == manifest.defaults.size)
    width, height = given.width or usual[0], given.height or usual[1]
    found = sizes.get((width, height))
    if found is None:
        name = "width" if given.width is not None else "height"
        listed = ", ".join("x".join(map(str, latent)) for latent in sizes)
        raise UsageError(
            f"{ROOT}.latent.{name}: no picture of {manifest.model.name} has latents of "
            f"{width}x{height}",
            f"sizes of its latents: {listed}",
        )
    return found


def _latent_sizes(manifest: Manifest) -> dict[Size, Size]:
    """Return (width, height) of the latents → that of the picture in pixels."""
    found = {}
    for entry in manifest.entries(DENOISER):
        if entry.size is not None:
            *_, height, width = entry.inputs[0].shape
            found[width, height] = entry.size
    return found


def _list_choices(
    manifest: Manifest, settings: DiffusionSettings, size: Size | None
) -> Iterator[tuple[str, object, Collection[object]]]:
    """Yield path, given value, and the values that the model has."""
    if (scheduler := settings.scheduler) is not None:
        available = manifest.schedulers.available
        yield "scheduler.type", scheduler.type, tuple(available)
        config = available[scheduler.type or manifest.schedulers.default]
        steps = range(config.min_steps, config.max_steps + 1)
        yield "scheduler.numSteps", scheduler.num_steps, steps
    if (latent := settings.latent) is not None:
        entry = manifest.entries(DENOISER)[0]
        yield "latent.channels", latent.channels, (manifest.latent_space.channels,)
        yield "latent.dtype", latent.dtype, (entry.inputs[0].dtype,)
    if (encoder := settings.text_encoder) is not None:
        first = manifest.tokenizers[manifest.conditioning.encoders[0]]
        yield "textEncoder.maxLength", encoder.max_length, (first.max_length,)
    if (decode := settings.decode) is not None:
        output = manifest.entries(VAE_DECODER)[0].outputs[0].dtype
        yield "decode.outputDtype", decode.output_dtype, (output,)
        if decode.tiling is not None:
            edge = decode.tiling.tile_size
            yield "decode.tiling.tileSize", edge, tile_sizes(manifest, size)
    if (swapper := settings.swapper) is not None:
        stages = list_stages(manifest)
        for index, stage in enumerate(swapper.evict or ()):
            yield f"swapper.evict.{index}", stage, stages
    if (stored := settings.quantization) is not None:
        dtype = manifest.model.dtype
        yield "quantization.weightDtype", stored.weight_dtype, (dtype,)
        unpacks = "none" if dtype == "f32" else "kernel"
        yield "quantization.dequantize", stored.dequantize, (unpacks,)


def _describe(possible: Collection[object]) -> str:
    if isinstance(possible, range):
        return f"{possible.start} to {possible.stop - 1}"
    return ", ".join(json.dumps(value) for value in possible) or "none for this picture"


def list_stages(manifest: Manifest) -> tuple[str, ...]:
    """Return the stages whose parameters a model has, in the order in which they run.

    Args:
        manifest: of the model.
    """
    roles = {component.role for component in manifest.components.values()}
    return tuple(stage for stage in STAGES if stage in roles)


def tile_of(manifest: Manifest, settings: DiffusionSettings | None) -> tuple[int, float]:
    """Return the edge of a tile in pixels, and the least share of it that tiles have in common.

    Args:
        manifest: of the model.
        settings: checked before; None for the defaults.
    """
    decode = None if settings is None else settings.decode
    tiling = (decode and decode.tiling) or TilingSettings()
    overlap = DEFAULT_OVERLAP if tiling.overlap is None else tiling.overlap
    return tiling.tile_size or own_tile_size(manifest), overlap


def is_tiled(settings: DiffusionSettings) -> bool:
    """Tell whether settings ask for tiles.

    Args:
        settings: what is given.
    """
    decode = settings.decode
    return decode is not None and decode.tiling is not None and decode.tiling.enabled is True


def planned_peak(
    manifest: Manifest,
    settings: DiffusionSettings,
    size: Size | None = None,
    *,
    image: bool = False,
    safety_checker: bool = False,
) -> int:
    """Return the most bytes of GPU memory that drawing with settings takes.

    Args:
        manifest: of the model.
        settings: checked before.
        size: (width, height) of the picture in pixels; that of the settings unless given.
        image: whether a picture is given.
        safety_checker: whether the finished picture is checked.
    """
    drawn = size or settings_size(manifest, settings) or manifest.defaults.size
    edge, _ = tile_of(manifest, settings)
    enabled = is_tiled(settings)
    swapper = settings.swapper
    evict: Collection[str] = ()
    if swapper is not None and swapper.enabled:
        evict = STAGES if swapper.evict is None else swapper.evict
    way = Way(drawn, evict, enabled and edge <= min(drawn) and (edge, edge) != drawn, image)

    def weigh(component: str) -> int:
        return manifest.components[component].bytes

    peak = plan_peak(manifest.entries, weigh, way, lambda role: find_tile(manifest, role, edge))
    if not safety_checker:
        return peak
    checker = manifest.components[SAFETY_CHECKER].bytes
    if SAFETY_CHECKER not in evict:
        return peak + checker
    kept = sum(
        component.bytes
        for component in manifest.components.values()
        if component.role not in evict and (image or component.role != "vae_encoder")
    )
    work = sum(entry.workspace_bytes for entry in manifest.entries(SAFETY_CHECKER))
    return max(peak, kept + checker + work)
