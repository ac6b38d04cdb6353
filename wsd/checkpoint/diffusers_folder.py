"""A folder in the diffusers layout as a weight source.

Snapshots of the hub and random weights are such folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.leftovers import check_leftovers, drop_unused_layers
from wsd.checkpoint.links import check_inside
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.number_formats import dequantize
from wsd.checkpoint.safetensors_file import check_regular, list_safetensors
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.checkpoint.weight_files import choose_weight_files
from wsd.checkpoint.weight_source import (
    Shape,
    TokenizerFiles,
    check_complete,
    check_tensor,
    given_tokenizer,
    read_expected,
    read_json,
)
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer
from wsd.util.hashing import sha256_once


class DiffusersFolder:
    """A folder with one subfolder for each component, tokenizer and scheduler.

    Args:
        path: the folder.
        family: the family that it is opened for.
        tokenizer: folder with the files of a tokenizer, for a checkpoint that has none.
    """

    def __init__(self, path: Path, family: Family, tokenizer: Path | None = None) -> None:
        self.path = path
        self._family = family
        self._tokenizer = tokenizer

    @property
    def provenance(self) -> str:
        """Return hub id and commit of a hub's snapshot, else the folder's name."""
        return describe_place(self.path)

    @property
    def markers(self) -> frozenset[str]:
        """Return none: a folder says how it is denoised in its scheduler's configuration."""
        return frozenset()

    @property
    def stated_license(self) -> str:
        """Return nothing: a folder states its licence in its card."""
        return ""

    @property
    def stated_prediction(self) -> str:
        """Return nothing: a folder says it in its scheduler's configuration."""
        return ""

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors; see :class:`wsd.checkpoint.weight_source.WeightSource`."""
        stored = list_folder(self.path / component.folder, component)
        found, _ = list_names(component).match(stored)
        yield from read_expected(found, expected, stored, self.path / component.folder)

    def lacks(self, component: Component) -> bool:
        """Tell whether the folder has no such component, or says that it is left out."""
        index = self.extra_file("model_index.json")
        if index is not None and component.id in (said := read_json(index)):
            # diffusers writes a list of two nulls for what is None.
            return said[component.id] in (None, [None, None])
        return not (self.path / component.folder).is_dir()

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters the folder lacks."""
        names = list_names(component)
        found, _ = names.match(list_folder(self.path / component.folder, component))
        return [name for name in names.optional if name not in found]

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors that are missing, left over, of a wrong shape, or of a wrong format."""
        for component in components:
            place = self.path / component.folder
            check_component(self._family, component, list_folder(place, component), place)

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the component's weight files."""
        return [sha256_once(path) for path in list_weight_files(self.path, component)]

    def component_config(self, component: Component) -> Mapping[str, Any]:
        """Return the component's ``config.json``.

        Raises:
            CheckpointError: if its folder or the file is missing, or the file is unreadable.
        """
        if not (self.path / component.folder).is_dir():
            folders = ", ".join(c.folder for c in self._family.components)
            hint = f"pass the folder of a whole checkpoint, with the folders {folders}"
            if component.id in self._family.conditioning.optional:
                hint += (
                    "; or leave this text encoder out with --no-text-encoder-3, or take it from "
                    "elsewhere with --text-encoders"
                )
            raise CheckpointError(f"{self.path} has no folder {component.folder}", hint)
        found = read_json(self.path / component.folder / "config.json")
        return {**found, **self._class_of(component, found)}

    def _class_of(self, component: Component, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the class that ``model_index.json`` names, where a component may have several.

        diffusers takes the class from there, and reads the configuration as that class does.

        Args:
            component: one of the family's.
            found: its ``config.json``.

        Raises:
            CheckpointError: if the two name different ones of the classes.
        """
        classes = [each.class_name for each in (component, *component.alternatives)]
        index = self.extra_file("model_index.json")
        if len(classes) == 1 or index is None:
            return {}
        member = read_json(index).get(component.id)
        named = next((c for c in classes if isinstance(member, list) and c == member[-1]), None)
        own = found.get("_class_name", named)
        if named is not None and own in classes and own != named:
            raise CheckpointError(
                f"{self.config_place(component)}: _class_name is {own}, but model_index.json names "
                f"{named}",
                f"correct the one that is wrong: diffusers would read the files as {named}",
            )
        return {} if own is None else {"_class_name": own}

    def config_place(self, component: Component) -> str:
        """Return the file in the component's folder."""
        return f"{self.provenance}/{component.folder}/config.json"

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return ``scheduler/scheduler_config.json``, which need not name its class.

        A null in it is a value, as for diffusers.
        """
        path = self.path / "scheduler" / "scheduler_config.json"
        # A link to nowhere is not absent: a download that was cut short leaves it.
        if not os.path.lexists(path):
            return None
        found = dict(read_json(path))
        found.pop("_diffusers_version", None)
        return found

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the folder's own tokenizer, else the one that was given."""
        own = self.path / tokenizer.name
        if own.is_dir():
            return TokenizerFiles(check_inside(own, self.path), checkpoint=self.path)
        return given_tokenizer(self._tokenizer, tokenizer)

    def extra_file(self, name: str) -> Path | None:
        """Return the path of what the folder has by this name, if anything; it need not be a file.

        Raises:
            CheckpointError: if it is a link out of the folder.
        """
        path = self.path / name
        return check_inside(path, self.path) if os.path.lexists(path) else None


def describe_place(path: Path) -> str:
    """Return hub id, path and commit of what lies in the hub's cache, else the path's name."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the cache's links
    for snapshot in (path, *path.parents):
        if snapshot.parent.name == "snapshots":
            repository = snapshot.parent.parent.name.removeprefix("models--").replace("--", "/")
            inside = path.relative_to(snapshot).as_posix()
            return f"{repository}{'' if inside == '.' else f'/{inside}'}@{snapshot.name}"
    return path.name


def list_weight_files(
    folder: Path, component: Component, subfolder: str | None = None
) -> list[Path]:
    """Return the files that hold a component's weights, in the order in which they are read.

    Args:
        folder: of the checkpoint.
        component: whose weights.
        subfolder: of the component; its own unless given.

    Raises:
        CheckpointError: if there are none, or one is missing or no regular file.
    """
    place = folder / (component.folder if subfolder is None else subfolder)
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    chosen = choose_weight_files(
        names, component.layout, lambda index: read_json(place / index), place
    )
    for name in chosen:
        check_regular(place / name)
    return [place / name for name in chosen]


def list_folder(place: Path, component: Component) -> dict[str, StoredTensor]:
    """Return the tensors in a component's folder, by their names in the files.

    Args:
        place: the component's folder.
        component: whose class decides how the files are named.

    Raises:
        CheckpointError: if a file is missing or unreadable, or two hold the same tensor.
    """
    stored: dict[str, StoredTensor] = {}
    for path in list_weight_files(place.parent, component, place.name):
        for key, tensor in list_safetensors(path).items():
            if key in stored:
                raise CheckpointError(
                    f"{path}: tensor {key} is in {stored[key].path.name} too",
                    "the shards are of two checkpoints: fetch it again",
                )
            stored[key] = tensor
    return dequantize(stored)


def check_component(
    family: Family, component: Component, stored: Mapping[str, StoredTensor], place: Path
) -> None:
    """Refuse a component's files if a tensor is missing, or one is not or cannot be read.

    Args:
        family: whose architecture says which tensors nobody needs to read.
        component: whose files they are.
        stored: all of their tensors.
        place: file or folder to name in an error.

    Raises:
        CheckpointError: naming the tensor.
    """
    names = list_names(component)
    found, leftover = names.match(stored)
    for name, tensor in found.items():
        check_tensor(tensor, names.shapes[name], stored)
    leftover = drop_unused_layers(leftover, family, component)
    check_leftovers(leftover, family, f"{component.id} ({component.class_name})")
    check_complete(found, names.required, place)
