"""Prepare a bundle for nginx: compressed twins, and times that follow from the content.

``python -m wsd.runtime.precompress FOLDER`` runs where the serving image is made; bundles are
shipped without the twins.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import brotli

from wsd.bundle.attestations import list_files
from wsd.util.hashing import sha256_file

# Endings of the files that are compressed. Shards are not: compression hardly shortens them.
_SHRINK = {".css", ".html", ".js", ".json", ".txt", ".wasm"}


def precompress(folder: Path) -> None:
    """Write ``.br`` and ``.gz`` beside each file that shrinks, and set every file's time.

    nginx makes entity tags of a file's time and length. Images are built with one time
    for all files, so that two versions of a page of equal length would go by one tag:
    the time is taken from the digest instead.

    Args:
        folder: a bundle's folder.

    Raises:
        OSError: if a file cannot be read or written.
    """
    for path in [folder / name for name in list_files(folder)]:
        written = [path]
        if path.suffix in _SHRINK:
            data = path.read_bytes()
            for ending, twin in (
                (".br", brotli.compress(data, quality=11)),
                (".gz", gzip.compress(data, 9, mtime=0)),
            ):
                if len(twin) < len(data):
                    written.append(path.with_name(path.name + ending))
                    written[-1].write_bytes(twin)
        seconds = int(sha256_file(path)[:7], 16)
        for file in written:
            os.utime(file, (seconds, seconds))


if __name__ == "__main__":
    precompress(Path(sys.argv[1]))
