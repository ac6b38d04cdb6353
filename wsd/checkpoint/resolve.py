"""Resolve ``--weights``, ``--random-weights`` and ``--vae`` to folders and files; open them."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from wsd.checkpoint.absent_weights import AbsentWeights
from wsd.checkpoint.checkpoint import (
    Checkpoint,
    add_safety_checker,
    choose_encoders,
    follow_adapters,
    merge_adapters,
    open_checkpoint,
    open_source,
    read_configurations,
    require_safety_checker,
)
from wsd.checkpoint.encoders_override import TextEncodersOverride, open_text_encoders
from wsd.checkpoint.hub import (
    HubId,
    Snapshot,
    fetch_file,
    find_remote_file,
    open_snapshot,
    parse_hub_id,
)
from wsd.checkpoint.model_card import CARD, LICENSE_FILES
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.safety_checker_source import FEATURE_EXTRACTOR, PREPROCESSOR
from wsd.checkpoint.single_file import SingleFile
from wsd.checkpoint.tokenizer import list_tokenizer_files
from wsd.checkpoint.vae_override import VaeOverride
from wsd.checkpoint.weight_files import choose_weight_files
from wsd.checkpoint.weight_source import WeightSource, read_json
from wsd.errors import CheckpointError, UsageError
from wsd.models.family import Component, Family
from wsd.models.schedule_options import NO_OPTIONS, NOT_DENOISED, ScheduleOptions
from wsd.spec.roles import TEXT_ENCODER, VAE_DECODER
from wsd.spec.tensor import Size

_LOG = logging.getLogger(__name__)

# What addresses of the hub begin with, if somebody leaves the scheme out.
_HUB = ("huggingface.co/", "hf.co/")
# Files that hold tensors and can be read.
_READABLE = (".safetensors", ".gguf")
# Pickles, which can run code when they are read.
_PICKLES = (".ckpt", ".pt", ".pth", ".bin")
# Of a folder, what says how it is denoised and which pipeline it is for.
_PIPELINE_FILES = ("model_index.json", "scheduler/scheduler_config.json")
_TAKES = (
    "--weights takes a diffusers folder, a .safetensors or .gguf file, a hub id owner/name, or a "
    "file of one: owner/name/file.safetensors"
)
_VAE_TAKES = (
    "--vae takes a .safetensors file, a folder with config.json and diffusion_pytorch_model."
    "safetensors, a diffusers folder that has a VAE, or such a repository on the hub"
)
_ADAPTER_TAKES = (
    "--lora takes a .safetensors file, or a file of a repository on the hub: "
    "owner/name/file.safetensors; a scale may follow behind a colon"
)
_ENCODERS_TAKE = (
    "--text-encoders takes a diffusers folder that has text encoders, a folder with a file for "
    "each of them, a .safetensors file, or a repository in the diffusers layout or a file of one "
    "on the hub"
)
_CHECKER_TAKES = (
    "--safety-checker takes a folder with config.json and model.safetensors, a diffusers folder "
    "that has a safety checker, or such a repository on the hub"
)


def choose_checkpoint(
    family: Family,
    weights: str | None,
    seed: int | None,
    *,
    own_vae: bool = True,
    own_encoders: bool = True,
) -> Path:
    """Return the folder or file to read; a folder is made for seeded random weights.

    Args:
        family: the model.
        weights: the value of ``--weights``, or None.
        seed: the value of ``--random-weights``, or None.
        own_vae: whether the checkpoint's VAE is read; of a hub repository, it is not fetched
            otherwise.
        own_encoders: the same of its text encoders.

    Raises:
        UsageError: if both are given, or if neither is and the family ships no weights.
        CheckpointError: if ``weights`` is not a checkpoint.
    """
    _check_one(weights, seed)
    if weights is not None:
        return find_checkpoint(weights, family, own_vae=own_vae, own_encoders=own_encoders)
    if seed is not None:
        return random_checkpoint(family, seed)
    if family.weights is None:
        raise UsageError(
            f"model {family.name} needs a checkpoint",
            "pass --weights FOLDER or a hub id; for a trial, --random-weights 0",
        )
    return family.weights


def _check_one(weights: str | None, seed: int | None) -> None:
    if weights is not None and seed is not None:
        raise UsageError("--weights and --random-weights exclude each other", "pass one of the two")


def open_chosen(
    family: Family,
    weights: str | None,
    seed: int | None = None,
    tokenizer: Path | None = None,
    vae: str | None = None,
    options: ScheduleOptions = NO_OPTIONS,
    safety_checker: str | None = None,
    adapters: Sequence[tuple[str, float]] = (),
    text_encoders: str | None = None,
) -> Checkpoint:
    """Open the checkpoint that the options of a command name.

    Args:
        family: the model.
        weights: the value of ``--weights``, or None.
        seed: the value of ``--random-weights``, or None.
        tokenizer: the value of ``--tokenizer``, or None.
        vae: the value of ``--vae``, or None.
        options: those of the schedule.
        safety_checker: the value of ``--safety-checker``, or None.
        adapters: the values of ``--lora``: what names a file, and its scale.
        text_encoders: the value of ``--text-encoders``, or None.

    Raises:
        UsageError: as :func:`choose_checkpoint`, and for options that do not suit the family.
        CheckpointError: as :func:`choose_checkpoint`, :func:`find_vae`,
            :func:`find_safety_checker`, :func:`find_adapter`, :func:`find_text_encoders` and
            :func:`wsd.checkpoint.checkpoint.open_checkpoint`.
    """
    other = None if vae is None else find_vae(vae, family)
    checker = None if safety_checker is None else find_safety_checker(safety_checker, family)
    files = [(find_adapter(text), scale) for text, scale in adapters]
    encoders = None if text_encoders is None else find_text_encoders(text_encoders, family)
    path = choose_checkpoint(
        family, weights, seed, own_vae=vae is None, own_encoders=text_encoders is None
    )
    checkpoint = open_checkpoint(path, family, tokenizer, other, options, checker, files, encoders)
    if tokenizer is not None:
        _note_own_tokenizers(checkpoint, tokenizer)
    return checkpoint


def _note_own_tokenizers(checkpoint: Checkpoint, given: Path) -> None:
    """Say that a tokenizer was given and is not read, since the checkpoint has its own."""
    for entry in checkpoint.family.tokenizers:
        found = checkpoint.source.tokenizer_files(entry)
        if found is not None and given not in (found.folder, found.folder.parent):
            _LOG.warning(
                "%s has a folder %s, which is read, and not %s",
                checkpoint.source.provenance, entry.name, given,
            )  # fmt: skip


def read_variant(
    family: Family,
    weights: str | None,
    vae: str | None = None,
    safety_checker: str | None = None,
    text_encoders: str | None = None,
    sizes: Sequence[Size] = (),
) -> Family:
    """Return the variant of a family that a checkpoint's configurations select, for a compiler.

    Only a checkpoint's scheduler does not matter to a compiler; see :func:`open_planned`.

    Args:
        family: the model.
        weights: the value of ``--weights``, or None.
        vae: the value of ``--vae``, or None.
        safety_checker: the value of ``--safety-checker``, or None.
        text_encoders: the value of ``--text-encoders``, or None.
        sizes: the values of ``--size``, about which there may be notes.

    Raises:
        UsageError, CheckpointError: as :func:`open_planned`.
    """
    options = replace(NOT_DENOISED, sizes=tuple(sizes))
    return open_planned(
        family, weights, vae=vae, options=options, safety_checker=safety_checker,
        text_encoders=text_encoders,
    ).family  # fmt: skip


def open_planned(
    family: Family,
    weights: str | None,
    seed: int | None = None,
    tokenizer: Path | None = None,
    vae: str | None = None,
    options: ScheduleOptions = NO_OPTIONS,
    safety_checker: str | None = None,
    adapters: Sequence[tuple[str, float]] = (),
    text_encoders: str | None = None,
) -> Checkpoint:
    """Open the checkpoint that the options of a command name, without its weights.

    It has the variant of the family and the scheduler that :func:`open_chosen` finds. Random
    weights are not drawn, a model that ships no weights is taken as it was published, and of the
    hub configurations alone are fetched, and adapters. What is on this machine is opened as for a
    build, so that a fault of it is found before a model is compiled for it.

    Args:
        family: the model.
        weights: the value of ``--weights``, or None.
        seed: the value of ``--random-weights``, or None.
        tokenizer: the value of ``--tokenizer``, or None.
        vae: the value of ``--vae``, or None.
        options: those of the schedule.
        safety_checker: the value of ``--safety-checker``, or None.
        adapters: the values of ``--lora``: what names a file, and its scale.
        text_encoders: the value of ``--text-encoders``, or None.

    Raises:
        UsageError: if both weights and a seed are given, and for options that do not suit the
            family.
        CheckpointError: if a checkpoint or a part of one cannot be found, or its configurations
            are refused.
    """
    _check_one(weights, seed)
    place = None if weights is None else _find(weights, "checkpoint", _TAKES)
    other = None if vae is None else _find(vae, "VAE", _VAE_TAKES)
    checker = None if safety_checker is None else _find_checker(safety_checker)
    encoders = None if text_encoders is None else _find_encoders(text_encoders)
    is_absent = seed is not None or (place is None and family.weights is None)
    if not is_absent and not any(isinstance(p, HubId) for p in (place, other, checker, encoders)):
        return open_chosen(
            family, weights, seed, tokenizer, vae, options, safety_checker, adapters, text_encoders
        )
    if isinstance(other, HubId):
        other = _fetch_vae_configuration(other, family)
    source: WeightSource
    if is_absent:
        source = AbsentWeights(family)
    elif not isinstance(place, HubId):
        source = open_source(choose_checkpoint(family, weights, None), family)
    elif place.file:
        source = _RemoteFile(find_remote_file(place), family)
        if options.draws:
            _LOG.warning(
                "%s is not fetched for a plan: how it is denoised is what %s was published with, "
                "and a build takes what the file says", place, family.name,
            )  # fmt: skip
    else:
        components = _own_components(family, own_vae=other is None, own_encoders=encoders is None)
        source = open_source(_open_hub(place, components).folder, family)
    if isinstance(encoders, HubId):
        encoders = (
            fetch_file(encoders)
            if encoders.file
            else _open_hub(encoders, family.text_encoders()).folder
        )
    if encoders is not None:
        source = TextEncodersOverride(source, open_text_encoders(encoders, family), family)
    family = choose_encoders(family, source)
    files = [(find_adapter(text), scale) for text, scale in adapters]
    options = follow_adapters(family, files, options)
    if other is not None:
        source = VaeOverride(source, other, family)
    if checker is not None:
        if isinstance(checker, HubId):
            checker = _open_checker(checker, require_safety_checker(family)).folder
        family, source, _ = add_safety_checker(family, source, checker)
    planned = read_configurations(family, source, options)
    return merge_adapters(planned, files)


def find_checkpoint(
    weights: str, family: Family, *, own_vae: bool = True, own_encoders: bool = True
) -> Path:
    """Return the diffusers folder or the single file that ``--weights`` names.

    Args:
        weights: a folder, a ``.safetensors`` or ``.gguf`` file, a hub id ``owner/name``, or a file
            of a hub repository ``owner/name/path/file.safetensors``; the last two optionally with
            ``@revision``.
        family: the model, which says what is fetched of a repository.
        own_vae: whether the checkpoint's VAE is fetched.
        own_encoders: whether its text encoders are.

    Raises:
        CheckpointError: if it is none of these, or cannot be fetched.
    """
    found = _find(weights, "checkpoint", _TAKES)
    if isinstance(found, Path):
        return found
    if found.file:
        return fetch_file(found)
    components = _own_components(family, own_vae=own_vae, own_encoders=own_encoders)
    more = [
        "self-test.json",
        "example-pictures/*.png",
        CARD,
        *LICENSE_FILES,
        *_list_tokenizers(family),
    ]
    snapshot = _open_hub(found, components, more)
    places = _list_places(snapshot, family, components)
    return _fetch_weights(snapshot, places, ["example-loras/*.safetensors"])


def find_text_encoders(text: str, family: Family) -> Path:
    """Return the folder or file that ``--text-encoders`` names.

    Args:
        text: a folder, a file, or either on the hub.
        family: the model whose text encoders they are.

    Raises:
        CheckpointError: if it is none of these, or cannot be fetched.
    """
    found = _find_encoders(text)
    if isinstance(found, Path):
        return found
    if found.file:
        return fetch_file(found)
    encoders = family.text_encoders()
    snapshot = _open_hub(found, encoders, [CARD, *LICENSE_FILES, *_list_tokenizers(family)])
    return _fetch_weights(snapshot, _list_places(snapshot, family, encoders))


def _find_encoders(text: str) -> Path | HubId:
    return _find(text, "text encoders", _ENCODERS_TAKE)


def _list_tokenizers(family: Family) -> list[str]:
    """Return the paths of all files that a repository may have of a family's tokenizers."""
    return [
        f"{entry.name}/{file}"
        for entry in family.tokenizers
        for file in list_tokenizer_files(entry.kind)
    ]


def _list_places(
    snapshot: Snapshot, family: Family, components: Sequence[Component]
) -> list[tuple[Component, str]]:
    """Return components with their folders, without those that may be absent and are.

    :func:`wsd.checkpoint.checkpoint.choose_encoders` says what is absent.
    """
    return [
        (component, component.folder)
        for component in components
        if component.id not in family.conditioning.optional
        or any(name.startswith(f"{component.folder}/") for name in snapshot.names)
    ]


def find_vae(vae: str, family: Family) -> Path:
    """Return the folder or file that ``--vae`` names.

    Args:
        vae: a file, a folder, or either on the hub.
        family: the model whose VAE it replaces.

    Raises:
        CheckpointError: if it is none of these, or cannot be fetched.
    """
    found = _find(vae, "VAE", _VAE_TAKES)
    if isinstance(found, Path):
        return found
    if found.file:
        # A file of diffusers' name has its configuration beside it.
        return fetch_file(found, beside=["config.json"])
    component = family.component(VAE_DECODER)
    snapshot = open_snapshot(found, ["config.json", f"{component.folder}/config.json"])
    inside = any(name.startswith(f"{component.folder}/") for name in snapshot.names)
    return _fetch_weights(snapshot, [(component, component.folder if inside else "")])


def find_safety_checker(text: str, family: Family) -> Path:
    """Return the folder that ``--safety-checker`` names.

    Args:
        text: a folder, or a repository on the hub.
        family: the model whose pictures it looks at.

    Raises:
        UsageError: if the family's architecture has none.
        CheckpointError: if it is no folder, or cannot be fetched.
    """
    component = require_safety_checker(family)
    found = _find_checker(text)
    if isinstance(found, Path):
        return found
    snapshot = _open_checker(found, component)
    inside = any(name.startswith(f"{component.folder}/") for name in snapshot.names)
    return _fetch_weights(snapshot, [(component, component.folder if inside else "")])


def find_adapter(text: str) -> Path:
    """Return the file that ``--lora`` names.

    Args:
        text: a file, or a file of a repository on the hub.

    Raises:
        CheckpointError: if it is neither, or cannot be fetched.
    """
    found = _find(text, "adapter", _ADAPTER_TAKES)
    if isinstance(found, Path):
        if found.is_dir() or found.suffix.lower() != ".safetensors":
            kind = "a folder" if found.is_dir() else "no .safetensors file"
            raise CheckpointError(f"adapter {found} is {kind}", _ADAPTER_TAKES)
        return found
    if not found.file:
        raise CheckpointError(f"adapter {found} names a whole repository", _ADAPTER_TAKES)
    return fetch_file(found)


def _find_checker(text: str) -> Path | HubId:
    """Return the folder that is there, or the repository that is meant on the hub."""
    found = _find(text, "safety checker", _CHECKER_TAKES)
    if isinstance(found, Path) and found.is_file():
        raise CheckpointError(f"safety checker {found} is a file", _CHECKER_TAKES)
    if isinstance(found, HubId) and found.file:
        raise CheckpointError(f"safety checker {found} is a file of the hub", _CHECKER_TAKES)
    return found


def _open_checker(hub_id: HubId, component: Component) -> Snapshot:
    """Fetch all of a safety checker's files but its weights."""
    names = ("config.json", PREPROCESSOR)
    inside = [f"{component.folder}/{name}" for name in names]
    return open_snapshot(hub_id, [*names, *inside, FEATURE_EXTRACTOR, CARD, *LICENSE_FILES])


class _RemoteFile(SingleFile):
    """A single file of the hub that is not fetched: it has no configurations to read.

    What it says of how it is denoised is not known, and neither is which text encoders it lacks.
    """

    @property
    def markers(self) -> frozenset[str]:
        """Return none: they decide how pictures are drawn, and not what is compiled."""
        return frozenset()

    @property
    def stated_prediction(self) -> str:
        """Return nothing: it is not read either."""
        return ""

    def lacks(self, component: Component) -> bool:
        """Tell that nothing is lacking; whoever knows better leaves a text encoder out."""
        del component
        return False


def _own_components(family: Family, *, own_vae: bool, own_encoders: bool) -> list[Component]:
    """Return the components that are read of a checkpoint itself."""
    own = {VAE_DECODER: own_vae, TEXT_ENCODER: own_encoders}
    return [component for component in family.components if own.get(component.role, True)]


def _open_hub(hub_id: HubId, components: Sequence[Component], more: Sequence[str] = ()) -> Snapshot:
    """Fetch the configurations of a repository in the diffusers layout, and some more files."""
    configs = [f"{component.folder}/config.json" for component in components]
    snapshot = open_snapshot(hub_id, [*_PIPELINE_FILES, *configs, *more])
    _check_layout(snapshot, components)
    return snapshot


def _fetch_vae_configuration(hub_id: HubId, family: Family) -> Path:
    """Return the folder or file of a VAE of the hub, of which its configuration is fetched."""
    if hub_id.file:
        path = find_remote_file(hub_id)
        folder = hub_id.file.rpartition("/")[0]
        open_snapshot(hub_id, [glob.escape(f"{folder}/config.json" if folder else "config.json")])
        return path
    inside = f"{family.component(VAE_DECODER).folder}/config.json"
    return open_snapshot(hub_id, ["config.json", inside]).folder


def _find(text: str, what: str, hint: str) -> Path | HubId:
    """Return the path that is there, or what is meant on the hub."""
    path = Path(text)
    # On the hub, a revision follows an @; the path of a file that is here may hold one.
    suffix = (path if path.exists() else Path(text.partition("@")[0])).suffix.lower()
    if path.is_dir() or (path.is_file() and suffix in _READABLE):
        return path
    if suffix in _PICKLES:
        raise CheckpointError(
            f"{what} {path} is a pickle, which can run code when it is read",
            "convert it to .safetensors, or fetch that version",
        )
    if path.exists():
        kind = "a .safetensors or .gguf file" if path.is_file() else "a folder or a regular file"
        raise CheckpointError(f"{what} {path} is not {kind}", hint)
    if _looks_local(text, suffix):
        owner, slash, _ = text.partition("/")
        if slash and owner and not owner.startswith((".", "~")) and Path(owner).is_dir():
            hint += f"; the hub is not asked while there is a folder {owner} here"
        if "://" in text or text.startswith(_HUB):
            hint = (
                "addresses are not read; of the hub, pass owner/name or owner/name/file.safetensors"
            )
        raise CheckpointError(f"{what} {text} does not exist", hint)
    return parse_hub_id(text)


def _looks_local(text: str, suffix: str) -> bool:
    """Tell whether a path that is not there was meant to be on this machine."""
    path = text.partition("@")[0]
    parts = path.split("/")
    if len(parts) < 2 or not all(parts) or text.startswith((".", "/", "~")):
        return True
    is_file = suffix in _READABLE
    # Two levels are a repository, whose name ends in no suffix; more name a file inside one.
    if is_file != (len(parts) > 2):
        return True
    return Path(parts[0]).is_dir()


def _check_layout(snapshot: Snapshot, components: Sequence[Component]) -> None:
    """Refuse a repository that is no diffusers folder, and name the files that it has instead."""
    if any(name.startswith(f"{c.folder}/") for name in snapshot.names for c in components):
        return
    repository, _, revision = snapshot.hub_id
    files = sorted(name for name in snapshot.names if Path(name).suffix.lower() in _READABLE)
    shown = [str(HubId(repository, name, revision)) for name in files[:5]]
    raise CheckpointError(
        f"{snapshot.hub_id} is no repository in the diffusers layout: it has no folder "
        f"{components[0].folder}",
        f"name one of its files: {', '.join(shown)}" if shown else _TAKES,
    )


def _fetch_weights(
    snapshot: Snapshot, places: Sequence[tuple[Component, str]], beside: Sequence[str] = ()
) -> Path:
    """Fetch the weight files of components, each in its folder, and what they are listed in.

    `beside` are patterns of large files that are fetched only with the weights.
    """
    wanted: list[str] = []
    for component, folder in places:
        inside = f"{folder}/" if folder else ""
        names = [
            name.removeprefix(inside)
            for name in snapshot.names
            if name.startswith(inside) and "/" not in name.removeprefix(inside)
        ]
        read = partial(_read_index, snapshot, inside, wanted)
        place = f"{snapshot.hub_id}/{folder}" if folder else snapshot.hub_id
        wanted += [
            inside + name for name in choose_weight_files(names, component.layout, read, place)
        ]
    return snapshot.fetch([*(glob.escape(name) for name in wanted), *beside])


def _read_index(
    snapshot: Snapshot, inside: str, wanted: list[str], index: str
) -> dict[str, object]:
    """Fetch an index of shards and return it; it is wanted beside them."""
    wanted.append(inside + index)
    return read_json(snapshot.fetch([glob.escape(inside + index)]) / inside / index)
