"""``wsd build``: a checkpoint in, a bundle out."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from wsd.bundle.attestations import seal
from wsd.bundle.latent_preview import fit_preview
from wsd.bundle.manifest import INDEX_NAME, SCHEMA_VERSION, write_manifest
from wsd.bundle.self_test import expected_stages, find_expected
from wsd.bundle.shards import Parameters, write_shards
from wsd.bundle.web_page import build_page
from wsd.checkpoint.reader import Checkpoint
from wsd.checkpoint.tokenizer import tokenizer_file
from wsd.compiler.library import Library, check_library
from wsd.compiler.memory import peaks
from wsd.errors import ToolError
from wsd.models.registry import Component
from wsd.spec.parameter import Parameter, shapes
from wsd.spec.roles import DENOISER, TEXT_ENCODER, VAE_DECODER
from wsd.supply_chain.materials import python_materials
from wsd.util.files import PACKAGE, check_absent, resumable_folder, write_folder_atomically
from wsd.util.hashing import canonical_json, digest_tree, sha256_bytes, sha256_file
from wsd.util.progress import Progress

# What decides a shard's bytes, besides the checkpoint.
_SHARD_SOURCES = [
    PACKAGE / name for name in ("bundle/shards.py", "bundle/quantize.py", "spec/parameter.py")
]


def build_bundle(
    checkpoint: Checkpoint,
    library: Library,
    out: Path,
    progress: Progress,
    expected: Path | None = None,
) -> Path:
    """Build a complete bundle with one model and the page.

    Args:
        checkpoint: the model's weights.
        library: the compiled functions of the checkpoint's family.
        out: a folder that does not exist.
        progress: told what is done.
        expected: what each stage must give (:mod:`wsd.bundle.self_test`); the checkpoint's own
            unless given, and none if it has none.

    Nothing appears at ``out`` unless everything succeeded.

    Returns:
        ``out``.

    Raises:
        UsageError, CheckpointError, ToolError: see their messages.
    """
    check_absent(out)
    family = checkpoint.family
    check_library(library, family)
    with _room(out), write_folder_atomically(out) as scratch:
        _write_page(library, scratch, progress)
        models = scratch / "models"
        folder = models / family.name
        folder.mkdir(parents=True)
        _write_model(checkpoint, library, folder, progress, expected)
        entry = {"name": family.name, "title": family.title, "dtype": library.dtype}
        index = [{**entry, "manifest": f"{family.name}/"}]
        (models / INDEX_NAME).write_bytes(canonical_json(index))
        seal(scratch, {*library.materials, *python_materials()})
    return out


def _write_page(library: Library, folder: Path, progress: Progress) -> None:
    """Write the page that came with the library, or bundle it."""
    with progress.stage("page", total=1) as advance:
        if library.page_folder.is_dir():
            shutil.copytree(library.page_folder, folder, dirs_exist_ok=True)
        else:
            build_page(folder)
        advance(1)


@contextmanager
def _room(out: Path) -> Iterator[None]:
    """Say what to do when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ToolError(
            f"no space is left for {error.filename or out}",
            "make room and run the same command again: finished shards are kept",
        ) from error


def _write_model(
    checkpoint: Checkpoint,
    library: Library,
    folder: Path,
    progress: Progress,
    expected: Path | None,
) -> None:
    family = checkpoint.family
    total = sum(len(records) for records in library.parameters.values())
    key = _parameters_key(checkpoint, library)
    with progress.stage("parameters", total=total) as advance, resumable_folder(key) as unfinished:
        components = {
            component.name: _write_component(checkpoint, library, component, unfinished, advance)
            for component in family.components
        }
        for shard in unfinished.glob("*.bin"):
            _link(shard, folder / shard.name)
    digest = sha256_file(library.wasm)
    name = f"library.{digest}.wasm"
    shutil.copyfile(library.wasm, folder / name)
    write_manifest(
        {
            "schema_version": SCHEMA_VERSION,
            "model": {
                "name": family.name,
                "title": family.title,
                "pipeline": family.pipeline,
                "dtype": library.dtype,
                "source": checkpoint.source,
            },
            "library": _file_entry(folder / name),
            "entry_points": [_listed(asdict(entry)) for entry in library.entry_points],
            "components": components,
            "scheduler": checkpoint.scheduler,
            "tokenizers": _write_tokenizers(checkpoint, folder),
            "force_zeros_for_empty_prompt": family.force_zeros_for_empty_prompt,
            "examples": list(family.examples),
            "defaults": {
                "steps": family.steps,
                "guidance_scale": family.guidance_scale,
                "size": list(library.sizes[0]),
            },
            "latents": {
                "channels": family.component(DENOISER).config["in_channels"],
                "scale_factor": family.vae_scale_factor,
            },
            "preview": _fit_preview(checkpoint, library),
            "requires": _requirements(components, library),
            "peak_bytes": [_listed(asdict(peak)) for peak in peaks(library)],
            "toolchain": library.toolchain,
            **_write_variants(library, folder),
            **_write_expected(checkpoint, library, folder, expected),
        },
        folder,
    )


def _parameters_key(checkpoint: Checkpoint, library: Library) -> str:
    """Return the digest of everything that decides the shards."""
    files = {c.name: checkpoint.identity(c) for c in checkpoint.family.components}
    parameters = {name: [asdict(p) for p in found] for name, found in library.parameters.items()}
    sources = digest_tree(_SHARD_SOURCES, PACKAGE)
    return sha256_bytes(
        canonical_json({"files": files, "parameters": parameters, "sources": sources})
    )


def _write_component(
    checkpoint: Checkpoint, library: Library, component: Component, folder: Path, advance: Any
) -> dict[str, Any]:
    expected = library.parameters[component.name]

    def read(parameters: Sequence[Parameter]) -> Iterator[torch.Tensor]:
        return checkpoint.tensors(component, shapes(parameters))

    written: Parameters = write_shards(component.name, expected, read, folder, advance)
    return {
        "bytes": sum(shard.bytes for shard in written.shards),
        "records": [_listed(asdict(record)) for record in written.records],
        "shards": [asdict(shard) for shard in written.shards],
    }


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it to another file system."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _fit_preview(checkpoint: Checkpoint, library: Library) -> dict[str, Any]:
    component = checkpoint.family.component(VAE_DECODER)
    expected = shapes(library.parameters[component.name])
    return fit_preview(checkpoint.family, expected, checkpoint.tensors(component, expected))


def _write_tokenizers(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """Write each text encoder's tokenizer; equal ones become one file."""
    written = {}
    for entry in checkpoint.family.tokenizers:
        data, settings = tokenizer_file(checkpoint.path, entry, checkpoint.tokenizer)
        name = f"tokenizer.{sha256_bytes(data)}.json"
        (folder / name).write_bytes(data)
        written[entry.component] = {**_file_entry(folder / name), **settings}
    return written


def _write_variants(library: Library, folder: Path) -> dict[str, Any]:
    """Write the kernels' variants; returns the manifest's entry, if there are any."""
    if not library.variants["kernels"]:
        return {}
    data = canonical_json(library.variants)
    name = f"kernels.{sha256_bytes(data)}.json"
    (folder / name).write_bytes(data)
    return {"kernels": _file_entry(folder / name)}


def _write_expected(
    checkpoint: Checkpoint, library: Library, folder: Path, given: Path | None
) -> dict[str, Any]:
    """Write what the self-test expects; returns the manifest's entry, if there is one."""
    path = find_expected(checkpoint, given)
    data = None if path is None else expected_stages(path, checkpoint, library)
    if data is None:
        return {}
    name = f"self-test.{sha256_bytes(data)}.json"
    (folder / name).write_bytes(data)
    return {"self_test": _file_entry(folder / name)}


def _file_entry(path: Path) -> dict[str, Any]:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _listed(value: Any) -> Any:
    """Return a value as JSON would read it back: tuples as lists."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value


def _requirements(components: dict[str, Any], library: Library) -> dict[str, Any]:
    """Return the WebGPU features and limits that the model cannot do without.

    What a size needs beyond them stands with its functions: the page says which it can draw.
    """
    largest = max(
        *(record["bytes"] for entry in components.values() for record in entry["records"]),
        *(entry.largest_buffer_bytes for entry in library.entries(TEXT_ENCODER)),
    )
    return {
        "features": [],
        "limits": {
            "maxStorageBuffersPerShaderStage": library.storage_buffers,
            "maxComputeInvocationsPerWorkgroup": 256,
            "maxStorageBufferBindingSize": largest,
        },
    }
