"""``--layout classic``: the file names of the original Web Stable Diffusion, beside a bundle's own.

The original (https://github.com/mlc-ai/web-stable-diffusion) is a page on tvmjs, TVM's runtime for
browsers. Its site has ``dist/`` with the compiled libraries and tvmjs, a folder of shards for each
model with TVM's table ``ndarray-cache.json``, and ``stable-diffusion-config.json``, which selects
library and shards. This module gives a finished bundle files of these names: links to files of the
bundle wherever those have the same bytes. Nothing of WSD's own page reads them.

tvmjs takes no tensor that lies in two files, and the tensors of a bundle lie in one stream that is
cut anywhere (:mod:`wsd.bundle.shards`). So a shard is a link where the bundle's has whole tensors,
and a copy where it has not.

What the files hold follows from the manifests alone (:func:`plan_classic`): ``wsd verify`` plans
them again and compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from wsd.bundle.manifest import INDEX_NAME, REBUILD, list_models
from wsd.errors import BundleError
from wsd.spec.classic_names import NAMES, check_names
from wsd.spec.manifest import ComponentEntry, Manifest, ParameterRecord
from wsd.spec.parameter import SHARD_BYTES
from wsd.spec.roles import SAFETY_CHECKER, VAE_ENCODER
from wsd.util.files import link_file
from wsd.util.hashing import canonical_json, digest_file, sha256_bytes

# The file whose presence says that a bundle has this layout, and its further names.
CONFIG = "stable-diffusion-config.json"
ALIASES = ("gh-page-config.json", "local-config.json")
# Files of every bundle's page that pages on tvmjs alone use, and their names in the original.
SCRIPTS = {
    "dist/tvmjs.bundle.js": "driver/tvmjs.js",
    "dist/tvmjs_runtime.wasi.js": "driver/wasi.js",
}
# The table of a folder of shards, as TVM v0.21.0 and as TVM 0.27 look for it.
_TABLES = ("ndarray-cache.json", "tensor-cache.json")
_INDEX = f"models/{INDEX_NAME}"
# Component → the prefix of its parameters' names; other components keep their ids.
_PREFIXES = {"text_encoder": "clip", "text_encoder_2": "clip2"}
# Scheduler → what the original calls its file; others have WSD's names.
_SCHEDULERS = {"dpmpp_2m": "dpm_solver_multistep", "euler": "euler_discrete"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Link:
    """A file that has the bytes of another one.

    Attributes:
        path: of the other one, relative to the bundle.
    """

    path: str


@dataclass(frozen=True)
class Piece:
    """Bytes of a file of the bundle.

    Attributes:
        path: of the file, relative to the bundle.
        start: the first byte.
        bytes: how many.
    """

    path: str
    start: int
    bytes: int


Content = bytes | Link | tuple[Piece, ...]
"""What a file holds: these bytes, those of another file, or pieces of others one after another."""


def plan_classic(models: Mapping[str, Manifest], index_integrity: str) -> dict[str, Content]:
    """Return path → content of each file of the layout; links come after what they lead to.

    Args:
        models: path of a model's folder in the bundle → its manifest.
        index_integrity: digest of the bundle's list of models, which the configuration states.

    Raises:
        UsageError: as :func:`check_names`.
    """
    check_names((folder, manifest.model.pipeline) for folder, manifest in models.items())
    ordered = sorted(models.items(), key=lambda item: list(NAMES).index(item[1].model.pipeline))
    files: dict[str, Content] = {path: Link(source) for path, source in SCRIPTS.items()}
    libraries: dict[str, str] = {}
    shards: dict[str, str] = {}
    schedulers: dict[str, dict[str, str]] = {}
    for folder, manifest in ordered:
        names = NAMES[manifest.model.pipeline]
        libraries[names.title] = f"dist/{names.library}"
        shards[names.title] = f"{names.shards}/"
        files[libraries[names.title]] = Link(f"{folder}/{manifest.library.file}")
        files |= _plan_shards(folder, manifest, names.shards)
        schedulers[names.title] = _plan_schedulers(folder, manifest, names.suffix, files)
    first = next(iter(libraries))
    config = {
        "model_lib_map": libraries,
        "param_dict": shards,
        "scheduler_dict": schedulers,
        "schedulerConstUrl": list(schedulers[first].values()),
        # Of one model, as earlier versions of the original have it.
        "wasmUrl": libraries[first],
        "cacheUrl": shards[first],
        **_find_tokenizers(ordered),
        # By these WSD's client finds the bundle.
        "models": _INDEX,
        "integrity": index_integrity,
    }
    files[CONFIG] = canonical_json(config)
    files |= dict.fromkeys(ALIASES, Link(CONFIG))
    return files


def _plan_shards(folder: str, manifest: Manifest, shards: str) -> dict[str, Content]:
    """Return the folder of shards of what draws from text, with its table."""
    files: dict[str, Content] = {}
    metadata: dict[str, int] = {}
    table: list[dict[str, Any]] = []
    for name, component in manifest.components.items():
        if component.role in (SAFETY_CHECKER, VAE_ENCODER):
            continue
        prefix = _PREFIXES.get(name, name)
        metadata[f"{prefix}ParamSize"] = len(component.records)
        count = 0
        for group in _group(component.records):
            path = f"params_shard_{len(table)}.bin"
            start, stop = group[0].offset, group[-1].offset + group[-1].bytes
            files[f"{shards}/{path}"] = _find_bytes(folder, component, start, stop)
            entries = [
                _describe(f"{prefix}_{count + index}", record, start)
                for index, record in enumerate(group)
            ]
            count += len(group)
            table.append(
                {
                    "dataPath": path,
                    "format": "raw-shard",
                    "nbytes": stop - start,
                    "records": entries,
                }
            )
    first, *others = (f"{shards}/{name}" for name in _TABLES)
    files[first] = canonical_json({"metadata": metadata, "records": table})
    return files | dict.fromkeys(others, Link(first))


def _group(records: Iterable[ParameterRecord]) -> Iterator[list[ParameterRecord]]:
    """Yield runs of records that are no larger than a shard; one that is larger is alone."""
    group: list[ParameterRecord] = []
    for record in records:
        if group and record.offset + record.bytes - group[0].offset > SHARD_BYTES:
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def _describe(name: str, record: ParameterRecord, start: int) -> dict[str, Any]:
    """Return the entry of a parameter; compiled functions read all but float32 as 32-bit words."""
    plain = record.dtype == "float32"
    return {
        "name": name,
        "shape": list(record.shape) if plain else [record.bytes // 4],
        "dtype": "float32" if plain else "uint32",
        "format": "raw",
        "byteOffset": record.offset - start,
        "nbytes": record.bytes,
    }


def _find_bytes(folder: str, component: ComponentEntry, start: int, stop: int) -> Content:
    """Return where a part of a component's stream lies in its shards."""
    pieces: list[Piece] = []
    begin = 0
    for shard in component.shards:
        end = begin + shard.bytes
        first, last = max(start, begin), min(stop, end)
        if first < last:
            if (first, last) == (start, stop) == (begin, end):
                return Link(f"{folder}/{shard.file}")
            pieces.append(Piece(f"{folder}/{shard.file}", first - begin, last - first))
        begin = end
    return tuple(pieces)


def _plan_schedulers(
    folder: str, manifest: Manifest, suffix: str, files: dict[str, Content]
) -> dict[str, str]:
    """Add the constants of each scheduler to the files; returns scheduler → path, default first.

    A second model's have a name of their own: its noise may be another.
    """
    constants = manifest.schedulers.constants or {}
    found = {}
    for name in sorted(constants, key=lambda name: name != manifest.schedulers.default):
        stem = f"dist/scheduler_{_SCHEDULERS.get(name, name)}"
        path = f"{stem}_consts.json"
        if path in files:
            path = f"{stem}_{suffix}_consts.json"
        files[path] = Link(f"{folder}/{constants[name].file}")
        found[name] = path
    return found


def _find_tokenizers(models: Iterable[tuple[str, Manifest]]) -> dict[str, str]:
    """Return the tokenizer of the first text encoder, and of the second of a model that has one."""
    found: dict[str, str] = {}
    for folder, manifest in models:
        encoders = manifest.conditioning.encoders
        for key, encoder in zip(("tokenizer", "tokenizer2"), encoders, strict=False):
            if encoder in manifest.tokenizers:
                found.setdefault(key, f"{folder}/{manifest.tokenizers[encoder].file}")
    return found


def write_classic(bundle: Path) -> None:
    """Write the files of the layout into a bundle that has its models and its list of them.

    Args:
        bundle: the bundle's folder.

    Raises:
        UsageError: as :func:`check_names`.
        BundleError: if the bundle was built by a version of WSD without this layout.
    """
    models = dict(list_models(bundle))
    for path, content in plan_classic(models, digest_file(bundle / _INDEX).integrity).items():
        target = bundle / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        elif isinstance(content, Link):
            if not (bundle / content.path).is_file():
                raise BundleError(f"{bundle}: {content.path} is missing", REBUILD)
            link_file(bundle / content.path, target)
        else:
            with target.open("wb") as file:
                file.writelines(_read(bundle, content))


def find_digest(bundle: Path, content: Content) -> str:
    """Return the SHA-256 of what a file of the layout must hold.

    Raises:
        OSError: if a file that it is made of cannot be read.
    """
    if isinstance(content, bytes):
        return sha256_bytes(content)
    if isinstance(content, Link):
        return digest_file(bundle / content.path).sha256
    digest = hashlib.sha256()
    for data in _read(bundle, content):
        digest.update(data)
    return digest.hexdigest()


def _read(bundle: Path, pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Yield the bytes of pieces, some at a time."""
    return chain.from_iterable(_read_piece(bundle / piece.path, piece) for piece in pieces)


def _read_piece(path: Path, piece: Piece) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(piece.start)
        left = piece.bytes
        while data := file.read(min(left, _CHUNK)):
            yield data
            left -= len(data)
