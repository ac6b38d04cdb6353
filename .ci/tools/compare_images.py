"""Compare two images byte by byte: ``python -m tools.compare_images [--files] ARCHIVE ARCHIVE``.

An archive is an image in the OCI layout, as ``docker buildx build --output type=oci`` and
``podman save --format oci-archive`` write it. With ``--files`` only what a container would see is
compared: names, kinds, owners, modes and contents. Builders of different makes compress layers in
different ways, so that their digests differ although the files are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_BLOCK = 1 << 20
# Prefixes of names by which an upper layer removes a file, or what is in a folder.
_REMOVED = ".wh."
_EMPTIED = ".wh..wh..opq"


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        digest: of its manifest, such as sha256:…: two images with one digest are the same bytes.
        config: user, command, environment and so on, as JSON text without what names layers.
        files: path → description of each file and folder: kind, mode, owner, time and SHA-256.
    """

    digest: str
    config: str
    files: Mapping[str, Mapping[str, object]]


def read_image(archive: Path) -> Image:
    """Read an image.

    Raises:
        ValueError: if the archive holds another number of images than one.
        OSError: if it cannot be read.
    """
    with tarfile.open(archive) as layout:
        described = json.load(_member(layout, "index.json"))["manifests"]
        manifest = {}
        # An index may name another index: of one image for each platform.
        while "layers" not in manifest:
            if len(described) != 1:
                raise ValueError(f"{archive} holds {len(described)} images, not one")
            digest = str(described[0]["digest"])
            manifest = json.load(_blob(layout, digest))
            described = manifest.get("manifests", [])
        config = json.load(_blob(layout, manifest["config"]["digest"]))
        for name in ("rootfs", "history", "created"):
            config.pop(name, None)
        files: dict[str, Mapping[str, object]] = {}
        for layer in manifest["layers"]:
            _add_layer(files, _blob(layout, layer["digest"]))
    return Image(digest, json.dumps(config, sort_keys=True), files)


def _member(layout: tarfile.TarFile, name: str) -> IO[bytes]:
    found = layout.extractfile(name)
    if found is None:
        raise ValueError(f"{name} is not a file of the archive")
    return found


def _blob(layout: tarfile.TarFile, digest: str) -> IO[bytes]:
    return _member(layout, f"blobs/{digest.replace(':', '/')}")


def _add_layer(files: dict[str, Mapping[str, object]], layer: IO[bytes]) -> None:
    """Put a layer's files over those of the layers below it."""
    with _open_layer(layer) as archive:
        for entry in archive:
            path = entry.name.removeprefix("./").rstrip("/")
            folder, _, name = path.rpartition("/")
            if name.startswith(_REMOVED):
                gone = folder if name == _EMPTIED else f"{folder}/{name[len(_REMOVED) :]}"
                for other in [other for other in files if f"{other}/".startswith(f"{gone}/")]:
                    if other != folder:
                        del files[other]
            elif path:
                files[path] = _describe(archive, entry)


@contextmanager
def _open_layer(layer: IO[bytes]) -> Iterator[tarfile.TarFile]:
    with tarfile.open(fileobj=layer, mode="r:*") as archive:
        yield archive


def _describe(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> dict[str, object]:
    digest = hashlib.sha256()
    content = archive.extractfile(entry) if entry.isreg() else None
    while content and (block := content.read(_BLOCK)):
        digest.update(block)
    return {
        "kind": entry.type.decode(),
        "mode": oct(entry.mode),
        "owner": f"{entry.uid}:{entry.gid}",
        "link": entry.linkname,
        "bytes": entry.size,
        "sha256": digest.hexdigest() if content else "",
        "time": int(entry.mtime),
    }


def differences(first: Image, second: Image, *, files_only: bool) -> Iterator[str]:
    """Yield one line for everything in which two images differ.

    Args:
        first: an image.
        second: another.
        files_only: whether times, settings and the layers themselves are left out.
    """
    for path in sorted(first.files.keys() | second.files.keys()):
        one, other = first.files.get(path), second.files.get(path)
        if one is None or other is None:
            yield f"/{path}: only in the {'second' if one is None else 'first'} image"
            continue
        for name in one:
            if one[name] != other[name] and not (files_only and name == "time"):
                yield f"/{path}: {name} {one[name]} in one, {other[name]} in the other"
    if files_only:
        return
    if first.config != second.config:
        yield f"settings: {first.config} in one, {second.config} in the other"
    if first.digest != second.digest:
        yield f"digest: {first.digest} in one, {second.digest} in the other"


def main(words: list[str]) -> int:
    """Print what differs; returns 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", action="store_true")
    parser.add_argument("archives", nargs=2, type=Path)
    asked = parser.parse_args(words)
    first, second = map(read_image, asked.archives)
    found = list(differences(first, second, files_only=asked.files))
    same = f"the files of {first.digest} and {second.digest} are identical"
    if first.digest == second.digest:
        same = f"the images are identical: {first.digest}, {len(first.files)} files and folders"
    print("\n".join(found) or same)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
