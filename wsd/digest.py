"""Digests and canonical JSON: one way to name bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Return the lower-case hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the lower-case hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return JSON with sorted keys, no spaces, UTF-8 and a final newline.

    Equal values give equal bytes, so a digest of the bytes names the value.
    NaN and infinities are refused with ``ValueError``: they are not JSON.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def digest_tree(paths: Iterable[Path], root: Path) -> str:
    """Return one SHA-256 over the names (relative to ``root``) and contents of files."""
    table = {path.relative_to(root).as_posix(): sha256_file(path) for path in paths}
    return sha256_bytes(canonical_json(table))
