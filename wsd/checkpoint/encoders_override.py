"""A checkpoint whose text encoders come from elsewhere: ``--text-encoders``.

Stable Diffusion 3.5 is published as a file without text encoders too, which lie beside it as files
of their own, as ComfyUI reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.checkpoint.passed_on import PassedOn
from wsd.checkpoint.single_file import SingleFile, list_file
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.checkpoint.weight_source import Shape, TokenizerFiles, WeightSource
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer
from wsd.spec.self_test import FILE_NAME
from wsd.util.hashing import sha256_once


class EncoderFiles(SingleFile):
    """A folder with a file for each text encoder, by the names that ComfyUI's users know.

    Args:
        folder: of the files. :attr:`wsd.models.architecture.Architecture.encoder_files` says how
            their names begin.
        family: the family that it is opened for.

    Raises:
        CheckpointError: if there are two files of one encoder.
    """

    def __init__(self, folder: Path, family: Family) -> None:
        super().__init__(folder, family)
        self._files = {
            component.id: path
            for component in family.text_encoders()
            if (path := _find_file(folder, family, component)) is not None
        }

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of the encoder's file."""
        return [sha256_once(self._files[component.id])]

    @cached_property
    def _stored(self) -> dict[str, StoredTensor]:
        """All tensors, with the names that they have in a file that holds all of a checkpoint."""
        components = {component.id: component for component in self._family.components}
        found: dict[str, StoredTensor] = {}
        for name, path in self._files.items():
            [prefix] = self._keys(components[name]).prefixes
            for key, tensor in list_file(path).items():
                found[prefix + key] = replace(tensor, key=prefix + key)
        return found


def _find_file(folder: Path, family: Family, component: Component) -> Path | None:
    stem = family.architecture.encoder_files.get(component.id)
    if stem is None:
        return None
    found = sorted(
        path for path in folder.glob(f"{stem}*.safetensors") if not path.name.startswith(".")
    )
    if len(found) > 1:
        raise CheckpointError(
            f"{folder}: both {found[0].name} and {found[1].name} are of {component.id}",
            "leave one of them there, or name a folder with copies of the right ones",
        )
    return found[0] if found else None


def open_text_encoders(path: Path, family: Family) -> WeightSource:
    """Return what holds text encoders as a weight source.

    Args:
        path: a diffusers folder, a folder with a file for each encoder, or a single file.
        family: the family that it is opened for.

    Raises:
        CheckpointError: if it holds none of the family's text encoders.
    """
    source: WeightSource
    encoders = family.text_encoders()
    if path.is_file():
        source = SingleFile(path, family)
    elif any((path / encoder.folder).is_dir() for encoder in encoders):
        source = DiffusersFolder(path, family)
    else:
        source = EncoderFiles(path, family)
    if all(source.lacks(encoder) for encoder in encoders):
        names = ", ".join(family.architecture.encoder_files.values())
        files = f", or files whose names begin with {names}" if names else ""
        hint = f"it must have the folders {', '.join(e.folder for e in encoders)}{files}"
        if path.is_file() and names:
            hint = (
                f"for files of one encoder each, whose names begin with {names}, name the folder "
                "that they lie in"
            )
        raise CheckpointError(f"{path} holds no text encoder of {family.name}", hint)
    return source


class TextEncodersOverride(PassedOn):
    """A weight source whose text encoders come from elsewhere.

    Args:
        base: the checkpoint.
        encoders: what :func:`open_text_encoders` returned.
        family: the family that both are opened for.
    """

    def __init__(self, base: WeightSource, encoders: WeightSource, family: Family) -> None:
        super().__init__(base)
        self._encoders = encoders
        self._ids = frozenset(component.id for component in family.text_encoders())

    @property
    def provenance(self) -> str:
        """Return the checkpoint's, and the encoders'."""
        return f"{self._base.provenance} with text encoders {self._encoders.provenance}"

    def lacks(self, component: Component) -> bool:
        """Tell whether the source of a component has nothing of it."""
        return self._of(component).lacks(component)

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors in the given order, one in memory at a time."""
        return self._of(component).tensors(component, expected)

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters its files lack."""
        return self._of(component).missing(component)

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors that are missing, left over, of a wrong shape, or of a wrong format."""
        self._base.check_tensors([c for c in components if c.id not in self._ids])
        self._encoders.check_tensors([c for c in components if c.id in self._ids])

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the files that a component's tensors are in."""
        return self._of(component).digests(component)

    def component_config(self, component: Component) -> Mapping[str, Any] | None:
        """Return the component's ``config.json``."""
        return self._of(component).component_config(component)

    def config_place(self, component: Component) -> str:
        """Return how messages name the component's ``config.json``."""
        return self._of(component).config_place(component)

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the tokenizer that came with the encoders, else the checkpoint's."""
        return self._encoders.tokenizer_files(tokenizer) or self._base.tokenizer_files(tokenizer)

    def extra_file(self, name: str) -> Path | None:
        """Return a file of the checkpoint that holds with any text encoders."""
        # A self-test beside the checkpoint is of other encoders.
        return None if name == FILE_NAME else self._base.extra_file(name)

    def _of(self, component: Component) -> WeightSource:
        return self._encoders if component.id in self._ids else self._base
