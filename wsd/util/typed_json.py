"""Read a JSON file as a value of declared types: the bounds of `json_reader`, then pydantic.

pydantic collects every fault of a value, each with a copy of what is faulty, which takes a thousand
times the bytes of a list of empty objects. So values are read by a copy of the type's schema that
stops at the first fault of each list and table, and at the first field that is missing or unknown;
where another type may fit, it looks at the names of a record's fields before it reads any.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from wsd.errors import WsdError
from wsd.util.json_reader import (
    MAX_BYTES,
    MAX_MARKS,
    count_marks,
    parse_file,
    pause_collector,
    read_text,
)

_Value = TypeVar("_Value")
# Parts of a place, and characters of each, that an error shows.
_PARTS, _SHOWN = 8, 60
_CONTAINERS = ("list", "tuple", "set", "frozenset", "dict")
_RECORDS = ("model-fields", "typed-dict", "dataclass-args")
# Commas and brackets of a text up to which an error names where a field is missing or unknown.
# Beyond, copies of what has the fault would take too much memory, and it names the field alone.
_EXACT = 20_000
# What stands in pydantic's places for a record whose fields were checked.
_CHECKED = "\0checked"
# What becomes of fields that are missing or unknown: pydantic collects an error for each of them;
# or the first ends the reading; or a record has one error for all, and a union goes on to its next
# type.
_Fields = Literal["collect", "end", "check"]


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
        return validate(text, adapter)
    except ValueError as error:
        raise failure(f"{path}: {error}", hint) from error


def validate(text: str, adapter: TypeAdapter[_Value]) -> _Value:
    """Return what a text of JSON holds that `parse_json` has read.

    Args:
        text: of any size.
        adapter: of the type; strict unless its models say otherwise.

    Raises:
        ValueError: with the first fault, for a text that holds anything else.
    """
    fields: _Fields = "collect" if count_marks(text) <= _EXACT else "end"
    try:
        with pause_collector():
            found: _Value = _make_validator(adapter, fields).validate_json(text, strict=True)
    except _FieldError as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        # The error keeps copies of what is faulty, and is itself a ValueError.
        raise ValueError(describe_fault(error)) from None
    return found


def describe_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found: its place and what is wrong."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    place = [part for part in first["loc"] if part != _CHECKED]
    parts = [str(part)[:_SHOWN] for part in place[:_PARTS]]
    return f"{'/'.join(parts) or 'top level'}: {first['msg']}"


@functools.cache
def _make_validator(adapter: TypeAdapter[Any], fields: _Fields) -> SchemaValidator:
    return SchemaValidator(_stop_early(adapter.core_schema, fields), _use_prebuilt=False)


def _stop_early(schema: Any, fields: _Fields, *, forbids_more: bool = False) -> Any:
    """Return a copy of a schema of pydantic that stops at the first fault of a list or table.

    Args:
        schema: any part of one.
        fields: what becomes of fields that are missing or unknown.
        forbids_more: whether the class that this is of has no other fields than its own.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(_stop_early(part, fields) for part in schema)
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if "config" in schema:
        forbids_more = schema["config"].get("extra_fields_behavior") == "forbid"
    if kind in ("union", "definitions") and fields == "end":
        # A field that one type of a union lacks does not mean that no other type fits. What is
        # defined for several places may be in a union.
        fields = "check"
    copy = {
        key: _stop_early(part, fields, forbids_more=forbids_more and key == "schema")
        for key, part in schema.items()
    }
    if kind in _CONTAINERS:
        copy["fail_fast"] = True
    if kind in _RECORDS and fields != "collect":
        forbids_more = schema.get("extra_behavior", forbids_more and "forbid") == "forbid"
        # Records of other kinds have no place for a function that refuses a field.
        if fields == "end" and (
            kind == "model-fields" or (kind == "typed-dict" and not forbids_more)
        ):
            _end_at_fields(copy, forbids_more=forbids_more)
        else:
            return _check_fields(copy, forbids_more=forbids_more)
    return copy


def _end_at_fields(schema: Any, *, forbids_more: bool) -> None:
    """Let a record's schema end the reading at the first field that is missing or unknown."""
    for name, field in schema["fields"].items():
        if field.get("required", True) and field["schema"]["type"] != "default":
            refuse = functools.partial(_refuse_absence, field.get("validation_alias", name))
            field["schema"] = core_schema.with_default_schema(
                field["schema"], default_factory=refuse
            )
            field.pop("required", None)
    if forbids_more:
        schema["extra_behavior"] = "allow"
        schema["extras_keys_schema"] = _REFUSE_MORE


def _refuse_absence(field: object) -> NoReturn:
    raise _FieldError(f"a field {field} is missing")


def _refuse_more(field: object) -> NoReturn:
    raise _FieldError(f"a field {str(field)[:_SHOWN]} does not belong there")


_REFUSE_MORE = core_schema.no_info_plain_validator_function(_refuse_more)


def _check_fields(schema: dict[str, Any], *, forbids_more: bool) -> Any:
    """Return a schema that refuses a record with one error for all its fields, before it reads one.

    pydantic lets a function choose a type by a copy of the value. Here there is one to choose, for
    a record with the right fields. Unlike the functions that pydantic calls before it reads a
    value, this one leaves the value JSON, in which a list may be a tuple.
    """
    fields = schema["fields"]
    pairs = fields.items() if isinstance(fields, dict) else [(f["name"], f) for f in fields]
    required, allowed = [], set[str]()
    for name, field in pairs:
        alias = field.get("validation_alias", name)
        if not isinstance(alias, str):
            # One of several paths; no type has such a field today.
            return schema
        allowed |= {name, alias}
        if field.get("required", True) and field.get("init", True) and not _has_default(field):
            required.append(frozenset((name, alias)))
    names = _FieldNames(tuple(required), frozenset(allowed) if forbids_more else None)
    outer = core_schema.tagged_union_schema(
        {_CHECKED: schema},
        names.check,
        custom_error_type="fields",
        custom_error_message="a field is missing or does not belong there",
    )
    return {**outer, "ref": schema.pop("ref")} if "ref" in schema else outer


@dataclass(frozen=True)
class _FieldNames:
    """The names of a record's fields: sets of which one must be there each, and all of them."""

    required: tuple[frozenset[str], ...]
    allowed: frozenset[str] | None

    def check(self, value: object) -> str | None:
        """Return None for a table that lacks a field or has one more; pydantic refuses others."""
        if not isinstance(value, dict):
            return _CHECKED
        if self.allowed is not None and not self.allowed.issuperset(value):
            return None
        return None if any(map(value.keys().isdisjoint, self.required)) else _CHECKED


def _has_default(field: Any) -> bool:
    """Tell whether a field's schema, or what that is of, has a default."""
    while isinstance(field, dict):
        if field.get("type") == "default":
            return True
        field = field.get("schema")
    return False
