"""The key of a cached result, which can say in what it differs from the key of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsd.errors import FileError
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes
from wsd.util.json_reader import read_json

_FILE = "key.json"


@dataclass(frozen=True)
class CacheKey:
    """Everything that a cached result depends on.

    Attributes:
        ingredients: name → what JSON can hold, with mappings for what has names of its own,
            such as the digests of source files.
    """

    ingredients: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Return the digest that names the result in its cache, in hexadecimal."""
        return sha256_bytes(canonical_json(self.ingredients))

    def differences(self, other: CacheKey) -> list[str]:
        """Return the names of the ingredients that differ, such as ``toolchain.tvm``, sorted."""
        return sorted(_differences(self.ingredients, other.ingredients))


def _read_keys(cache: Path) -> Iterator[CacheKey]:
    """Yield the keys of a cache that can be read, the newest first."""
    files = sorted(cache.glob(f"*/{_FILE}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in files:
        # A damaged key is skipped: it cannot explain a miss, and a build need not fail for it.
        with suppress(OSError, FileError):
            ingredients = read_json(path, FileError, "remove it")
            if isinstance(ingredients, dict):
                yield CacheKey(ingredients)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for name in one.keys() | other.keys():
        left, right = one.get(name), other.get(name)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from (f"{name}.{inner}" for inner in _differences(left, right))
        elif canonical_json(left) != canonical_json(right):
            yield name


def write_key(key: CacheKey, folder: Path) -> None:
    """Write a key beside the cached result, so that a later miss can be explained.

    Args:
        key: what the result was made of.
        folder: the result's folder.

    Raises:
        OSError: if it cannot be written.
    """
    write_atomically(folder / _FILE, canonical_json(key.ingredients))


def explain_miss(key: CacheKey, cache: Path) -> str:
    """Say why no folder of a cache has a key.

    Args:
        key: the key that was looked for.
        cache: folder of the cached results, each a folder that :func:`write_key` was called for.

    Returns:
        in which ingredients the key differs from the nearest one: that with the fewest
        differences, the newest of those. A line without a period.
    """
    found = [key.differences(other) for other in _read_keys(cache)]
    if not found:
        return "nothing is cached yet"
    fewest = min(found, key=lambda names: len(names))  # noqa: PLW0108 - mypy does not infer len
    if not fewest:
        return "what is cached is damaged"
    return f"changed since the nearest cached one: {', '.join(fewest)}"
