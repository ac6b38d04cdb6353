"""Bounds on the GPU memory of full-size models: a change that takes more memory fails by them."""

from __future__ import annotations

import json
import os

from matches import GOLDEN
from wsd.compiler.memory import peaks

BOUNDS = GOLDEN / "peak-bounds.json"
_MIB = 1 << 20
# A bound that is this much above what is planned would not notice what was won.
_SLACK = 1.05


def describe_peaks(library):
    """Return way of drawing → planned MiB, for prompts of one chunk."""
    return {
        " ".join(
            [
                "x".join(map(str, peak.size)),
                "offload" if peak.offload else "resident",
                *(["tiles"] if peak.tiling else []),
            ]
        ): -(-peak.bytes // _MIB)
        for peak in peaks(library)
    }


def check_peaks(name, dtype, library):
    """Compare a model's planned peaks with its bounds; or keep them, as ``nox -s golden`` does."""
    bounds = json.loads(BOUNDS.read_text())
    found = describe_peaks(library)
    if os.environ.get("WSD_UPDATE_GOLDEN"):
        bounds.setdefault(name, {})[dtype] = found
        BOUNDS.write_text(json.dumps(bounds, indent=1, sort_keys=True) + "\n")
    bound = bounds[name][dtype]
    assert found.keys() == bound.keys()
    more = {way: (mib, bound[way]) for way, mib in found.items() if mib > bound[way]}
    assert not more, f"{name} {dtype} takes more MiB than its bound: {more}"
    loose = {way: (mib, bound[way]) for way, mib in found.items() if mib * _SLACK < bound[way]}
    assert not loose, f"{name} {dtype} takes less MiB; keep the lower bound: nox -s golden: {loose}"
