"""What a model needs of a GPU's memory: its parameters, and what its functions work in.

TVM plans every buffer when it compiles, so that a function's working memory is
known before it runs; tests hold the browser to these figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsd.compile import Library

Size = tuple[int, int]

# The order of a picture; one stage at a time is on the GPU with offload.
_STAGES = ("text_encoder", "unet", "vae_decoder")


def parameter_bytes(library: Library, component: str) -> int:
    """Return the bytes of a component's parameters."""
    return sum(parameter.bytes for parameter in library.parameters[component])


def stage_bytes(library: Library, size: Size) -> dict[str, int]:
    """Return role → bytes of the parameters and the working memory of its functions."""
    stages = dict.fromkeys(_STAGES, 0)
    counted: set[str] = set()
    for entry in library.entry_points:
        if entry.role not in stages or entry.size not in (None, size):
            continue
        stages[entry.role] += entry.workspace_bytes
        if entry.component is not None and entry.component not in counted:
            counted.add(entry.component)
            stages[entry.role] += parameter_bytes(library, entry.component)
    return stages


def peak_bytes(library: Library, sizes: Sequence[Size]) -> dict[str, int]:
    """Return the most that one picture takes, of the sizes that were compiled.

    Returns:
        ``resident``, with every component on the GPU, and ``offload``, with one
        stage at a time.
    """
    stages = [stage_bytes(library, size) for size in sizes]
    shared = [
        sum(
            entry.workspace_bytes
            for entry in library.entry_points
            if entry.role not in _STAGES and entry.size == size
        )
        for size in sizes
    ]
    return {
        "resident": max(sum(s.values()) + rest for s, rest in zip(stages, shared, strict=True)),
        "offload": max(max(s.values()) + rest for s, rest in zip(stages, shared, strict=True)),
    }
