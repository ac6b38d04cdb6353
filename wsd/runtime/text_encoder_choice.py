"""Leaves out the text encoders that a model can do without, as if its bundle did not have them.

The page does the same (``web/src/bundle/encoders.ts``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from wsd.errors import UsageError
from wsd.spec.inference_settings import STAGES
from wsd.spec.manifest import Manifest, PeakMemory
from wsd.spec.peak_memory import Way, plan_peak


def choose_encoders(manifest: Manifest, wanted: bool | None) -> Manifest:
    """Return a manifest with the text encoders that can be left out, or without them.

    Without them it has other planned peaks. What it requires of a GPU stays as it was.

    Args:
        manifest: of the model.
        wanted: False leaves them out, True asks for them; None takes what there is.

    Raises:
        UsageError: if they are asked for, and the bundle has none.
    """
    optional = manifest.conditioning.optional or ()
    if wanted is True and not optional:
        raise UsageError(
            f"{manifest.model.name} has no third text encoder",
            "leave --text-encoder-3 out, or build the bundle from a checkpoint that has T5",
        )
    return _without_encoders(manifest, optional) if wanted is False and optional else manifest


def _without_encoders(manifest: Manifest, ids: Collection[str]) -> Manifest:
    conditioning = manifest.conditioning
    encoders = tuple(name for name in conditioning.encoders if name not in ids)
    without = manifest.model_copy(
        update={
            "components": {n: found for n, found in manifest.components.items() if n not in ids},
            "tokenizers": {n: found for n, found in manifest.tokenizers.items() if n not in ids},
            "entry_points": tuple(e for e in manifest.entry_points if e.component not in ids),
            "conditioning": conditioning.model_copy(
                update={"encoders": encoders, "optional": None}
            ),
        }
    )
    images = manifest.image_peak_bytes
    return without.model_copy(
        update={
            "peak_bytes": tuple(_plan(without, p, image=False) for p in manifest.peak_bytes),
            "image_peak_bytes": images and tuple(_plan(without, p, image=True) for p in images),
        }
    )


def _plan(manifest: Manifest, peak: PeakMemory, *, image: bool) -> PeakMemory:
    """Plan the peak of one of the ways that the manifest lists anew."""
    way = Way(peak.size, STAGES if peak.offload else (), peak.tiling, image)
    found = plan_peak(manifest.entries, lambda name: manifest.components[name].bytes, way)
    return replace(peak, bytes=found)
