"""What a tensor is to a compiled function: its name, its shape and its dtype."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype (``float32``, ``int32`` …) of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


# (width, height) of a picture in pixels.
Size = tuple[int, int]
