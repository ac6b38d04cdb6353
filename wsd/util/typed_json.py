"""Read a JSON file as a value of declared types: the bounds of `json_reader`, then pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from wsd.errors import WsdError
from wsd.util.json_reader import MAX_BYTES, parse_file, read_text

_Value = TypeVar("_Value")
# Parts of a place, and characters of each, that an error shows.
_PARTS, _SHOWN = 8, 60


def read_typed(
    path: Path,
    adapter: TypeAdapter[_Value],
    failure: type[WsdError],
    hint: str,
    *,
    max_bytes: int = MAX_BYTES,
) -> _Value:
    """Return what a JSON file holds, every part of it of its declared type.

    Args:
        path: the file.
        adapter: of the type; strict unless its models say otherwise.
        failure: class of the error for a file that is missing or holds anything else.
        hint: what to do then.
        max_bytes: how large the file may be.

    Raises:
        WsdError: of the class ``failure``; its message names the file and the place.
        OSError: if the system does not let it be read, for another reason than that it is missing.
    """
    text = read_text(path, failure, hint, max_bytes)
    # pydantic's own parser bounds neither depth nor numbers, and takes the last of two equal keys.
    parse_file(text, path, failure, hint)
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        raise failure(f"{path}: {describe_fault(error)}", hint) from error


def describe_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found: its place and what is wrong."""
    first: Any = error.errors(include_url=False)[0]
    parts = [str(part)[:_SHOWN] for part in first["loc"][:_PARTS]]
    return f"{'/'.join(parts) or 'top level'}: {first['msg']}"
