"""What a bundle holds: the files of its page, models, notices and attestations, and nothing else.

Writing a bundle's attestations (:mod:`wsd.bundle.attestations`) and verifying it
(:mod:`wsd.bundle.verify`) find faults with the same functions, so that every bundle that WSD writes
passes, and no other does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from wsd.bundle.classic import CONFIG, SCRIPTS, Content, Link, find_digest, plan_classic
from wsd.bundle.kernel_choices import check_choices
from wsd.bundle.manifest import FILE_NAME as MANIFEST
from wsd.bundle.manifest import INDEX_NAME, list_models, read_index
from wsd.bundle.model_files import (
    check_example_lora,
    check_example_picture,
    check_scheduler_constants,
    read_kernel_work,
    read_self_test,
    read_tokenizer,
)
from wsd.bundle.page_chain import PAGES, SERVICE_WORKER, find_chain_faults
from wsd.bundle.page_markup import MAX_BYTES as PAGE_BYTES
from wsd.bundle.page_markup import Page, read_page
from wsd.bundle.tree import list_files
from wsd.errors import BundleError, UsageError, WsdError
from wsd.spec.manifest import FileEntry, IndexEntry, Manifest
from wsd.spec.page_policy import page_policy
from wsd.spec.paths import check_path
from wsd.supply_chain import notices, provenance, sbom
from wsd.util.hashing import Digests, digest_files
from wsd.util.json_reader import read_text

SRI = "SRI.json"
# Files that say what the other files of the bundle are.
ATTESTATIONS = (sbom.FILE_NAME, provenance.FILE_NAME, SRI)
INDEX = f"models/{INDEX_NAME}"
PAGE = "index.html"
# Files of the page that have these names in every bundle.
_PAGE_FILES = (*PAGES, "client.js", SERVICE_WORKER)
# What pages on tvmjs alone use; bundles of earlier versions have none.
_SCRIPTS = frozenset(SCRIPTS.values())
# Files of the page whose names carry a digest, and the name by which programs know the driver.
_BUILT = re.compile(
    r"(assets/[a-z]+\.[0-9A-Z]{8}\.(js|css)|driver/(client|[a-z]+\.[0-9A-Z]{8})\.js)"
    r"(?P<license>\.LEGAL\.txt)?"
)
# Files that give a name that stays to one whose name carries a digest.
_NAMING = {"client.js": "./assets/client.", "driver/client.js": "./client."}
_NAMED = re.compile(r'export \* from "(?P<path>[^"]+)";\n')
# Of a file that no manifest names: scripts, licences and attestations have some megabytes at most.
_MOST_BYTES = 64 << 20
# Fault of a file that should be there.
MISSING = "missing"
_HINT = "run wsd build again, or fetch the bundle anew"
# An entry of the service worker's list: the path and the digest of a file that it stores.
_KEPT = re.compile(
    r'url:\s*"(?P<path>[^"]+)",\s*(?:revision:[^,]*,\s*)?integrity:\s*"(?P<integrity>[^"]+)"'
)
# What a script names: what it imports, and workers that it starts; and what it imports at once.
_MENTIONED = re.compile(r'"\./([A-Za-z0-9._/-]+)"')
_IMPORTED = re.compile(r'(?:from|import)\s*"\./([A-Za-z0-9._/-]+)"')
# Endings of what a model consists of; a page or a script would be one of this site.
_ENDINGS = (".bin", ".json", ".safetensors", ".txt", ".wasm", ".webp")


def is_page_file(path: str) -> bool:
    """Tell whether a path is that of a file of the page, which is the same for every model."""
    return path in _PAGE_FILES or path in _SCRIPTS or _BUILT.fullmatch(path) is not None


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


def find_size_faults(bundle: Path) -> list[tuple[str, str]]:
    """Return path and fault of files that are missing, or whose sizes show that they are others.

    A hole in a file takes no room on a disk, and as long as a terabyte to digest.

    Raises:
        BundleError: as :func:`list_models`, and if there is anything but plain files and folders.
    """
    models = dict(list_models(bundle))
    expected = {
        f"{folder}/{entry.file}": entry.bytes
        for folder, manifest in models.items()
        for entry in manifest.files()
    }
    files = list_files(bundle)
    expected |= _find_classic_sizes(models, expected) if CONFIG in files else {}
    faults = [(name, MISSING) for name in expected if name not in files]
    for name in files:
        size = (bundle / name).stat().st_size
        if name in expected and size != expected[name]:
            faults.append((name, f"{size} bytes, expected {expected[name]}"))
        elif name not in expected and size > _MOST_BYTES:
            faults.append((name, f"{size} bytes, expected at most {_MOST_BYTES}"))
    return faults


def _find_classic_sizes(models: Mapping[str, Manifest], sizes: Mapping[str, int]) -> dict[str, int]:
    """Return path → bytes of those files of the classic layout that may be large."""
    try:
        planned = plan_classic(models, "")
    except UsageError:
        return {}  # find_faults says why
    found = {}
    for path, content in planned.items():
        if isinstance(content, tuple):
            found[path] = sum(piece.bytes for piece in content)
        elif isinstance(content, Link) and content.path in sizes:
            found[path] = sizes[content.path]
    return found


def check_layout(snapshot: Snapshot) -> None:
    """Refuse a bundle that lacks a file, or has one that does not belong there.

    Raises:
        BundleError: for the first fault of :func:`find_faults`, :func:`find_stray_scripts` or
            :func:`find_gaps`.
    """
    for name, fault in chain(
        find_faults(snapshot), find_stray_scripts(snapshot), find_gaps(snapshot)
    ):
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
    classic: dict[str, Content] = {}
    try:
        classic = _plan_classic(snapshot)
    except UsageError as error:
        yield CONFIG, error.message
    yield from _find_classic_faults(snapshot, classic)
    yield from _find_unnamed_files(snapshot, classic)
    for name, page in _read_pages(snapshot).items():
        yield from ((name, fault) for fault in _find_page_faults(snapshot, page))
    yield from _find_kept_faults(snapshot)


def find_file_faults(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield path and fault of files that are not what the manifests say about them."""
    if PAGE not in snapshot.files:
        yield PAGE, MISSING
    for name, entry in snapshot.entries():
        if name not in snapshot.files:
            yield name, MISSING
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
        *(
            (entry.file, partial(check_choices, manifest=manifest))
            for entry in [manifest.kernel_choices]
            if entry is not None
        ),
        *((entry.file, check_example_picture) for entry in manifest.example_pictures),
        *((entry.file, check_example_lora) for entry in manifest.example_loras or ()),
        *(
            (entry.file, partial(check_scheduler_constants, expected=constants))
            for name, entry in (manifest.schedulers.constants or {}).items()
            if name in manifest.schedulers.available
            for constants in [manifest.scheduler_constants(name)]
        ),
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
            yield f"{folder}/{MANIFEST}", MISSING
            continue
        for key in ("name", "title", "dtype"):
            said, found = getattr(entry, key), getattr(manifest.model, key)
            if said != found:
                yield INDEX, f"{key} of {folder} is {said!r}, but its manifest has {found!r}"
        if entry.safety_checker and manifest.safety_checker is None:
            yield INDEX, f"{folder} is to be checked, but its manifest has no safety checker"


def _plan_classic(snapshot: Snapshot) -> dict[str, Content]:
    """Return path → content of the classic layout's files, if a bundle has that layout.

    Raises:
        UsageError: if there is no such layout for its models.
    """
    if CONFIG not in snapshot.files:
        return {}
    return plan_classic(snapshot.manifests, snapshot.files[INDEX].integrity)


def _find_classic_faults(
    snapshot: Snapshot, planned: Mapping[str, Content]
) -> Iterator[tuple[str, str]]:
    """Compare the files of the classic layout with those of the bundle that they are made of."""
    for name, content in planned.items():
        if name not in snapshot.files:
            yield name, MISSING
            continue
        if isinstance(content, Link):
            sources = {content.path}
        else:
            sources = set() if isinstance(content, bytes) else {piece.path for piece in content}
        if lacking := sorted(sources - snapshot.files.keys()):
            yield name, f"{lacking[0]}, which it is made of, is missing"
        elif snapshot.files[name].sha256 != _digest_content(snapshot, content):
            yield name, f"not what {', '.join(sorted(sources)) or 'the manifests'} ask for"


def _digest_content(snapshot: Snapshot, content: Content) -> str:
    if isinstance(content, Link):
        return snapshot.files[content.path].sha256
    return find_digest(snapshot.folder, content)


def _find_unnamed_files(snapshot: Snapshot, classic: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the files that are neither named by the list or a manifest, nor of the page.

    Args:
        snapshot: the bundle.
        classic: paths of the classic layout's files.
    """
    named = [name for name, _ in snapshot.entries()]
    for name in named:
        if not name.endswith(_ENDINGS):
            yield name, f"a model has no such files, only {', '.join(_ENDINGS)}"
    known = {INDEX, *named, *(f"{folder}/{MANIFEST}" for folder in snapshot.manifests), *classic}
    for name in snapshot.files:
        if not (name in known or is_page_file(name) or is_notice(name)):
            yield name, "does not belong to a bundle"
        elif (
            (built := _BUILT.fullmatch(name))
            and built["license"]
            and name.removesuffix(built["license"]) not in snapshot.files
        ):
            yield name, "does not belong to a bundle: the file that it is about is missing"


def _read_pages(snapshot: Snapshot) -> dict[str, Page]:
    """Return the pages that a bundle has."""
    return {
        name: read_page(read_text(snapshot.folder / name, BundleError, _HINT, PAGE_BYTES))
        for name in PAGES
        if name in snapshot.files
    }


def _read(snapshot: Snapshot, name: str) -> str:
    return read_text(snapshot.folder / name, BundleError, _HINT)


def _find_page_faults(snapshot: Snapshot, page: Page) -> Iterator[str]:
    """Yield the faults of what a page loads: files without a digest, altered or missing ones."""
    yield from page.faults
    if not any(address.endswith(".js") for address, _ in page.loaded):
        yield "loads no script"
    for address, integrity in page.loaded:
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
    loaded = {address for address, _ in page.loaded}
    for name in sorted(_follow(snapshot, loaded, _IMPORTED) - loaded):
        yield f"loads {name} without integrity: a script imports it"
    # Where there is no chain there is no element, or it is empty (wsd.bundle.page_chain).
    if any(digest not in ("", snapshot.files[INDEX].integrity) for digest in page.models_integrity):
        yield f"integrity of {INDEX} is missing or wrong"
    if len(page.models_integrity) > 1:
        yield f"has the integrity of {INDEX} twice"


def _follow(snapshot: Snapshot, begin: Iterable[str], pattern: re.Pattern[str]) -> set[str]:
    """Return these scripts, and those that they name, that the bundle has."""
    found = {name for name in begin if name in snapshot.files}
    waiting = [name for name in found if name.endswith(".js")]
    while waiting:
        name = waiting.pop()
        folder = name.rpartition("/")[0]
        for mentioned in pattern.findall(_read(snapshot, name)):
            path = f"{folder}/{mentioned}".removeprefix("/")
            if path in snapshot.files and path not in found:
                found.add(path)
                if path.endswith(".js"):
                    waiting.append(path)
    return found


def find_stray_scripts(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the scripts and styles that nothing of the page or of its driver leads to.

    If another file is missing or altered, that may be the reason.
    """
    for name, beginning in _NAMING.items():
        if name in snapshot.files:
            named = _NAMED.fullmatch(_read(snapshot, name))
            if named is None or not named["path"].startswith(beginning):
                yield name, "is not a name of the client"
    begin = {SERVICE_WORKER, *_NAMING}
    begin |= {address for page in _read_pages(snapshot).values() for address, _ in page.loaded}
    reached = _follow(snapshot, begin, _MENTIONED)
    for name in snapshot.files:
        built = _BUILT.fullmatch(name)
        if built and not built["license"] and name not in reached:
            yield name, "does not belong to the page: nothing of it leads there"


def _find_kept_faults(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Compare the page's files with the list of the service worker, which names all of them."""
    if SERVICE_WORKER not in snapshot.files:
        return
    text = _read(snapshot, SERVICE_WORKER)
    kept = {found["path"]: found["integrity"] for found in _KEPT.finditer(text)}
    for path, integrity in kept.items():
        if path not in snapshot.files:
            yield path, MISSING
        elif snapshot.files[path].integrity != integrity:
            yield SERVICE_WORKER, f"has a digest of {path} that differs from the file's"
    for path in snapshot.files:
        built = _BUILT.fullmatch(path)
        is_kept = path in _PAGE_FILES or (path.startswith("assets/") and built is not None)
        if is_kept and path != SERVICE_WORKER and not (built and built["license"]):
            if not kept:
                yield SERVICE_WORKER, "has no list of the page's files"
                return
            if path not in kept:
                yield path, f"does not belong to the page: {SERVICE_WORKER} does not name it"


def find_gaps(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield path and fault of what is missing, and may be missing only from earlier versions."""
    for name in _PAGE_FILES:
        if name not in snapshot.files:
            yield name, MISSING
    for entry in snapshot.index:
        if entry.integrity is None:
            yield INDEX, f"the integrity of {entry.manifest}{MANIFEST} is missing"
    for name, page in _read_pages(snapshot).items():
        if page.policies != [page_policy()]:
            yield name, "its Content-Security-Policy is missing or another one"


def mismatch(kind: str, expected: str, found: str) -> str:
    """Return the fault of a file whose digest is not the expected one."""
    return f"{kind} mismatch (expected {expected[:20]}…, got {found[:20]}…)"
