"""A checkpoint with another VAE: ``--vae``.

Checkpoints of SD 1.x are often drawn with a VAE from another file, because theirs is missing or
worse. Everything but the VAE is the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.component_override import ComponentOverride
from wsd.checkpoint.diffusers_folder import (
    check_component,
    describe_place,
    list_folder,
    list_weight_files,
)
from wsd.checkpoint.leftovers import check_leftovers
from wsd.checkpoint.model_card import CARD, LICENSE_FILES
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.single_file import list_file
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
from wsd.spec.roles import VAE_DECODER

# Files beside a checkpoint's weights that are right with any VAE; a self-test is not.
_KEPT = ("model_index.json", "example-loras", CARD, *LICENSE_FILES)
Stored = dict[str, StoredTensor]


class VaeOverride(ComponentOverride):
    """A weight source whose VAE comes from elsewhere.

    Args:
        base: the checkpoint.
        path: the VAE: a file in diffusers' or the original layout, a folder in the diffusers
            layout, or a checkpoint's folder that has one.
        family: the family that both are opened for.
    """

    def __init__(self, base: WeightSource, path: Path, family: Family) -> None:
        super().__init__(base, VAE_DECODER)
        self._family = family
        self._component = family.component(VAE_DECODER)
        inside = path / self._component.folder
        self._path = inside if inside.is_dir() else path

    @property
    def provenance(self) -> str:
        """Return the checkpoint's, and the VAE's."""
        return f"{self._base.provenance} with VAE {describe_place(self._path)}"

    def extra_file(self, name: str) -> Path | None:
        """Return a file of the checkpoint that holds with any VAE."""
        return self._base.extra_file(name) if name in _KEPT else None

    def _read(self, component: Component, expected: Mapping[str, Shape]) -> Iterator[torch.Tensor]:
        found, _ = self._match(component)
        return read_expected(found, expected, self._stored, self._path)

    def _list_missing(self, component: Component) -> list[str]:
        found, _ = self._match(component)
        names = list_names(component)
        return [name for name in names.optional if name not in found]

    def _check(self, component: Component) -> None:
        if self._path.is_dir():
            check_component(self._family, component, self._stored, self._path)
            return
        names = list_names(component)
        found, leftover = self._match(component)
        if not found:
            raise CheckpointError(
                f"{self._path}: no tensor in it is of {component.id} ({component.class_name})",
                "--vae takes the file of a VAE, or of a whole checkpoint that has one; of a tiny "
                "autoencoder it takes the folder, or the file of the original decoder",
            )
        for name, tensor in found.items():
            check_tensor(tensor, names.shapes[name], self._stored)
        check_leftovers(leftover, self._family, f"{component.id} ({component.class_name})")
        check_complete(found, names.required, self._path)

    def _config(self) -> Mapping[str, Any] | None:
        """Return the VAE's ``config.json``, or what its tensors tell of it.

        None stands for the family's.
        """
        path = self._find_config()
        return self._told_config if path is None else read_json(path)

    def _config_place(self) -> str:
        if self._told_config is None:
            return f"{describe_place(self._folder())}/config.json"
        return describe_place(self._path)

    def _find_config(self) -> Path | None:
        """Return the VAE's ``config.json``, if there is one."""
        # One beside a file of another name may belong to another model.
        if self._path.is_file() and not self._path.name.startswith("diffusion_pytorch_model."):
            return None
        path = self._folder() / "config.json"
        return path if path.exists() else None

    @cached_property
    def _told_config(self) -> Mapping[str, Any] | None:
        """Return the configuration of an alternative as a file's tensors tell it; None for none."""
        if self._path.is_dir() or self._find_config() is not None:
            return None
        for component in self._component.alternatives:
            keys = self._family.architecture.single_file_keys(self._family, component)
            configure = None if keys is None else keys.configure
            if configure is not None and (told := configure(self._stored)) is not None:
                return told
        return None

    def _folder(self) -> Path:
        return self._path if self._path.is_dir() else self._path.parent

    def _files(self) -> list[Path]:
        if self._path.is_file():
            return [self._path]
        return list_weight_files(self._path.parent, self._component, self._path.name)

    @cached_property
    def _stored(self) -> Stored:
        if self._path.is_dir():
            return list_folder(self._path, self._component)
        stored = list_file(self._path)
        # If the file is a whole checkpoint, only its VAE is taken.
        prefixes = self._prefixes()
        return {k: t for k, t in stored.items() if k.startswith(prefixes)} or stored

    def _prefixes(self) -> tuple[str, ...]:
        keys = self._family.architecture.single_file_keys(self._family, self._component)
        return () if keys is None else keys.prefixes

    def _match(self, component: Component) -> tuple[Stored, list[StoredTensor]]:
        """Return the tensors by the module's names in the layout that fits, and those left over.

        Args:
            component: the VAE, of the class that its configuration names.
        """
        names = list_names(component)
        direct = names.match(self._stored)
        keys = self._family.architecture.single_file_keys(self._family, component)
        if keys is None:
            return direct
        prefix = (
            "" if any(key.startswith(keys.prefixes) for key in self._stored) else keys.prefixes[0]
        )
        converted = keys.convert({prefix + key: tensor for key, tensor in self._stored.items()})
        found, _ = names.match(converted)
        if len(found) <= len(direct[0]):
            return direct
        used = {tensor.key for tensor in found.values()}
        return found, [tensor for key, tensor in self._stored.items() if key not in used]
