"""Name, shape and dtype of a tensor that a compiled function takes or returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# WebGPU has no 64-bit integers: token ids are int32.
DType = Literal["float32", "int32"]


@dataclass(frozen=True)
class TensorSpec:
    """One tensor that an entry point takes or returns.

    Attributes:
        name: by which callers pass it or find it.
        shape: length of each axis.
        dtype: type of its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType = "float32"


# (width, height) of a picture in pixels.
Size = tuple[int, int]
