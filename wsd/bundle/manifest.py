"""The manifest: write it and read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from wsd.errors import BundleError, UsageError
from wsd.util.hashing import canonical_json

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
        raise BundleError(f"{path}: not a readable manifest ({error})", REBUILD) from error
    _validate(manifest, path)
    return dict(manifest)


REBUILD = "run wsd build again, or fetch the bundle anew"


def _validate(manifest: Any, path: Path) -> None:
    try:
        jsonschema.validate(manifest, _SCHEMA)
    except jsonschema.ValidationError as error:
        where = "/".join(map(str, error.absolute_path)) or "top level"
        raise BundleError(f"{path}: {where}: {error.message}", REBUILD) from error


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


def find_manifest(bundle: Path, model: str | None) -> Path:
    """Return the manifest of a bundle's model, by name or the first one.

    Raises:
        BundleError: if the folder is not a bundle.
        UsageError: if it holds no such model.
    """
    found = {path.parent.name: path for path in find_manifests(bundle)}
    if model is None:
        return next(iter(found.values()))
    if model not in found:
        raise UsageError(
            f"{bundle} was built for {', '.join(found)}, not for {model}",
            "name a model that it holds, and the checkpoint that it was built from",
        )
    return found[model]


def manifest_files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every file that a manifest names, as objects with file, bytes, sha256."""
    shards = [s for component in manifest["components"].values() for s in component["shards"]]
    optional = [manifest[name] for name in ("kernels", "self_test") if name in manifest]
    return [manifest["library"], *manifest["tokenizers"].values(), *optional, *shards]
