"""``wsd build --plan``: describe the bundle before anything is downloaded or written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from wsd.compiler.library import Library
from wsd.compiler.memory import image_peaks, parameter_bytes, peaks
from wsd.models.registry import Family
from wsd.models.schedulers import build_scheduler, default_scheduler
from wsd.spec.manifest import PeakMemory
from wsd.spec.parameter import SHARD_BYTES
from wsd.spec.roles import SAFETY_CHECKER

# Memory of common GPUs in GiB.
_GPU_GIB = (2, 4, 6, 8, 12, 16, 24)
# Share of a GPU's memory that the browser and the desktop leave to the page.
_SHARE = 0.8


def describe_plan(
    family: Family, library: Library, scheduler: Mapping[str, Any], default: str | None = None
) -> Iterator[str]:
    """Yield the lines of a plan: bytes, shards, download, GPU memory and which GPUs have it.

    The encoder is a part of the download and of the memory if the model draws nothing without a
    picture. Else it is listed apart, and the memory is that of drawing from text.

    Args:
        family: with the defaults of the checkpoint.
        library: its compiled functions.
        scheduler: configuration of the checkpoint's own scheduler.
        default: name of its default scheduler; None for the one that the configuration means.
    """
    listed = ", ".join(f"{width}x{height}" for width, height in library.sizes)
    yield f"{family.name}, {library.dtype}, {listed}"
    yield ""
    yield f"{'component':<16}{'parameters':>14}{'bytes':>12}{'shards':>8}"
    parts = {part.id for component in family.components for part in component.parts}
    shards = total = more = checker = 0
    for name, parameters in library.parameters.items():
        size = parameter_bytes(library, name)
        count = sum(math.prod(p.shape) for p in parameters)
        files = -(-size // SHARD_BYTES)
        yield f"{name:<16}{count:>14,}{_bytes(size):>12}{files:>8}"
        if name in parts and not family.needs_picture:
            more += size
        elif name == SAFETY_CHECKER:
            checker += size
        else:
            shards, total = shards + files, total + size
    wasm = library.wasm.stat().st_size
    yield f"{'library':<16}{'':>14}{_bytes(wasm):>12}{1:>8}"
    yield ""
    yield f"download         {_bytes(total + wasm)} in {shards + 1} files, before compression"
    if more:
        yield f"with a picture   {_bytes(more)} more, for who gives one to draw from"
    if checker:
        yield f"when checked     {_bytes(checker)} more, for pages that check finished pictures"
    yield f"storage buffers  {library.storage_buffers} for one kernel; every WebGPU adapter has 8"
    yield f"scheduler        {_describe_scheduler(scheduler, default)}"
    yield f"defaults         {family.steps} steps, guidance {family.guidance_scale:g}"
    yield ""
    yield f"{'size':<12}{'GPU memory':>12}  {'drawn':<24}{'fits'}"
    for peak in (image_peaks(library) if family.needs_picture else None) or peaks(library):
        edges = "x".join(map(str, peak.size))
        yield f"{edges:<12}{_bytes(peak.bytes):>12}  {_way(peak):<24}{_fits(peak.bytes)}"


def _describe_scheduler(config: Mapping[str, Any], default: str | None) -> str:
    built = build_scheduler(config, default).config
    words = [
        default or default_scheduler(config),
        *([f"{built['timestep_spacing']} timesteps"] if "timestep_spacing" in built else []),
        *(["zero terminal SNR"] if built.get("rescale_betas_zero_snr") else []),
        # Schedulers of flow matching have no such option.
        f"predicts {built.get('prediction_type', 'flow_prediction')}",
    ]
    return ", ".join(words)


def _way(peak: PeakMemory) -> str:
    """Return how a picture is drawn."""
    return ("offload" if peak.offload else "all resident") + (", tiles" if peak.tiling else "")


def _bytes(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count / 1024:.2f} KiB"


def _fits(count: int) -> str:
    for gib in _GPU_GIB:
        if count <= gib * _SHARE * (1 << 30):
            return f"GPUs of {gib} GiB and more"
    return f"no GPU of up to {_GPU_GIB[-1]} GiB"
