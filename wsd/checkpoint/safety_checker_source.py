"""A checkpoint with a safety checker from elsewhere: ``--safety-checker``.

diffusers' folders of Stable Diffusion 1.x have one beside the model, and others come alone. Only
what is named is read: a checkpoint's own checker is left out unless it is named too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.diffusers_folder import describe_place, list_folder, list_weight_files
from wsd.checkpoint.image_processor import ImageProcessor, read_image_processor
from wsd.checkpoint.leftovers import drop_unused_layers
from wsd.checkpoint.links import check_inside
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.checkpoint.weight_source import (
    Shape,
    TokenizerFiles,
    WeightSource,
    check_complete,
    check_tensor,
    read_expected,
    read_json,
)
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer
from wsd.spec.roles import SAFETY_CHECKER
from wsd.util.hashing import sha256_once

PREPROCESSOR = "preprocessor_config.json"
# Where a diffusers folder has it.
FEATURE_EXTRACTOR = f"feature_extractor/{PREPROCESSOR}"
# The numbers 0 to n - 1, which older files hold.
_POSITIONS = "position_ids"


class SafetyCheckerFolder:
    """A folder with a safety checker.

    Args:
        path: the checker's own folder, or a diffusers folder that has one.
        component: how it is compiled.
    """

    def __init__(self, path: Path, component: Component) -> None:
        self._root = path
        inside = path / component.folder
        self.path = inside if inside.is_dir() else path
        self._component = component

    @property
    def provenance(self) -> str:
        """Return hub id and commit of a hub's snapshot, else the folder's name."""
        return describe_place(self.path)

    @property
    def stated_license(self) -> str:
        """Return nothing: a folder states its licence in its card."""
        return ""

    @property
    def config_place(self) -> str:
        """Return how messages name its ``config.json``."""
        return f"{self.provenance}/config.json"

    def config(self) -> Mapping[str, Any]:
        """Return its ``config.json``.

        Raises:
            CheckpointError: if it is missing or unreadable.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise CheckpointError(
                f"{self.path} has no config.json, so it is no safety checker",
                "--safety-checker takes a folder with config.json and model.safetensors, or a "
                f"diffusers folder that has a folder {self._component.folder}",
            )
        return read_json(path)

    def image_processor(self, edge: int) -> ImageProcessor:
        """Return how pictures are prepared for it.

        Args:
            edge: width and height in pixels of the pictures that its image encoder takes.

        Raises:
            CheckpointError: as :func:`wsd.checkpoint.image_processor.read_image_processor`.
        """
        places = (self.path / PREPROCESSOR, self._root / FEATURE_EXTRACTOR)
        found = next((path for path in places if path.is_file()), None)
        return read_image_processor(found, edge)

    def extra_file(self, name: str) -> Path | None:
        """Return a file that states its licence; None if it is not there.

        Raises:
            CheckpointError: if it is a link out of the folder.
        """
        path = self._root / name
        return check_inside(path, self._root) if os.path.lexists(path) else None

    def files(self) -> list[Path]:
        """Return the files with its weights."""
        return list_weight_files(self.path.parent, self._component, self.path.name)

    @cached_property
    def stored(self) -> dict[str, StoredTensor]:
        """Return its tensors, by their names in the files."""
        return list_folder(self.path, self._component)


class WithSafetyChecker:
    """A weight source with a safety checker beside its own components.

    Args:
        base: the checkpoint.
        checker: where the checker is.
        family: the family that both are opened for.
    """

    def __init__(self, base: WeightSource, checker: SafetyCheckerFolder, family: Family) -> None:
        self._base = base
        self.checker = checker
        self._family = family

    @property
    def provenance(self) -> str:
        """Return the checkpoint's; the manifest has the checker's beside it."""
        return self._base.provenance

    @property
    def markers(self) -> frozenset[str]:
        """Return the checkpoint's."""
        return self._base.markers

    @property
    def stated_license(self) -> str:
        """Return the checkpoint's."""
        return self._base.stated_license

    @property
    def stated_prediction(self) -> str:
        """Return the checkpoint's."""
        return self._base.stated_prediction

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors; see :class:`wsd.checkpoint.weight_source.WeightSource`."""
        if component.role != SAFETY_CHECKER:
            yield from self._base.tensors(component, expected)
            return
        stored = self.checker.stored
        found, _ = list_names(component).match(stored)
        yield from read_expected(found, expected, stored, self.checker.path)

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters its files lack."""
        return [] if component.role == SAFETY_CHECKER else self._base.missing(component)

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors that are missing, left over, of a wrong shape, or of a wrong format."""
        self._base.check_tensors([c for c in components if c.role != SAFETY_CHECKER])
        for component in components:
            if component.role == SAFETY_CHECKER:
                self._check_checker(component)

    def _check_checker(self, component: Component) -> None:
        names = list_names(component)
        stored, place = self.checker.stored, self.checker.path
        found, leftover = names.match(stored)
        for name, tensor in found.items():
            check_tensor(tensor, names.shapes[name], stored)
        for tensor in drop_unused_layers(leftover, self._family, component):
            if not tensor.key.endswith(_POSITIONS):
                raise CheckpointError(
                    f"{tensor.path}: tensor {tensor.key} is not read by {component.class_name}",
                    "without it, other pictures would be flagged: fetch the safety checker again",
                )
        check_complete(found, names.required, place)

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the files that a component's tensors are in."""
        if component.role != SAFETY_CHECKER:
            return self._base.digests(component)
        return [sha256_once(path) for path in self.checker.files()]

    def component_config(self, component: Component) -> Mapping[str, Any] | None:
        """Return the component's ``config.json``."""
        if component.role != SAFETY_CHECKER:
            return self._base.component_config(component)
        return self.checker.config()

    def config_place(self, component: Component) -> str:
        """Return the checker's own file for the checker, else the checkpoint's."""
        if component.role != SAFETY_CHECKER:
            return self._base.config_place(component)
        return self.checker.config_place

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return the checkpoint's."""
        return self._base.scheduler_config()

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the checkpoint's."""
        return self._base.tokenizer_files(tokenizer)

    def extra_file(self, name: str) -> Path | None:
        """Return the checkpoint's."""
        return self._base.extra_file(name)
