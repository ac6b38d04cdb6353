"""Read a JSON file as a value of declared types: the bounds of `json_reader`, then pydantic.

pydantic collects every fault of a value, each with a copy of what is faulty, which takes a thousand
times the bytes of a list of empty objects. So values are read by a copy of the type's schema that
stops at the first fault of each list and table, and at the first field that is missing or unknown.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from wsd.errors import WsdError
from wsd.util.json_reader import MAX_BYTES, MAX_MARKS, count_marks, parse_file, read_text

_Value = TypeVar("_Value")
# Parts of a place, and characters of each, that an error shows.
_PARTS, _SHOWN = 8, 60
_CONTAINERS = ("list", "tuple", "set", "frozenset", "dict")
_RECORDS = ("model-fields", "typed-dict")
# Commas and brackets of a text up to which an error names where a field is missing or unknown.
# Beyond, copies of what has the fault would take too much memory, and it names the field alone.
_EXACT = 20_000


class _FieldError(Exception):
    """A field is missing, or does not belong there. pydantic passes it on at once."""


def read_typed(
    path: Path,
    adapter: TypeAdapter[_Value],
    failure: type[WsdError],
    hint: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_marks: int = MAX_MARKS,
) -> _Value:
    """Return what a JSON file holds, every part of it of its declared type.

    Args:
        path: the file.
        adapter: of the type; strict unless its models say otherwise.
        failure: class of the error for a file that is missing or holds anything else.
        hint: what to do then.
        max_bytes: how large the file may be.
        max_marks: how many commas and opening brackets it may have.

    Raises:
        WsdError: of the class ``failure``; its message names the file and the place.
        OSError: if the system does not let it be read, for another reason than that it is missing.
    """
    text = read_text(path, failure, hint, max_bytes)
    # pydantic's own parser bounds neither depth nor numbers, and takes the last of two equal keys.
    parse_file(text, path, failure, hint, max_marks=max_marks)
    return validate_text(text, path, adapter, failure, hint)


def validate_text(
    text: str, path: Path, adapter: TypeAdapter[_Value], failure: type[WsdError], hint: str
) -> _Value:
    """Return what a text of JSON holds that `parse_file` has read.

    Args:
        text: the file's content.
        path: of the file, for the error.
        adapter: of the type; strict unless its models say otherwise.
        failure: class of the error for a text that holds anything else.
        hint: what to do then.

    Raises:
        WsdError: of the class ``failure``; its message names the file and the first fault.
    """
    try:
        validator = _make_validator(adapter, names_places=count_marks(text) <= _EXACT)
        found: _Value = validator.validate_json(text, strict=True)
    except _FieldError as error:
        raise failure(f"{path}: {error}", hint) from None
    except ValidationError as error:
        raise failure(f"{path}: {describe_fault(error)}", hint) from error
    return found


def describe_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found: its place and what is wrong."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    parts = [str(part)[:_SHOWN] for part in first["loc"][:_PARTS]]
    return f"{'/'.join(parts) or 'top level'}: {first['msg']}"


@functools.cache
def _make_validator(adapter: TypeAdapter[Any], *, names_places: bool) -> SchemaValidator:
    return SchemaValidator(
        _stop_early(adapter.core_schema, stops_at_fields=not names_places), _use_prebuilt=False
    )


def _stop_early(schema: Any, *, stops_at_fields: bool, forbids_more: bool = False) -> Any:
    """Return a copy of a schema of pydantic that stops at the first fault of a list or table.

    Args:
        schema: any part of one.
        stops_at_fields: whether to stop at the first field that is missing or unknown, too.
        forbids_more: whether the model that this is of has no other fields than its own.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(_stop_early(s, stops_at_fields=stops_at_fields) for s in schema)
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind == "model":
        forbids_more = schema.get("config", {}).get("extra_fields_behavior") == "forbid"
    # A field that one type of a union lacks does not mean that no other type fits.
    stops_at_fields = stops_at_fields and kind != "union"
    copy = {
        key: _stop_early(
            part, stops_at_fields=stops_at_fields, forbids_more=forbids_more and key == "schema"
        )
        for key, part in schema.items()
    }
    if kind in _CONTAINERS:
        copy["fail_fast"] = True
    if kind in _RECORDS and stops_at_fields:
        _stop_at_fields(copy)
        if forbids_more:
            copy["extra_behavior"] = "allow"
            copy["extras_keys_schema"] = _REFUSE_MORE
    return copy


def _stop_at_fields(schema: Any) -> None:
    """Let a record's schema stop at the first field that is missing."""
    for name, field in schema["fields"].items():
        if field.get("required", True) and field["schema"]["type"] != "default":
            refuse = functools.partial(_refuse_absence, field.get("validation_alias", name))
            field["schema"] = core_schema.with_default_schema(
                field["schema"], default_factory=refuse
            )
            field.pop("required", None)


def _refuse_absence(field: object) -> NoReturn:
    raise _FieldError(f"a field {field} is missing")


def _refuse_more(field: object) -> NoReturn:
    raise _FieldError(f"a field {str(field)[:_SHOWN]} does not belong there")


_REFUSE_MORE = core_schema.no_info_plain_validator_function(_refuse_more)
