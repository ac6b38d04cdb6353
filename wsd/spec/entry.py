"""Base classes of the objects in WSD's JSON files: frozen, and strict about what they are given.

An object refuses unknown fields, takes values of exactly the declared types, and no number that is
infinite or not a number. The docstrings of its fields become the descriptions in JSON Schemas.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

CONFIG: Final = ConfigDict(
    allow_inf_nan=False,
    extra="forbid",
    strict=True,
    use_attribute_docstrings=True,
)


class Entry(BaseModel):
    """An object of a file."""

    model_config = ConfigDict(**CONFIG, frozen=True)


class SparseEntry(Entry):
    """An object that is written without its absent fields."""

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Write no field that is absent: TypeScript's fields may be missing, but not null."""
        return {key: value for key, value in serialize(self).items() if value is not None}
