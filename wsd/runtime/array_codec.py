"""JSON values with arrays in them, as the driver in the page takes and gives them.

``web/src/driver/codec.ts`` is the same in TypeScript. An array travels as its bytes in base64,
which is much shorter than numbers as text, and comes back flat: shapes are the manifest's.
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


def encode_arrays(value: Any) -> Any:
    """Replace the arrays in a JSON value, however deep, by objects that JSON can hold.

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
    if isinstance(value, dict):
        return {key: encode_arrays(item) for key, item in value.items()}
    return [encode_arrays(item) for item in value] if isinstance(value, list | tuple) else value


def decode_arrays(value: Any) -> Any:
    """Replace the encoded arrays in a JSON value, however deep, by flat arrays."""
    if isinstance(value, list):
        return [decode_arrays(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"dtype", "base64"}:
        data = base64.b64decode(value["base64"])
        return np.frombuffer(data, _DTYPES[value["dtype"]]).copy()
    return {key: decode_arrays(item) for key, item in value.items()}
