"""What a bundle holds: the files of its page, models, notices and attestations, and nothing else.

Writing a bundle's attestations (:mod:`wsd.bundle.attestations`) and verifying it
(:mod:`wsd.bundle.verify`) find faults with the same functions, so that every bundle that WSD writes
passes, and no other does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from wsd.bundle.manifest import FILE_NAME as MANIFEST
from wsd.bundle.manifest import INDEX_NAME, find_manifests, read_index, read_manifest
from wsd.bundle.model_files import (
    check_example_picture,
    read_kernel_work,
    read_self_test,
    read_tokenizer,
)
from wsd.bundle.page_chain import SERVICE_WORKER, find_chain_faults
from wsd.bundle.tree import list_files
from wsd.errors import BundleError, WsdError
from wsd.spec.manifest import FileEntry, IndexEntry, Manifest
from wsd.spec.paths import check_path
from wsd.supply_chain import notices, provenance, sbom
from wsd.util.hashing import Digests, digest_files
from wsd.util.json_reader import read_text

SRI = "SRI.json"
# Files that say what the other files of the bundle are.
ATTESTATIONS = (sbom.FILE_NAME, provenance.FILE_NAME, SRI)
INDEX = f"models/{INDEX_NAME}"
PAGE = "index.html"
# Files of the page, and folders of more of them.
_PAGE_FILES = (PAGE, "selftest.html", "client.js", SERVICE_WORKER)
_PAGE_FOLDERS = ("assets/", "driver/")
_HINT = "run wsd build again, or fetch the bundle anew"
# An entry of the service worker's list: the path and the digest of a file that it stores.
_KEPT = re.compile(
    r'url:\s*"(?P<path>[^"]+)",\s*(?:revision:[^,]*,\s*)?integrity:\s*"(?P<integrity>[^"]+)"'
)
# Files of the page in its list; other files in that folder are licences.
_LOADED = re.compile(r"assets/[^/]+\.(js|css)")
_ICON = re.compile(r"data:(image/svg\+xml)?,")
# Elements and attributes by which a page would load something that no digest covers, or lead
# elsewhere. Scripts, links and anchors are looked at one by one.
_FORBIDDEN = ("base", "embed", "frame", "iframe", "object", "style")
_LOADING = (
    "action", "background", "data", "formaction", "href", "imagesrcset", "manifest", "ping",
    "poster", "src", "srcdoc", "srcset", "xlink:href",
)  # fmt: skip
# An address within the site.
_LOCAL = re.compile(r"(\./)?([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?(#.*)?")
_LOOKED_AT = {"script": {"src"}, "link": {"href"}, "a": {"href"}}


def is_page_file(path: str) -> bool:
    """Tell whether a path is that of a file of the page, which is the same for every model."""
    return path in _PAGE_FILES or path.startswith(_PAGE_FOLDERS)


def is_notice(path: str) -> bool:
    """Tell whether a path is that of a file with notices or licences."""
    return path == notices.FILE_NAME or path.startswith(f"{notices.FOLDER}/")


@dataclass(frozen=True)
class Snapshot:
    """A bundle as it was read, once.

    Attributes:
        folder: where it is.
        files: path → digests of every file, attestations left out.
        sizes: path → bytes of the same files.
        index: its list of models.
        manifests: path of a model's folder, such as ``models/sd15`` → its manifest, sorted.
    """

    folder: Path
    files: Mapping[str, Digests]
    sizes: Mapping[str, int]
    index: tuple[IndexEntry, ...]
    manifests: Mapping[str, Manifest]

    def entries(self) -> list[tuple[str, FileEntry]]:
        """Return path and entry of each file that a manifest names."""
        return [
            (f"{folder}/{entry.file}", entry)
            for folder, manifest in self.manifests.items()
            for entry in manifest.files()
        ]


def read_snapshot(bundle: Path) -> Snapshot:
    """Read a bundle's manifests and list of models, and digest its files.

    Raises:
        BundleError: if the folder is not a bundle, holds anything but plain files and folders, or
            a manifest or the list is missing or malformed.
    """
    models = list_models(bundle)
    files = [name for name in list_files(bundle) if name not in ATTESTATIONS]
    return Snapshot(
        folder=bundle,
        files=dict(zip(files, digest_files([bundle / name for name in files]), strict=True)),
        sizes={name: (bundle / name).stat().st_size for name in files},
        index=read_index(bundle),
        manifests=dict(models),
    )


def list_models(bundle: Path) -> list[tuple[str, Manifest]]:
    """Return the path of each model's folder in a bundle, and its manifest, sorted by folder.

    Raises:
        BundleError: if the folder is not a bundle, or a manifest is malformed.
    """
    return [
        (path.parent.relative_to(bundle).as_posix(), read_manifest(path))
        for path in find_manifests(bundle)
    ]


def check_layout(snapshot: Snapshot) -> None:
    """Refuse a bundle that lacks a file, or has one that does not belong there.

    Raises:
        BundleError: for the first fault of :func:`find_faults`.
    """
    for name, fault in find_faults(snapshot):
        raise BundleError(f"{snapshot.folder}: {name}: {fault}", _HINT)


def find_faults(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield path and fault of what is wrong with a bundle's files, attestations left out."""
    yield from find_file_faults(snapshot)
    for folder, manifest in snapshot.manifests.items():
        for fault in manifest.find_inconsistencies():
            yield f"{folder}/{MANIFEST}", fault
        yield from _find_content_faults(snapshot, folder, manifest)
    yield from _find_index_faults(snapshot)
    yield from find_chain_faults(snapshot.folder)
    yield from _find_unnamed_files(snapshot)
    for name in sorted(snapshot.files):
        if name.endswith(".html") and "/" not in name:
            yield from ((name, fault) for fault in _find_page_faults(snapshot, name))
    yield from _find_kept_faults(snapshot)


def find_file_faults(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield path and fault of files that are not what the manifests say about them."""
    if PAGE not in snapshot.files:
        yield PAGE, "missing"
    for name, entry in snapshot.entries():
        if name not in snapshot.files:
            yield name, "missing"
        elif snapshot.sizes[name] != entry.bytes:
            yield name, f"{snapshot.sizes[name]} bytes, expected {entry.bytes}"
        elif (found := snapshot.files[name].sha256) != entry.sha256:
            yield name, mismatch("sha256", entry.sha256, found)


def _find_content_faults(
    snapshot: Snapshot, place: str, manifest: Manifest
) -> Iterator[tuple[str, str]]:
    """Read the JSON files of a model as the page does, and its pictures, each by its type."""
    readers: list[tuple[str, Callable[[Path], object]]] = [
        *((entry.file, read_tokenizer) for entry in manifest.tokenizers.values()),
        *((entry.file, read_kernel_work) for entry in [manifest.kernels] if entry is not None),
        *((entry.file, read_self_test) for entry in [manifest.self_test] if entry is not None),
        *((entry.file, check_example_picture) for entry in manifest.example_pictures),
    ]
    for file, read in dict(readers).items():
        name = f"{place}/{file}"
        if name in snapshot.files:
            path = snapshot.folder / name
            try:
                read(path)
            except WsdError as error:
                yield name, error.message.removeprefix(f"{path}: ")


def _find_index_faults(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Compare the list of models with their manifests."""
    listed = {f"models/{entry.manifest[:-1]}": entry for entry in snapshot.index}
    names = {(entry.name, entry.dtype) for entry in snapshot.index}
    if len(listed) < len(snapshot.index) or len(names) < len(snapshot.index):
        yield INDEX, "a model is listed twice"
    for folder in sorted(snapshot.manifests.keys() - listed.keys()):
        yield f"{folder}/{MANIFEST}", f"{INDEX} does not list it"
    for folder, entry in sorted(listed.items()):
        manifest = snapshot.manifests.get(folder)
        if manifest is None:
            yield f"{folder}/{MANIFEST}", "missing"
            continue
        for key in ("name", "title", "dtype"):
            said, found = getattr(entry, key), getattr(manifest.model, key)
            if said != found:
                yield INDEX, f"{key} of {folder} is {said!r}, but its manifest has {found!r}"


def _find_unnamed_files(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the files that are neither named by the list or a manifest, nor of the page."""
    known = {INDEX, *(name for name, _ in snapshot.entries())}
    known |= {f"{folder}/{MANIFEST}" for folder in snapshot.manifests}
    for name in snapshot.files:
        if not (name in known or is_page_file(name) or is_notice(name)):
            yield name, "does not belong to a bundle"


def _find_page_faults(snapshot: Snapshot, name: str) -> Iterator[str]:
    """Yield the faults of what a page loads: files without a digest, altered or missing ones."""
    parser = _PageParser()
    parser.feed(read_text(snapshot.folder / name, BundleError, _HINT))
    parser.close()
    yield from parser.faults
    if not parser.loaded:
        yield "loads no script"
    for address, integrity in parser.loaded:
        try:
            found = snapshot.files.get(check_path(address))
        except ValueError as error:
            yield f"loads what is not in the bundle: {error}"
            continue
        if found is None:
            yield f"loads {address}, which is missing"
        elif integrity != found.integrity:
            yield f"{address}: " + (
                mismatch("integrity", integrity, found.integrity)
                if integrity
                else "loaded without integrity"
            )


def _find_kept_faults(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Compare the page's files with the list of the service worker, which names all of them."""
    if SERVICE_WORKER not in snapshot.files:
        return
    text = read_text(snapshot.folder / SERVICE_WORKER, BundleError, _HINT)
    kept = {found["path"]: found["integrity"] for found in _KEPT.finditer(text)}
    for path, integrity in kept.items():
        if path not in snapshot.files:
            yield path, "missing"
        elif snapshot.files[path].integrity != integrity:
            yield SERVICE_WORKER, f"has a digest of {path} that differs from the file's"
    for path in snapshot.files:
        if kept and path not in kept and _LOADED.fullmatch(path):
            yield path, "does not belong to the page"


def find_gaps(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield path and fault of what is missing, and may be missing only from earlier versions."""
    for name in _PAGE_FILES:
        if name not in snapshot.files:
            yield name, "missing"
    for entry in snapshot.index:
        if entry.integrity is None:
            yield INDEX, f"the integrity of {entry.manifest}{MANIFEST} is missing"


class _PageParser(HTMLParser):
    """Collects the scripts and styles that a page loads.

    Attributes:
        loaded: address and integrity of each; empty where there is none.
        faults: what a page of WSD never contains.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the address and the integrity of what an element loads."""
        if tag in _FORBIDDEN:
            self.faults.append(f"has an element <{tag}>")
            return
        # Of an attribute that is there twice, browsers take the first.
        found = {key: value or "" for key, value in reversed(attrs)}
        for key in sorted(found.keys() & set(_LOADING) - _LOOKED_AT.get(tag, set())):
            # A part of the same page, as in SVG.
            if not found[key].startswith("#"):
                self.faults.append(f"an element <{tag}> loads something by {key}")
        if tag == "a" and not _LOCAL.fullmatch(found.get("href", "")):
            self.faults.append("leads to another site")
        if tag == "meta" and found.get("http-equiv", "").strip().lower() == "refresh":
            self.faults.append("leads to another page by itself")
        if any(key.startswith("on") for key in found):
            self.faults.append(f"an element <{tag}> has an inline script")
        if tag == "script" and "src" not in found:
            self.faults.append("has an inline script")
        if tag == "script" and "src" in found:
            self.loaded.append((found["src"], found.get("integrity", "")))
        # A page's icon is in its address, so that browsers ask for none; an older page's is empty.
        icon = found.get("rel") == "icon" and _ICON.match(found.get("href", ""))
        if tag == "link" and not icon:
            self.loaded.append((found.get("href", ""), found.get("integrity", "")))

    def handle_comment(self, data: str) -> None:  # noqa: ARG002 - the parser's interface
        """Refuse comments: where one ends, browsers and Python do not always agree."""
        self.faults.append("has a comment")

    def handle_pi(self, data: str) -> None:
        """Refuse processing instructions, which browsers read as comments."""
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        """Refuse sections such as CDATA, which browsers read as comments."""
        self.handle_comment(data)


def mismatch(kind: str, expected: str, found: str) -> str:
    """Return the fault of a file whose digest is not the expected one."""
    return f"{kind} mismatch (expected {expected[:20]}…, got {found[:20]}…)"
