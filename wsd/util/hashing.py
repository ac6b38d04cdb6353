"""Digests and canonical JSON: one way to name bytes."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsd.util.file_errors import name_in_errors

_CHUNK = 1 << 20
# More would wait for the disk.
_MOST_THREADS = 8


def sha256_bytes(data: bytes | memoryview) -> str:
    """Return the lower-case hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the lower-case hexadecimal SHA-256 of a file, read in chunks.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file, name_in_errors(path):
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_once(path: Path) -> str:
    """Return :func:`sha256_file`; this process reads a file once, unless it has changed since."""
    found = path.stat()
    return _sha256_of_state(
        path.resolve(), (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    )


@functools.cache
def _sha256_of_state(path: Path, _state: tuple[int, ...]) -> str:
    return sha256_file(path)


@dataclass(frozen=True)
class Digests:
    """Digests of one file, in lower-case hexadecimal."""

    sha256: str
    sha384: str

    @property
    def integrity(self) -> str:
        """Return the sha384 as browsers take it in an ``integrity`` attribute."""
        return "sha384-" + base64.b64encode(bytes.fromhex(self.sha384)).decode()


def digest_bytes(data: bytes) -> Digests:
    """Return the digests of a file's bytes."""
    return Digests(hashlib.sha256(data).hexdigest(), hashlib.sha384(data).hexdigest())


def digest_file(path: Path) -> Digests:
    """Return the digests of a file, which is read once and in chunks.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be read.
    """
    short, long = hashlib.sha256(), hashlib.sha384()
    with path.open("rb") as file, name_in_errors(path):
        while chunk := file.read(_CHUNK):
            short.update(chunk)
            long.update(chunk)
    return Digests(short.hexdigest(), long.hexdigest())


def digest_files(paths: Sequence[Path]) -> list[Digests]:
    """Return the digests of files in their order, of which several are read at the same time.

    hashlib hashes a chunk without Python's lock, so threads use as many cores as there are.

    Args:
        paths: of the files.

    Raises:
        OSError: if one cannot be read.
    """
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(digest_file, paths))


def canonical_json(value: Any) -> bytes:
    """Return JSON with sorted keys, no spaces, UTF-8 and a final newline.

    Equal values give equal bytes, so a digest of the bytes names the value.
    NaN and infinities are refused with ``ValueError``: they are not JSON.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"
