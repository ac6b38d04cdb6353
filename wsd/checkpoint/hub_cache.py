"""Find files of the hub's cache that are not what their names say.

huggingface_hub keeps each file under the digest that the hub gave for it, and a snapshot has a link
to it: large files under their SHA-256, others under git's SHA-1 of a blob. It compares them when
they arrive and never again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from wsd.util.hashing import sha256_once

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1 = re.compile(r"[0-9a-f]{40}")


def find_damaged(paths: Iterable[Path]) -> list[Path]:
    """Return those of a snapshot's files whose bytes have another digest than their name.

    Args:
        paths: of files in a snapshot; those that are no links of the hub's cache are taken as good,
            because nobody knows what they were.
    """
    return [path for path in paths if not _is_good(path)]


def _is_good(path: Path) -> bool:
    blob = path.resolve()
    if blob.parent.name != "blobs" or not path.is_symlink():
        return True
    try:
        if _SHA256.fullmatch(blob.name):
            return sha256_once(blob) == blob.name
        if _GIT_SHA1.fullmatch(blob.name):
            return _git_sha1(blob.read_bytes()) == blob.name
    except OSError:
        return False
    return True


def _git_sha1(data: bytes) -> str:
    """Return git's name of a file with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
