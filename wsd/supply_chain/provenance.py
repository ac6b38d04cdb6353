"""Provenance of a bundle: SLSA provenance in an in-toto statement, not signed.

https://slsa.dev/spec/v1.0/provenance and https://in-toto.io/Statement/v1. The statement says what
was built from what. It names neither time nor machine, so that equal builds have equal provenance.
docs/appliance.md shows how to sign it.
"""

from __future__ import annotations

from typing import Any

from wsd import __version__
from wsd.spec.manifest import Manifest
from wsd.supply_chain.materials import BundleContents, Material

FILE_NAME = "provenance.json"
BUILD_TYPE = "urn:wsd:build:1"
BUILDER = "urn:wsd:builder"


def build_provenance(contents: BundleContents) -> dict[str, Any]:
    """Return the in-toto statement about every file of a bundle."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": path, "digest": {"sha256": digests.sha256}}
            for path, digests in sorted(contents.files.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"models": [_model(m) for m in contents.manifests]},
                "internalParameters": {},
                "resolvedDependencies": [_dependency(m) for m in contents.materials],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"wsd": __version__}},
                "metadata": {},
            },
        },
    }


def _model(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.model.name,
        "dtype": manifest.model.dtype,
        "source": manifest.model.source,
        **({"options": dict(manifest.model.options)} if manifest.model.options else {}),
        "sizes": [f"{width}x{height}" for width, height in manifest.sizes()],
        "toolchain": dict(manifest.toolchain),
    }


def _dependency(material: Material) -> dict[str, Any]:
    # in-toto calls the algorithms sha512 and so on, and git's own SHA-1 gitCommit or gitTree.
    is_commit = material.purl.startswith("pkg:github/")
    names = {"SHA-1": "gitCommit" if is_commit else "gitTree"}
    digest = {names.get(a, a.replace("-", "").lower()): c for a, c in material.hashes}
    return {"uri": material.purl, **({"digest": digest} if digest else {})}
