"""The chain of digests: the page has that of the list of models, which has those of the manifests.

A manifest has the digest of every file of its model, and the page has the digests of its scripts
and styles in their ``integrity`` attributes. So a visitor with the right page draws with the right
model or not at all: the browser compares every file with this chain, whether a server or its own
cache gave it (``web/src/bundle/bundle_files.ts``).

``index.html`` and ``selftest.html`` hold the digest of ``models/index.json`` in an element ``<meta
name="models-integrity">``, which is empty until the list is written. The service worker stores
these pages and holds their digests, so it changes with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from wsd.bundle.manifest import FILE_NAME, INDEX_NAME, REBUILD, read_index
from wsd.errors import BundleError
from wsd.util.hashing import digest_bytes, digest_file
from wsd.util.json_reader import read_text

PAGES = ("index.html", "selftest.html")
SERVICE_WORKER = "sw.js"
INDEX = f"models/{INDEX_NAME}"
_META = re.compile(r'(?<=<meta name="models-integrity" content=")[^"]*(?=")')


def link_page(bundle: Path) -> None:
    """Write the digest of a bundle's list of models into its pages.

    Call it after ``models/index.json`` was written. Pages of versions without a chain are not
    changed.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if the service worker does not have the digest of one of the pages.
    """
    texts = _read_page(bundle)
    integrity = digest_file(bundle / INDEX).integrity
    for name, text in _set_integrity(texts, integrity).items():
        if text != texts[name]:
            (bundle / name).write_bytes(text.encode())


def unlinked_page(bundle: Path) -> dict[str, bytes]:
    """Return the files that :func:`link_page` changes as they were before: path → content.

    They are the same in all bundles of one version of WSD.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if the service worker does not have the digest of one of the pages.
    """
    return {name: text.encode() for name, text in _set_integrity(_read_page(bundle), "").items()}


def find_chain_faults(bundle: Path) -> Iterator[tuple[str, str]]:
    """Yield path and fault of each broken link of the chain.

    A bundle of a version without a chain has no digests there, which is no fault.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if the list of models or a page cannot be read.
    """
    entries = read_index(bundle)
    texts = _read_page(bundle)
    found = {name: _META.search(text) for name, text in texts.items() if name in PAGES}
    if not any(found.values()) and all(entry.integrity is None for entry in entries):
        return
    for entry in entries:
        manifest = bundle / "models" / entry.manifest / FILE_NAME
        if manifest.is_file() and entry.integrity != digest_file(manifest).integrity:
            yield INDEX, f"integrity of {entry.manifest}{FILE_NAME} is missing or wrong"
    expected = digest_file(bundle / INDEX).integrity
    for name, integrity in found.items():
        if integrity is None or integrity[0] != expected:
            yield name, f"integrity of {INDEX} is missing or wrong"
        if _integrity_of(texts[name]) not in texts.get(SERVICE_WORKER, ""):
            yield SERVICE_WORKER, f"has a digest of {name} that differs from the file's"


def _read_page(bundle: Path) -> dict[str, str]:
    """Return path → text of the pages and the service worker, as far as the bundle has them."""
    return {
        name: read_text(bundle / name, BundleError, REBUILD)
        for name in (*PAGES, SERVICE_WORKER)
        if (bundle / name).is_file()
    }


def _set_integrity(texts: Mapping[str, str], integrity: str) -> dict[str, str]:
    """Return the texts with this digest of the list of models in them."""
    changed = dict(texts)
    for name in PAGES:
        if name not in texts or _META.search(texts[name]) is None:
            continue
        changed[name] = _META.sub(integrity, texts[name])
        former = _integrity_of(texts[name])
        if former not in changed.get(SERVICE_WORKER, ""):
            raise BundleError(
                f"{SERVICE_WORKER} has a digest of {name} that differs from the file's", REBUILD
            )
        current = _integrity_of(changed[name])
        changed[SERVICE_WORKER] = changed[SERVICE_WORKER].replace(former, current)
    return changed


def _integrity_of(text: str) -> str:
    return digest_bytes(text.encode()).integrity
