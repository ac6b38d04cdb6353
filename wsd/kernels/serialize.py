"""Variants as the browser reads them: one JSON file, texts that kernels share written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wsd.kernels.variant import Launch, Variant


def variant_table(
    variants: Mapping[str, Sequence[Variant]],
    orders: Mapping[str, Sequence[str]],
    moved: Mapping[str, int],
) -> dict[str, Any]:
    """Return the table of variants.

    Args:
        variants: kernel name → its variants, best first.
        orders: kernel name → names of its buffers, in the order of its arguments.
        moved: kernel name → bytes that it reads and writes, of those without variants too.
    """
    bodies: dict[str, int] = {}

    def launch_entry(launch: Launch, order: Sequence[str]) -> dict[str, Any]:
        return {
            "head": launch.head,
            "body": bodies.setdefault(launch.body, len(bodies)),
            "grid": list(launch.grid),
            # Which of the kernel's arguments each binding is; -1 is the scratch buffer.
            "arguments": [-1 if name is None else order.index(name) for name in launch.buffers],
        }

    kernels = {
        name: [
            {
                "features": list(variant.features),
                "threads": variant.threads,
                "shared_bytes": variant.shared_bytes,
                "matrix": None if variant.matrix is None else list(variant.matrix),
                "lanes": None if variant.lanes is None else list(variant.lanes),
                "scratch_bytes": variant.scratch_bytes,
                "operations": variant.operations,
                "launches": [launch_entry(launch, orders[name]) for launch in variant.launches],
            }
            for variant in found
        ]
        for name, found in variants.items()
    }
    return {"bodies": list(bodies), "kernels": kernels, "bytes": dict(moved)}
