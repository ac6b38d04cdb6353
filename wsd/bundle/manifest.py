"""Find, read and write the manifests of a bundle and its list of models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from wsd.bundle.manifest_v1 import upgrade_manifest
from wsd.errors import BundleError, UsageError
from wsd.spec.manifest import SCHEMA_VERSION, IndexEntry, Manifest
from wsd.util.hashing import canonical_json, digest_file
from wsd.util.json_reader import parse_file, read_text
from wsd.util.typed_json import read_typed, validate_text

FILE_NAME = "manifest.json"
INDEX_NAME = "index.json"
REBUILD = "run wsd build again, or fetch the bundle anew"
_INDEX = TypeAdapter(tuple[IndexEntry, ...])
_MANIFEST = TypeAdapter(Manifest)
# A list of models has some hundreds of bytes for each.
_INDEX_BYTES = 1 << 20
_UPDATE = "the bundle is of a newer WSD: update this one, or build the bundle again with it"


def write_manifest(manifest: Manifest, folder: Path) -> Path:
    """Write a manifest to a folder as canonical JSON, and return its path.

    Args:
        manifest: what is written.
        folder: a model's folder in a bundle; it gets ``manifest.json``.
    """
    path = folder / FILE_NAME
    path.write_bytes(canonical_json(manifest.model_dump(mode="json")))
    return path


def read_manifest(path: Path) -> Manifest:
    """Read and validate a manifest; one of version 1 is upgraded.

    Args:
        path: of a ``manifest.json``.

    Raises:
        BundleError: if it is missing, not JSON, of a newer version, or does not fit the
            schema; the message names the place.
    """
    text = read_text(path, BundleError, REBUILD)
    table = parse_file(text, path, BundleError, REBUILD)
    version = table.get("schema_version") if isinstance(table, dict) else None
    try:
        if version == 1:
            text = json.dumps(upgrade_manifest(table))
        elif type(version) is int and version > SCHEMA_VERSION:
            raise BundleError(
                f"{path}: schema_version is {version}, the newest known is {SCHEMA_VERSION}",
                _UPDATE,
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: not a manifest of version 1 ({error!r})", REBUILD) from error
    return validate_text(text, path, _MANIFEST, BundleError, REBUILD)


def find_manifests(bundle: Path) -> list[Path]:
    """Return the manifests of a bundle, one for each model, sorted by model name.

    Raises:
        BundleError: if the folder is not a bundle.
    """
    found = sorted(bundle.glob(f"models/*/{FILE_NAME}"))
    if not found:
        raise BundleError(
            f"{bundle} holds no models/*/{FILE_NAME}", "pass the folder that wsd build --out wrote"
        )
    return found


def list_models(bundle: Path) -> list[tuple[str, Manifest]]:
    """Return the path of each model's folder in a bundle, and its manifest, sorted by folder.

    Raises:
        BundleError: if the folder is not a bundle, or a manifest is malformed.
    """
    return [
        (path.parent.relative_to(bundle).as_posix(), read_manifest(path))
        for path in find_manifests(bundle)
    ]


def find_manifest(bundle: Path, model: str | None) -> Path:
    """Return the manifest of a bundle's model.

    Args:
        bundle: a folder that ``wsd build`` or ``wsd join`` wrote.
        model: folder of the model; None for the first.

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


def write_index(entries: Sequence[IndexEntry], bundle: Path) -> None:
    """Write ``models/index.json``, the list of a bundle's models.

    Args:
        entries: the models in their order; each gets the digest of its manifest, which is there.
        bundle: the bundle's folder.
    """
    models = bundle / "models"
    digests = [digest_file(models / entry.manifest / FILE_NAME) for entry in entries]
    listed = tuple(
        entry.model_copy(update={"integrity": digest.integrity})
        for entry, digest in zip(entries, digests, strict=True)
    )
    (models / INDEX_NAME).write_bytes(canonical_json(_INDEX.dump_python(listed, mode="json")))


def read_index(bundle: Path) -> tuple[IndexEntry, ...]:
    """Read ``models/index.json``.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if it is missing or malformed.
    """
    return read_typed(
        bundle / "models" / INDEX_NAME, _INDEX, BundleError, REBUILD, max_bytes=_INDEX_BYTES
    )
