"""Where a bundle comes from: SLSA provenance in an in-toto statement, not signed.

https://slsa.dev/spec/v1.0/provenance and https://in-toto.io/Statement/v1. It says what
was built from what, and leaves out when and where, so that equal builds have equal ones.
docs/appliance.md shows how to sign it.
"""

from __future__ import annotations

from typing import Any

from wsd import __version__
from wsd.supply_chain.materials import Contents, Material

FILE_NAME = "provenance.json"
BUILD_TYPE = "urn:wsd:build:1"
BUILDER = "urn:wsd:builder"


def provenance(contents: Contents) -> dict[str, Any]:
    """Return the statement about every file of a bundle."""
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


def _model(manifest: dict[str, Any]) -> dict[str, Any]:
    model = manifest["model"]
    sizes = {tuple(entry["size"]) for entry in manifest["entry_points"] if entry["size"]}
    return {
        "name": model["name"],
        "dtype": model["dtype"],
        "source": model["source"],
        "sizes": [f"{width}x{height}" for width, height in sorted(sizes)],
        "toolchain": manifest["toolchain"],
    }


def _dependency(material: Material) -> dict[str, Any]:
    # in-toto's names: sha512, and gitCommit or gitTree for git's own SHA-1.
    is_commit = material.purl.startswith("pkg:github/")
    names = {"SHA-1": "gitCommit" if is_commit else "gitTree"}
    digest = {names.get(a, a.replace("-", "").lower()): c for a, c in material.hashes}
    return {"uri": material.purl, **({"digest": digest} if digest else {})}
