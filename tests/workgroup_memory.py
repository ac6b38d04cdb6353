"""Workgroup variables of WGSL: how many bytes of shared memory they take."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Shared memory of desktop and integrated GPUs in Chromium.
USUAL_SHARED_BYTES = 32768
_VARIABLE = re.compile(r"var<workgroup>\s*(\w+)\s*:\s*([^;]+);")
_ARRAY = re.compile(r"array<(.+),\s*(\d+)>")
# Those whose arrays have no gaps.
_BYTES = {
    "f16": 2, "f32": 4, "u32": 4, "vec4<f16>": 8, "vec2<u32>": 8, "vec4<f32>": 16, "vec4<u32>": 16,
}  # fmt: skip


@dataclass(frozen=True)
class SharedArray:
    """An array in shared memory, or an array of such arrays.

    Attributes:
        bytes: its size.
        inner_bytes: the size of one of its inner arrays; the same as its own if it has none.
    """

    bytes: int
    inner_bytes: int


def shared_arrays(code: str) -> dict[str, SharedArray]:
    """Return the workgroup variables of a shader by name.

    Args:
        code: WGSL without aliases of the types of these variables.

    Raises:
        KeyError: if one is neither an array nor an array of arrays of values of known size.
    """
    found = _VARIABLE.findall(code)
    assert code.count("var<workgroup>") == len(found)
    return {name: _shared_array(stored.strip()) for name, stored in found}


def shared_bytes(code: str) -> int:
    """Return how many bytes the workgroup variables of a shader take together."""
    return sum(array.bytes for array in shared_arrays(code).values())


def _shared_array(stored: str) -> SharedArray:
    count, element = _count(stored)
    if element in _BYTES:
        size = count * _BYTES[element]
        return SharedArray(size, size)
    inner_count, element = _count(element)
    inner_bytes = inner_count * _BYTES[element]
    return SharedArray(count * inner_bytes, inner_bytes)


def _count(stored: str) -> tuple[int, str]:
    """Return how many elements an array has, and their type."""
    array = _ARRAY.fullmatch(stored)
    if array is None:
        raise KeyError(stored)
    return int(array[2]), array[1]
