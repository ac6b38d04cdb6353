"""``wsd lora``: write an adapter as a small bundle, and verify one.

The bundle is two files: the adapter, named by its digest, and ``adapter.json``, which describes it
(:mod:`wsd.spec.adapter_bundle`). Pages load it by the address of ``adapter.json``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from pydantic import TypeAdapter

from wsd.bundle.tree import scan_tree
from wsd.checkpoint.adapters.adapter import Adapter, open_adapter
from wsd.checkpoint.resolve import find_adapter
from wsd.errors import BundleError, CheckpointError, FileError
from wsd.models.registry import FAMILIES, Family
from wsd.spec.adapter_bundle import ADAPTER_FILE, ADAPTER_VERSION, AdapterBundle
from wsd.spec.manifest import MAX_TRIGGER_WORDS
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.hashing import canonical_json, sha256_file
from wsd.util.terminal import printable_line
from wsd.util.typed_json import read_typed

_REBUILD = "run wsd lora again, or fetch the bundle anew"
# Characters of a name, a licence, a trigger word.
_LONGEST = 200
# Stability's ModelSpec, which trainers write.
_TRIGGER = "modelspec.trigger_phrase"


def write_adapter_bundle(
    file: Path, out: Path, family: Family | None = None, name: str | None = None
) -> Path:
    """Write an adapter's bundle; nothing appears at ``out`` unless everything succeeded.

    Args:
        file: the adapter's ``.safetensors`` file, or what names one on the hub.
        out: a folder that does not exist.
        family: the model that it is for; the first that it fits unless given.
        name: what people call it; the file's name without its ending unless given.

    Returns:
        ``out``.

    Raises:
        UsageError: if ``out`` exists.
        CheckpointError: if the file is no adapter, or not for the family; if none is given, for
            any.
        FileError: if a file cannot be written.
    """
    check_absent(out)
    path = find_adapter(str(file))
    found = _find_family(path) if family is None else family
    adapter = open_adapter(path, found)
    with explain_file_errors(out), write_folder_atomically(out) as folder:
        target = copy_adapter(adapter, folder, "adapter")
        described = AdapterBundle(
            version=ADAPTER_VERSION,
            family=found.name,
            file=target.name,
            bytes=target.stat().st_size,
            sha256=adapter.sha256,
            **describe_adapter(adapter, name),
        )
        data = canonical_json(described.model_dump(mode="json"))
        (folder / ADAPTER_FILE).write_bytes(data)
    return out


def copy_adapter(adapter: Adapter, folder: Path, kind: str) -> Path:
    """Copy an adapter's file to a folder, and return it as ``<kind>.<sha256>.safetensors``.

    Raises:
        FileError: if the file changed after it was opened.
    """
    path = folder / f"{kind}.{adapter.sha256}.safetensors"
    shutil.copyfile(adapter.path, path)
    if sha256_file(path) != adapter.sha256:
        raise FileError(f"{adapter.path} changed while it was copied", "run it again")
    return path


class AdapterFacts(TypedDict):
    """What pages are told of an adapter.

    Attributes:
        name: what people call it.
        layers: number of parameters that it changes.
        trigger_words: words that it was trained with, as its metadata names them.
        license: as its metadata states it; empty if it states none.
    """

    name: str
    layers: int
    trigger_words: tuple[str, ...]
    license: str


def describe_adapter(adapter: Adapter, name: str | None = None) -> AdapterFacts:
    """Return what pages are told of an adapter, on lines that any terminal and page can show.

    Args:
        adapter: an open file.
        name: what people call it; the file's name without its ending unless given.
    """
    return AdapterFacts(
        name=printable_line(name or adapter.path.stem, _LONGEST),
        layers=adapter.count,
        trigger_words=_find_trigger_words(adapter),
        license=printable_line(adapter.license, _LONGEST),
    )


def is_adapter_bundle(folder: Path) -> bool:
    """Tell whether a folder is an adapter's bundle, and not a model's."""
    return (folder / ADAPTER_FILE).is_file() and not (folder / "models").exists()


def verify_adapter_bundle(folder: Path) -> Iterator[str]:
    """Yield one line for each fault of an adapter's bundle.

    Args:
        folder: with an ``adapter.json``.

    Raises:
        BundleError: if ``adapter.json`` is malformed.
    """
    tree = scan_tree(folder)
    if tree.faults:
        yield from tree.faults
        return
    described = read_typed(folder / ADAPTER_FILE, TypeAdapter(AdapterBundle), BundleError, _REBUILD)
    if (folder / ADAPTER_FILE).read_bytes() != canonical_json(described.model_dump(mode="json")):
        yield f"{ADAPTER_FILE}: not written as WSD writes it: keys in another order, or spaces"
    for name in tree.files:
        if name not in (ADAPTER_FILE, described.file):
            yield f"{name}: not in {ADAPTER_FILE}"
    path = folder / described.file
    if not path.is_file():
        yield f"{described.file}: missing"
        return
    size, digest = path.stat().st_size, sha256_file(path)
    if size != described.bytes:
        yield f"{described.file}: {size} bytes, expected {described.bytes}"
    elif digest != described.sha256:
        yield f"{described.file}: sha256 mismatch (expected {described.sha256}, got {digest})"
    else:
        yield from _verify_layers(path, described)


def _verify_layers(path: Path, described: AdapterBundle) -> Iterator[str]:
    """Compare what is said of an adapter with its file, which is as it was written."""
    if described.family not in FAMILIES:
        yield f"{ADAPTER_FILE}: no model is called {described.family}"
        return
    try:
        adapter = open_adapter(path, FAMILIES[described.family])
    except CheckpointError as error:
        yield f"{described.file}: {error.message}"
        return
    if adapter.count != described.layers:
        yield f"{ADAPTER_FILE}: layers is {described.layers}, expected {adapter.count}"


def _find_family(path: Path) -> Family:
    """Return the first family whose layers an adapter's tensors all fit.

    Raises:
        CheckpointError: why it fits none, if it is damaged or for another model; that of the first
            family.
    """
    first: CheckpointError | None = None
    for family in FAMILIES.values():
        try:
            open_adapter(path, family)
        except CheckpointError as error:
            first = first or error
        else:
            return family
    assert first is not None
    raise CheckpointError(
        f"{path} fits none of the models {', '.join(FAMILIES)}; of the first: {first.message}",
        "name the model that it was made for with --model, for a message of that one",
    )


def _find_trigger_words(adapter: Adapter) -> tuple[str, ...]:
    words = [word.strip() for word in adapter.metadata.get(_TRIGGER, "").split(",")]
    shown = [printable_line(word, _LONGEST) for word in words if word]
    return tuple(dict.fromkeys(shown))[:MAX_TRIGGER_WORDS]
