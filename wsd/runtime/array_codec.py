"""JSON values with arrays in them, as the driver in the page takes and gives them.

``web/src/driver/codec.ts`` is the same in TypeScript. An array travels as its bytes in base64,
which is much shorter than numbers as text, and comes back flat: shapes are the manifest's. An
integer that a JavaScript number would round, such as a seed of 64 bits, travels as its digits.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
}
_MAX_SAFE_INTEGER = 2**53 - 1


def encode_arrays(value: Any) -> Any:
    """Replace arrays and long integers in a value, however deep, by objects that JSON can hold.

    Args:
        value: of lists, tuples, dicts, numbers, texts and arrays of float32, int32 or uint8.

    Raises:
        TypeError: for an array of another dtype.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _DTYPES:
            raise TypeError(f"arrays of {value.dtype} cannot be sent to a page")
        data = np.ascontiguousarray(value, _DTYPES[value.dtype.name]).tobytes()
        return {"dtype": value.dtype.name, "base64": base64.b64encode(data).decode()}
    if isinstance(value, int) and abs(value) > _MAX_SAFE_INTEGER:
        return {"bigint": str(value)}
    if isinstance(value, dict):
        return {key: encode_arrays(item) for key, item in value.items()}
    return [encode_arrays(item) for item in value] if isinstance(value, list | tuple) else value


def decode_arrays(value: Any) -> Any:
    """Replace what was encoded in a JSON value, however deep, by flat arrays and integers."""
    if isinstance(value, list):
        return [decode_arrays(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"dtype", "base64"}:
        data = base64.b64decode(value["base64"])
        return np.frombuffer(data, _DTYPES[value["dtype"]]).copy()
    if value.keys() == {"bigint"}:
        return int(value["bigint"])
    return {key: decode_arrays(item) for key, item in value.items()}
