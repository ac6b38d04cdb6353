"""A checkpoint with a safety checker from elsewhere: ``--safety-checker``.

diffusers' folders of Stable Diffusion 1.x have one beside the model, and others come alone. Only
what is named is read: a checkpoint's own checker is left out unless it is named too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.component_override import ComponentOverride
from wsd.checkpoint.diffusers_folder import describe_place, list_folder, list_weight_files
from wsd.checkpoint.image_processor import ImageProcessor, read_image_processor
from wsd.checkpoint.leftovers import drop_unused_layers
from wsd.checkpoint.links import check_inside
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.checkpoint.weight_source import (
    Shape,
    WeightSource,
    check_complete,
    check_tensor,
    read_expected,
    read_json,
)
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family
from wsd.spec.roles import SAFETY_CHECKER

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


class WithSafetyChecker(ComponentOverride):
    """A weight source with a safety checker beside its own components.

    The provenance is the checkpoint's: the manifest has the checker's beside it.

    Args:
        base: the checkpoint.
        checker: where the checker is.
        family: the family that both are opened for.
    """

    def __init__(self, base: WeightSource, checker: SafetyCheckerFolder, family: Family) -> None:
        super().__init__(base, SAFETY_CHECKER)
        self.checker = checker
        self._family = family

    def _read(self, component: Component, expected: Mapping[str, Shape]) -> Iterator[torch.Tensor]:
        stored = self.checker.stored
        found, _ = list_names(component).match(stored)
        return read_expected(found, expected, stored, self.checker.path)

    def _list_missing(self, component: Component) -> list[str]:  # noqa: ARG002
        """Return none: a checker is read whole."""
        return []

    def _check(self, component: Component) -> None:
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

    def _files(self) -> list[Path]:
        return self.checker.files()

    def _config(self) -> Mapping[str, Any]:
        return self.checker.config()

    def _config_place(self) -> str:
        return self.checker.config_place
