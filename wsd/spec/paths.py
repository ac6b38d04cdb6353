"""Names and paths of files in bundles: one rule for writing, reading, serving and checking.

A name is of letters, digits and a few signs that mean nothing to any file system, shell or address.
So it can neither leave its folder (``..``, ``/``, drive letters), nor hide (a leading dot), nor
write to a terminal, nor mean a device on Windows, nor differ from its own address. The browser
checks the same rule (``web/src/bundle/paths.ts``); its constants are generated from these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, Field

# One name: no separator, no leading dot or hyphen, no dot at the end, which Windows drops.
NAME_PATTERN: Final = "^[A-Za-z0-9_@]([A-Za-z0-9._@+-]*[A-Za-z0-9_@+-])?$"
# Characters. File systems take 255 bytes, of which temporary names and endings such as .br need
# some.
MAX_NAME: Final = 200
MAX_PATH: Final = 1000
# Names that mean a device on Windows, whatever follows after a dot.
RESERVED_NAMES: Final = (
    "con", "prn", "aux", "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
)  # fmt: skip

_NAME = re.compile(NAME_PATTERN)
_SHOWN = 60
_Value = TypeVar("_Value")


def check_name(name: str) -> str:
    """Return the name of a file or folder, without a folder before it.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if len(name) > MAX_NAME:
        raise ValueError(f"name {name[:_SHOWN]!r}… has {len(name)} characters, at most {MAX_NAME}")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a plain name of letters, digits and ._-+@")
    if name.partition(".")[0].lower() in RESERVED_NAMES:
        raise ValueError(f"{name!r} means a device on Windows")
    return name


def check_path(path: str) -> str:
    """Return a path relative to a bundle: names with slashes between them.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if len(path) > MAX_PATH:
        raise ValueError(f"path {path[:_SHOWN]!r}… has {len(path)} characters, at most {MAX_PATH}")
    for name in path.split("/"):
        try:
            check_name(name)
        except ValueError as error:
            raise ValueError(f"path {path!r}: {error}") from None
    return path


def check_folder(address: str) -> str:
    """Return a folder's name with a slash at its end.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if not address.endswith("/"):
        raise ValueError(f"{address!r} does not end with a slash")
    check_name(address[:-1])
    return address


def _check_keys(table: Mapping[str, _Value]) -> Mapping[str, _Value]:
    for key in table:
        check_name(key)
    return table


Name = Annotated[
    str,
    Field(pattern=NAME_PATTERN, max_length=MAX_NAME),
    AfterValidator(check_name),
]
"""The name of a file or folder."""

BundlePath = Annotated[str, Field(min_length=1, max_length=MAX_PATH), AfterValidator(check_path)]
"""The path of a file relative to its bundle."""

FolderAddress = Annotated[
    str, Field(min_length=2, max_length=MAX_NAME + 1), AfterValidator(check_folder)
]
"""The name of a folder with a slash at its end, as an address relative to a file beside it."""

ByName = Annotated[Mapping[str, _Value], AfterValidator(_check_keys)]
"""A table whose keys are names."""
