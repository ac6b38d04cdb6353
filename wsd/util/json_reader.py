"""One reader of JSON files that anybody may have written, with bounds on everything.

Only regular files are read, up to a size and a number of values. The text must be UTF-8 (with or
without the mark that Windows' editors put first), must not repeat a key, must not be nested deeply,
and its numbers and texts must be such that they can be written again: no NaN, no endless digits, no
half characters. An error names the file and the place in it.
"""

from __future__ import annotations

import codecs
import gc
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsd.errors import WsdError
from wsd.util.file_errors import name_in_errors

# What most files need: a manifest names every parameter, an SBOM every file and package.
MAX_BYTES = 8 << 20
# What libraries and tables of kernels need, which hold every shader.
MAX_SHADER_BYTES = 64 << 20
# Commas and opening brackets of a text, those in its texts too: at least as many as it has values.
# Python needs up to a hundred times the bytes of a value's JSON, and a microsecond for each.
MAX_MARKS = 250_000
MAX_SHADER_MARKS = 1_000_000
MAX_DEPTH = 64
# transformers writes 10^30 for "no limit".
MAX_INTEGER = 10**40
# Characters of a key, number or place that an error shows.
_SHOWN = 60

_Path = tuple[str | int, ...]


def read_text(path: Path, failure: type[WsdError], hint: str, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a regular file of UTF-8.

    Args:
        path: the file.
        failure: class of the error for a file that is missing or not such a text.
        hint: what to do then.
        max_bytes: how large it may be.

    Raises:
        WsdError: of the class ``failure``.
        OSError: if the system does not let it be read, for another reason than that it is missing.
    """
    data = _read_bytes(path, failure, hint, max_bytes)
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise failure(f"{path}: not UTF-8 at byte {error.start}", hint) from error


def _read_bytes(path: Path, failure: type[WsdError], hint: str, max_bytes: int) -> bytes:
    try:
        # Without O_NONBLOCK, opening a named pipe waits until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise failure(f"{path} does not exist", hint) from None
    except ValueError as error:
        # A name with a zero byte.
        raise failure(f"{path!s:.{_SHOWN}}: not a file ({error})", hint) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise failure(f"{path}: not a regular file", hint)
    with os.fdopen(handle, "rb") as file, name_in_errors(path):
        # Files of /proc say that they have no size.
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise failure(f"{path}: larger than {max_bytes} bytes", hint)
    return data


def read_json(
    path: Path,
    failure: type[WsdError],
    hint: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_marks: int = MAX_MARKS,
    infinities: bool = False,
) -> Any:
    """Return the value of a JSON file.

    Args:
        path: the file.
        failure: class of the error for a file that is missing or no such JSON.
        hint: what to do then.
        max_bytes: how large it may be.
        max_marks: how many commas and opening brackets it may have.
        infinities: whether numbers may be infinite, as ``lambda_min_clipped`` is in the scheduler
            configurations that diffusers writes.

    Raises:
        WsdError: of the class ``failure``; its message names the file and the place.
        OSError: if the system does not let it be read, for another reason than that it is missing.
    """
    text = read_text(path, failure, hint, max_bytes)
    return parse_file(text, path, failure, hint, max_marks=max_marks, infinities=infinities)


def parse_file(
    text: str,
    path: Path,
    failure: type[WsdError],
    hint: str,
    *,
    max_marks: int = MAX_MARKS,
    infinities: bool = False,
) -> Any:
    """Return the value of a JSON text that was read from a file.

    Args:
        text: the file's content.
        path: of the file, for the error.
        failure: class of the error.
        hint: what to do about it.
        max_marks: how many commas and opening brackets it may have.
        infinities: whether ``Infinity`` and ``NaN`` are numbers, as Python writes them.

    Raises:
        WsdError: of the class ``failure``; its message names the file and the place.
    """
    try:
        return parse_json(text, max_marks=max_marks, infinities=infinities)
    except ValueError as error:
        raise failure(f"{path}: {error}", hint) from error


def parse_json(text: str, *, max_marks: int = MAX_MARKS, infinities: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        text: of any length.
        max_marks: how many commas and opening brackets it may have.
        infinities: whether numbers may be infinite.

    Raises:
        ValueError: saying what is wrong with it, and where.
    """
    if count_marks(text) > max_marks:
        raise ValueError(f"more than {max_marks} commas and brackets")
    with pause_collector():
        return _parse(text, infinities=infinities)


def _parse(text: str, *, infinities: bool) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_parse_int)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except RecursionError as error:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from error
    if not _is_good(value, infinities=infinities):
        for place, inner in _walk(value):
            fault = _fault(inner, place, infinities=infinities)
            if fault is not None:
                raise ValueError(f"{_describe(place)}: {fault}")
    return value


@contextmanager
def pause_collector() -> Iterator[None]:
    """Keep Python from looking for garbage while a large value is made.

    It would look after every few hundred new lists and tables, often through all that the process
    has, which takes longer than reading them. Values of JSON are in no cycles, so that there is
    nothing to find.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def count_marks(text: str) -> int:
    """Return how many commas and opening brackets a text has: no fewer than values, but for one."""
    return sum(map(text.count, ",[{"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {_shorten(key)} is there twice in one object")
            seen.add(key)
    return table


def _parse_int(digits: str) -> int:
    # Python refuses more than 4300 digits with an error of its own, and is slow with fewer.
    if len(digits) > len(str(MAX_INTEGER)):
        raise ValueError(f"number {_shorten(digits)} has too many digits")
    return int(digits)


def _is_good(value: Any, *, infinities: bool) -> bool:
    """Tell whether a value and all that is in it is good, in little time and memory."""
    waiting = [iter((value,))]
    while waiting:
        for inner in waiting[-1]:
            if isinstance(inner, dict | list):
                if len(waiting) > MAX_DEPTH:
                    return False
                if isinstance(inner, dict) and not all(map(_is_text, inner)):
                    return False
                waiting.append(iter(inner.values() if isinstance(inner, dict) else inner))
                break
            if isinstance(inner, str):
                if not _is_text(inner):
                    return False
            elif isinstance(inner, float) and not _is_number(inner, infinities=infinities):
                return False
        else:
            waiting.pop()
    return True


def _is_number(value: float, *, infinities: bool) -> bool:
    return math.isfinite(value) or (infinities and not math.isnan(value))


def _is_text(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: it has no half characters."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(value: Any) -> Iterator[tuple[_Path, Any]]:
    """Yield every value with its place, without recursion; keys of objects are values too."""
    waiting: list[tuple[_Path, Any]] = [((), value)]
    while waiting:
        place, inner = waiting.pop()
        yield place, inner
        if isinstance(inner, dict):
            for key, below in inner.items():
                waiting += [((*place, key), below), ((*place, key), key)]
        elif isinstance(inner, list):
            waiting += [((*place, index), below) for index, below in enumerate(inner)]


def _fault(value: Any, place: _Path, *, infinities: bool) -> str | None:
    """Return what is wrong with a value, not looking at what is in it; None if it is good."""
    if isinstance(value, dict | list) and len(place) >= MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, float) and not _is_number(value, infinities=infinities):
        return f"number {value} is not finite"
    if isinstance(value, str) and not _is_text(value):
        return f"text {_shorten(value)} has half of a character"
    return None


def _describe(place: _Path) -> str:
    return "/".join(_shorten(str(part)).strip("'") for part in place[:4]) or "top level"


def _shorten(text: str) -> str:
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return repr(cut.encode(errors="backslashreplace").decode())
