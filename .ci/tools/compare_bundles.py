"""Compare two builds byte by byte: ``python -m tools.compare_bundles FOLDER FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsd.bundle.attestations import list_files
from wsd.util.hashing import sha256_file

_SHOWN = 16


def differences(first: Path, second: Path) -> Iterator[str]:
    """Yield one line a file that only one build has, or that differs, and where."""
    names = set(list_files(first)), set(list_files(second))
    for name in sorted(names[0] | names[1]):
        if name not in names[1]:
            yield f"{name}: only in {first}"
        elif name not in names[0]:
            yield f"{name}: only in {second}"
        elif sha256_file(first / name) != sha256_file(second / name):
            yield f"{name}: {_difference(first / name, second / name)}"


def _difference(first: Path, second: Path) -> str:
    """Return how many bytes differ, and the first ones that do."""
    bytes_of = [np.fromfile(path, np.uint8) for path in (first, second)]
    shared = min(map(len, bytes_of))
    differing = np.flatnonzero(bytes_of[0][:shared] != bytes_of[1][:shared])
    at = int(differing[0]) if len(differing) else shared
    shown = [bytes(data[at : at + _SHOWN]).hex(" ") or "nothing" for data in bytes_of]
    lengths = " and ".join(str(len(data)) for data in bytes_of)
    return (
        f"{len(differing)} of {lengths} bytes differ, from byte {at}: "
        f"{shown[0]} in one, {shown[1]} in the other"
    )


def main(folders: list[str]) -> int:
    """Print what differs; returns 1 if anything does."""
    found = list(differences(*map(Path, folders)))
    print("\n".join(found) if found else "the builds are identical")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
