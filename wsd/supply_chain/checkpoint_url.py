"""Addresses of checkpoints, by which SBOM and provenance name them."""

from __future__ import annotations

import re
from urllib.parse import quote

from packageurl import PackageURL

# What a build records of a checkpoint of the hub: repository, maybe a file in it, and the commit.
_HUB = re.compile(r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(/(?P<file>.+))?@(?P<commit>[0-9a-f]{40})")


def checkpoint_url(source: str) -> str:
    """Return the address of a checkpoint.

    Args:
        source: what the manifest says: hub id and commit, or the name of a file or folder.

    Returns:
        a package URL of the hub, or a URN that holds the name, percent-encoded as addresses ask.
    """
    found = _HUB.fullmatch(source)
    if found is None:
        return f"urn:wsd:checkpoint:{quote(source, safe='/@')}"
    return str(
        PackageURL(
            "huggingface", found["owner"], found["name"], found["commit"], subpath=found["file"]
        )
    )
