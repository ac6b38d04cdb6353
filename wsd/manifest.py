"""The manifest: write it, read it, and check a bundle against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from wsd.digest import canonical_json, sha256_file
from wsd.errors import BundleError

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"
INDEX_NAME = "index.json"
_SCHEMA = json.loads((Path(__file__).parent / "manifest.schema.json").read_text())


def write_manifest(manifest: dict[str, Any], folder: Path) -> Path:
    """Validate a manifest and write it as canonical JSON.

    Raises:
        BundleError: if it does not fit the schema.
    """
    _validate(manifest, folder / FILE_NAME)
    path = folder / FILE_NAME
    path.write_bytes(canonical_json(manifest))
    return path


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and validate a manifest.

    Raises:
        BundleError: if it is missing, not JSON, or does not fit the schema.
    """
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not a readable manifest ({error})", _REBUILD) from error
    _validate(manifest, path)
    return dict(manifest)


_REBUILD = "run wsd build again, or fetch the bundle anew"


def _validate(manifest: Any, path: Path) -> None:
    try:
        jsonschema.validate(manifest, _SCHEMA)
    except jsonschema.ValidationError as error:
        where = "/".join(map(str, error.absolute_path)) or "top level"
        raise BundleError(f"{path}: {where}: {error.message}", _REBUILD) from error


def find_manifests(bundle: Path) -> list[Path]:
    """Return the manifests of a bundle, one a model, sorted by model name.

    Raises:
        BundleError: if the folder is not a bundle.
    """
    found = sorted(bundle.glob(f"models/*/{FILE_NAME}"))
    if not found:
        raise BundleError(
            f"{bundle} holds no models/*/{FILE_NAME}", "pass the folder that wsd build --out wrote"
        )
    return found


def manifest_files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every file that a manifest names, as objects with file, bytes, sha256."""
    shards = [s for component in manifest["components"].values() for s in component["shards"]]
    return [manifest["library"], *manifest["tokenizers"].values(), *shards]


def verify_bundle(bundle: Path) -> Iterator[str]:
    """Yield one line a fault: missing, extra or altered files of every model.

    Raises:
        BundleError: if the folder is not a bundle or a manifest is malformed.
    """
    for path in find_manifests(bundle):
        entries = manifest_files(read_manifest(path))
        for entry in entries:
            yield from _verify_file(path.parent / entry["file"], entry)
        known = {FILE_NAME, *(entry["file"] for entry in entries)}
        for extra in sorted(p.name for p in path.parent.iterdir() if p.name not in known):
            yield f"{path.parent.name}/{extra}: not in the manifest"


def _verify_file(path: Path, entry: dict[str, Any]) -> Iterator[str]:
    label = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        yield f"{label}: missing"
        return
    if (size := path.stat().st_size) != entry["bytes"]:
        yield f"{label}: {size} bytes, expected {entry['bytes']}"
        return
    if (found := sha256_file(path)) != entry["sha256"]:
        yield f"{label}: sha256 mismatch (expected {entry['sha256'][:12]}…, got {found[:12]}…)"
