"""``wsd build``: make a bundle of a checkpoint and a compiled library."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from wsd.bundle.attestations import write_attestations
from wsd.bundle.classic import write_classic
from wsd.bundle.example_loras import find_example_loras, write_example_lora
from wsd.bundle.example_pictures import Example, find_examples
from wsd.bundle.kernel_choices import select_choices, serialize_kernels
from wsd.bundle.latent_preview import fit_preview
from wsd.bundle.manifest import write_index, write_manifest
from wsd.bundle.page_chain import link_page
from wsd.bundle.self_test import find_fixtures, select_stages
from wsd.bundle.shards import write_shards
from wsd.bundle.web_page import write_page
from wsd.checkpoint.adapters.adapter import Adapter
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.checkpoint.model_card import read_model_card
from wsd.checkpoint.tokenizer import open_tokenizer, tokenizer_file
from wsd.compiler.library import Library
from wsd.compiler.library_check import check_library
from wsd.compiler.memory import image_peaks, peaks
from wsd.errors import FileError, UsageError
from wsd.kernels.variant import BASELINE_MAX_THREADS
from wsd.models.registry import Component, Family
from wsd.models.schedulers import describe_noise_schedule, describe_schedulers
from wsd.spec.classic_names import check_names
from wsd.spec.kernel_choices import KernelChoices
from wsd.spec.manifest import (
    SCHEMA_VERSION,
    AdapterEntry,
    ComponentEntry,
    Conditioning,
    Defaults,
    ExamplePicture,
    FileEntry,
    IndexEntry,
    LatentPreview,
    LatentSpace,
    Manifest,
    ModelEntry,
    ModelName,
    Requirements,
    SafetyChecker,
    TokenizerEntry,
)
from wsd.spec.parameter import Parameter, shapes
from wsd.spec.precision import DTYPES
from wsd.spec.roles import SAFETY_CHECKER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER
from wsd.spec.selection import SELECTION_RULES
from wsd.supply_chain.material import Material
from wsd.supply_chain.materials import own_materials
from wsd.util.code_digest import digest_code
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import (
    check_absent,
    link_file,
    resumable_folder,
    write_folder_atomically,
)
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.progress import Advance, Progress
from wsd.util.terminal import printable_line

# Characters of what the manifest calls the checkpoint.
_LONGEST_SOURCE = 500

_LOG = logging.getLogger(__name__)


def check_model_name(name: str) -> None:
    """Refuse a name that no model in a bundle can have.

    Raises:
        UsageError: if the name is not allowed; the hint says which names are.
    """
    try:
        # `wsd join` appends the precision to the folder's name where a name is there twice.
        for folder in (name, *(f"{name}-{dtype}" for dtype in DTYPES)):
            TypeAdapter(ModelName).validate_python(folder)
    except ValidationError as error:
        raise UsageError(
            f"--name {name[:60]!r} is not allowed as the name of a model",
            "use small letters, digits and hyphens, such as anime-v2, and no name of a Windows "
            "device, such as con",
        ) from error


def build_bundle(
    checkpoint: Checkpoint,
    library: Library,
    out: Path,
    progress: Progress,
    fixtures: Path | None = None,
    name: str | None = None,
    examples: Sequence[Example] | None = None,
    kernel_choices: Sequence[Path] = (),
    *,
    check_pictures: bool = False,
    classic: bool = False,
) -> Path:
    """Build a complete bundle with one model and the page.

    Nothing appears at ``out`` unless everything succeeded.

    Args:
        checkpoint: the model's weights.
        library: the compiled functions of the checkpoint's family.
        out: a folder that does not exist.
        progress: shows what has been done.
        fixtures: self-test fixtures that ``wsd expect`` wrote (:mod:`wsd.bundle.self_test`); the
            checkpoint's own unless given, and none if it has none.
        name: of the model in the bundle; that of the family unless given.
        examples: what the page offers to draw, with pictures; those beside the checkpoint unless
            given, and the family's prompts if it has none.
        kernel_choices: files of ``wsd bench --tune`` with a table for this library
            (:mod:`wsd.bundle.kernel_choices`).
        check_pictures: whether the page checks pictures with the checkpoint's safety checker.
        classic: whether the files also have the names of the original
            (:mod:`wsd.bundle.classic`).

    Returns:
        ``out``.

    Raises:
        UsageError: if ``out`` exists, the library is of another architecture, the kernel choices
            are of another library, the pictures beside the checkpoint cannot be read, pictures are
            to be checked without a safety checker, or the original has no names for such a model.
        CheckpointError: if the weights or the fixtures cannot be read.
        ToolError: if the page cannot be bundled.
        FileError: if a file cannot be written.
    """
    check_absent(out)
    family = checkpoint.family
    check_library(library, family)
    _check_parts(library, family)
    if classic:
        check_names([(name or family.name, family.architecture.diffusers_pipeline)])
    if check_pictures and checkpoint.safety_checker is None:
        raise UsageError(
            f"the pictures of {family.name} are to be checked, but it has no safety checker",
            "open the checkpoint with a safety checker, or check no pictures",
        )
    choices = select_choices(kernel_choices, library)
    if examples is None:
        examples = find_examples(checkpoint)
    with explain_file_errors(out), write_folder_atomically(out) as scratch:
        # Before the weights, which take long to write.
        loras = find_example_loras(checkpoint)
        page = _write_page(library, scratch, progress)
        folder = scratch / "models" / (name or family.name)
        manifest = _write_model(
            checkpoint, library, folder, progress, fixtures, examples, loras, choices
        )
        entry = IndexEntry(
            name=manifest.model.name,
            title=family.title,
            dtype=manifest.model.dtype,
            manifest=f"{folder.name}/",
            safety_checker=check_pictures or None,
        )
        write_index([entry], scratch)
        link_page(scratch)
        if classic:
            write_classic(scratch)
        write_attestations(scratch, [*library.materials, *page, *own_materials()])
    return out


def _check_parts(library: Library, family: Family) -> None:
    """Refuse a library with functions whose parameters the checkpoint lacks.

    Raises:
        UsageError: naming what it lacks.
    """
    known = {name for c in family.components for name, _ in _stored_entries(c, library)}
    lacking = sorted(library.parameters.keys() - known)
    if lacking:
        raise UsageError(
            f"{library.folder} was compiled with {', '.join(lacking)}, which the checkpoint lacks",
            "leave it out: wsd compile --text-to-image-only, or wsd build without --library",
        )


def _write_page(library: Library, folder: Path, progress: Progress) -> tuple[Material, ...]:
    """Copy the page that came with the library, or write it as this installation of WSD has it.

    Returns:
        what the page is made of; nothing if it came with the library, whose materials have it.
    """
    with progress.stage("page", total=1) as advance:
        if library.page_folder.is_dir():
            shutil.copytree(library.page_folder, folder, dirs_exist_ok=True)
            materials: tuple[Material, ...] = ()
        else:
            materials = write_page(library, folder)
        advance(1)
    return materials


def _write_model(
    checkpoint: Checkpoint, library: Library, folder: Path, progress: Progress, given: Path | None,
    examples: Sequence[Example], loras: Sequence[Adapter], choices: KernelChoices | None,
) -> Manifest:  # fmt: skip
    """Write a model's files and its manifest to a new folder, whose name is the model's."""
    family = checkpoint.family
    folder.mkdir(parents=True)
    _name_unused(checkpoint, library)
    # First, because a tokenizer may have to be fetched.
    tokenizers = _write_tokenizers(checkpoint, folder)
    components = _write_parameters(checkpoint, library, folder, progress)
    card = read_model_card(checkpoint.source)
    license_name = card.license or _published_license(checkpoint)
    if not license_name:
        _LOG.warning("%s states no licence; the bundle says so", checkpoint.source.provenance)
    checker, of_checker = _describe_safety_checker(checkpoint)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        model=ModelEntry.model_validate(
            {
                "name": folder.name,
                "family": "" if folder.name == family.name else family.name,
                "title": family.title,
                "pipeline": family.architecture.diffusers_pipeline,
                "dtype": library.dtype,
                # A folder may be called anything, even what is no text.
                "source": printable_line(checkpoint.source.provenance, _LONGEST_SOURCE),
                "options": checkpoint.options,
                "license": license_name,
                "weights": {c.id: tuple(checkpoint.source.digests(c)) for c in family.components},
                "adapters": _describe_adapters(checkpoint),
            }
        ),
        pipeline=family.architecture.pipeline,
        library=_copy_library(library, folder),
        entry_points=library.entry_points,
        components=components,
        conditioning=describe_conditioning(family),
        tokenizers=tokenizers,
        latent_space=describe_latent_space(family),
        noise_schedule=describe_noise_schedule(checkpoint.scheduler, checkpoint.default_scheduler),
        schedulers=describe_schedulers(checkpoint.scheduler, checkpoint.default_scheduler),
        defaults=Defaults(
            steps=family.steps,
            guidance_scale=family.guidance_scale,
            size=library.sizes[0],
            eta=family.eta,
        ),
        examples=tuple(example.prompt for example in examples) or tuple(family.examples),
        preview=_fit_preview(checkpoint, library),
        requires=_find_requirements(components, library),
        peak_bytes=tuple(peaks(library)),
        image_peak_bytes=image_peaks(library),
        toolchain=library.toolchain,
        kernels=_write_kernels(library, folder),
        kernel_choices=_write_choices(choices, folder),
        self_test=_write_self_test(checkpoint, library, folder, given),
        safety_checker=checker,
        documents=tuple(
            _write_text(text, stem, folder) for stem, text in {**card.texts, **of_checker}.items()
        ),
        example_pictures=tuple(_write_example(example, folder) for example in examples),
        example_loras=tuple(write_example_lora(lora, folder) for lora in loras) or None,
        selection=SELECTION_RULES,
    )
    manifest = _write_constants(manifest, folder)
    write_manifest(manifest, folder)
    return manifest


def _published_license(checkpoint: Checkpoint) -> str:
    """Return the licence of the family's published weights, for a file that states none.

    A fine-tune of such weights is under their licence too. A folder has a card that says it.
    """
    published = checkpoint.family.license
    if not published or checkpoint.source.extra_file("model_index.json") is not None:
        return ""
    _LOG.warning(
        "%s states no licence; the bundle says that of the published model, %s",
        checkpoint.source.provenance, published,
    )  # fmt: skip
    return published


def _name_unused(checkpoint: Checkpoint, library: Library) -> None:
    """Say what of the adapters has no effect, because the model does not run it."""
    read = {name: {p.name for p in found} for name, found in library.parameters.items()}
    for applied in checkpoint.adapters:
        if unused := applied.adapter.find_unused(read):
            _LOG.warning(
                "adapter %s changes %d parameters that %s does not run, which has no effect: %s",
                applied.source, len(unused), checkpoint.family.name, ", ".join(unused),
            )  # fmt: skip


def _describe_adapters(checkpoint: Checkpoint) -> tuple[AdapterEntry, ...] | None:
    """Return what the manifest says of the adapters that are merged in; None if there are none."""
    return (
        tuple(
            AdapterEntry(
                source=printable_line(applied.source, _LONGEST_SOURCE),
                sha256=applied.adapter.sha256,
                scale=applied.scale,
                license=printable_line(applied.adapter.license, _LONGEST_SOURCE),
            )
            for applied in checkpoint.adapters
        )
        or None
    )


def _write_parameters(
    checkpoint: Checkpoint, library: Library, folder: Path, progress: Progress
) -> dict[str, ComponentEntry]:
    """Write the shards of every component, continuing what an interrupted build left."""
    total = sum(len(parameters) for parameters in library.parameters.values())
    key = _digest_parameters(checkpoint, library)
    with progress.stage("parameters", total=total) as advance, resumable_folder(key) as resumable:
        components = {
            name: _write_component(checkpoint, library, component, (name, role), resumable, advance)
            for component in checkpoint.family.components
            for name, role in _stored_entries(component, library)
        }
        # Only the shards that the list names: a build before may have left other files here. A
        # shard that is missing is an error.
        for component in components.values():
            for shard in component.shards:
                link_file(resumable / shard.file, folder / shard.file)
    for path in folder.glob("*.bin"):
        _copy_if_linked(path)
    return components


def _digest_parameters(checkpoint: Checkpoint, library: Library) -> str:
    """Return the digest of everything that decides the shards."""
    files = {c.id: checkpoint.weight_digests(c) for c in checkpoint.family.components}
    parameters = {name: [asdict(p) for p in found] for name, found in library.parameters.items()}
    sources = digest_code("wsd.bundle.shards", "wsd.checkpoint.checkpoint")
    return sha256_bytes(
        canonical_json({"files": files, "parameters": parameters, "sources": sources})
    )


def _stored_entries(component: Component, library: Library) -> Iterator[tuple[str, str]]:
    """Yield id and role of a component, then of those of its parts that a library was compiled for.

    The functions of each read parameters of their own, which have shards of their own.
    """
    yield component.id, component.role
    for part in component.parts:
        if part.id in library.parameters:
            yield part.id, part.role


def _write_component(
    checkpoint: Checkpoint,
    library: Library,
    component: Component,
    stored: tuple[str, str],
    folder: Path,
    advance: Advance,
) -> ComponentEntry:
    """Write the shards of a component, or of a part of one; ``stored`` is its id and role."""
    name, role = stored

    def read(parameters: Sequence[Parameter]) -> Iterator[torch.Tensor]:
        return checkpoint.source.tensors(component, shapes(parameters))

    written = write_shards(name, library.parameters[name], read, folder, advance)
    return ComponentEntry(
        folder=component.folder,
        role=role,
        bytes=sum(shard.bytes for shard in written.shards),
        records=written.records,
        shards=written.shards,
    )


def _copy_if_linked(path: Path) -> None:
    """Copy a file that has a second hard link, so that a change to that one does not change it.

    The resumable folder has been removed, and with it the other link of each shard. But a build
    that was killed may have left one.
    """
    if path.stat().st_nlink > 1:
        copy = path.with_suffix(".copy")
        shutil.copyfile(path, copy)
        copy.replace(path)


def _copy_library(library: Library, folder: Path) -> FileEntry:
    digest = sha256_file(library.wasm)
    target = folder / f"library.{digest}.wasm"
    shutil.copyfile(library.wasm, target)
    entry = _describe_file(target)
    if entry.sha256 != digest:
        raise FileError(f"{library.wasm} changed while it was copied", "run it again")
    return entry


def describe_conditioning(family: Family) -> Conditioning:
    """Return the manifest's ``conditioning`` of a family."""
    conditioning = family.conditioning
    return Conditioning(
        encoders=tuple(encoder.component for encoder in conditioning.encoders),
        join=conditioning.join,
        empty_negative=conditioning.empty_negative,
        optional=conditioning.optional or None,
    )


def describe_latent_space(family: Family) -> LatentSpace:
    """Return the manifest's ``latent_space`` of a family."""
    space = family.latent_space
    return LatentSpace(
        channels=space.channels,
        scale_factor=space.scale_factor,
        scaling_factor=space.scaling_factor,
        shift_factor=space.shift_factor,
        mean=space.mean,
        std=space.std,
        patch_size=space.patch_size if space.patch_size > 1 else None,
    )


def _describe_safety_checker(checkpoint: Checkpoint) -> tuple[SafetyChecker | None, dict[str, str]]:
    """Return the manifest's ``safety_checker``, and its card and licences by file name's stem."""
    found = checkpoint.safety_checker
    if found is None:
        return None, {}
    component = checkpoint.family.component(SAFETY_CHECKER)
    prepared = found.image_processor(component.config["image_size"])
    card = read_model_card(found)
    if not card.license:
        _LOG.warning("safety checker %s states no licence; the bundle says so", found.provenance)
    described = SafetyChecker(
        resize=prepared.resize,
        mean=prepared.mean,
        std=prepared.std,
        source=printable_line(found.provenance, _LONGEST_SOURCE),
        license=card.license,
    )
    return described, {f"safety-checker-{stem}": text for stem, text in card.texts.items()}


def _fit_preview(checkpoint: Checkpoint, library: Library) -> LatentPreview:
    component = checkpoint.family.component(VAE_DECODER)
    expected = shapes(library.parameters[component.id])
    return fit_preview(checkpoint.family, expected, checkpoint.source.tensors(component, expected))


def _write_tokenizers(checkpoint: Checkpoint, folder: Path) -> dict[str, TokenizerEntry]:
    """Write the tokenizer of each text encoder; equal ones become one file."""
    written = {}
    for tokenizer in checkpoint.family.tokenizers:
        opened = open_tokenizer(checkpoint.family, checkpoint.source, tokenizer)
        data, settings = tokenizer_file(opened)
        entry = _write_by_digest(data, "tokenizer", folder)
        written[tokenizer.component] = TokenizerEntry.model_validate({**dict(entry), **settings})
    return written


def _write_constants(manifest: Manifest, folder: Path) -> Manifest:
    """Write the constants of each scheduler to a file, and return a manifest that names them."""
    constants = {}
    for name in manifest.schedulers.available:
        data = canonical_json(manifest.scheduler_constants(name).model_dump(mode="json"))
        constants[name] = _write_by_digest(data, f"scheduler-{name}", folder)
    schedulers = manifest.schedulers.model_copy(update={"constants": constants})
    return manifest.model_copy(update={"schedulers": schedulers})


def _write_kernels(library: Library, folder: Path) -> FileEntry | None:
    """Write the table of hand-written kernel variants, if the library has any."""
    if not library.variants["kernels"]:
        return None
    return _write_by_digest(serialize_kernels(library.variants), "kernels", folder)


def _write_choices(choices: KernelChoices | None, folder: Path) -> FileEntry | None:
    """Write what was the fastest in each kernel on some classes of adapters, if it is known."""
    if choices is None:
        return None
    data = canonical_json(choices.model_dump(mode="json"))
    return _write_by_digest(data, "kernel-choices", folder)


def _write_self_test(
    checkpoint: Checkpoint, library: Library, folder: Path, given: Path | None
) -> FileEntry | None:
    """Write the self-test of the library's entry points, if there are fixtures of any."""
    path = find_fixtures(checkpoint, given)
    selected = None if path is None else select_stages(path, checkpoint, library)
    if selected is None:
        return None
    data = canonical_json(selected.model_dump(mode="json"))
    return _write_by_digest(data, "self-test", folder)


def _write_by_digest(data: bytes, stem: str, folder: Path) -> FileEntry:
    """Write a JSON file as ``<stem>.<sha256>.json``."""
    path = folder / f"{stem}.{sha256_bytes(data)}.json"
    path.write_bytes(data)
    return _describe_file(path)


def _write_text(text: str, stem: str, folder: Path) -> FileEntry:
    """Write a text for people as ``<stem>.<sha256>.txt``."""
    data = text.encode()
    path = folder / f"{stem}.{sha256_bytes(data)}.txt"
    path.write_bytes(data)
    return _describe_file(path)


def _write_example(example: Example, folder: Path) -> ExamplePicture:
    """Write an example's picture as ``example.<sha256>.webp``."""
    path = folder / f"example.{sha256_bytes(example.picture)}.webp"
    path.write_bytes(example.picture)
    return ExamplePicture(
        **dict(_describe_file(path)), prompt=example.prompt, settings=example.settings
    )


def _describe_file(path: Path) -> FileEntry:
    return FileEntry(file=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))


def _find_requirements(components: Mapping[str, ComponentEntry], library: Library) -> Requirements:
    """Return the WebGPU features and limits without which no picture can be drawn from text.

    What one size needs beyond them is in its entry points: the page tells which sizes fit. What
    the encoder and the safety checker need is in theirs, and a GPU that lacks it can still draw.
    """
    needed = [e for e in components.values() if e.role not in (VAE_ENCODER, SAFETY_CHECKER)]
    largest = max(
        *(record.bytes for entry in needed for record in entry.records),
        *(entry.largest_buffer_bytes for entry in library.entries(TEXT_ENCODER)),
    )
    return Requirements(
        features=(),
        limits={
            "maxStorageBuffersPerShaderStage": library.storage_buffers,
            "maxComputeInvocationsPerWorkgroup": BASELINE_MAX_THREADS,
            "maxStorageBufferBindingSize": largest,
        },
    )
