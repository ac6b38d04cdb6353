"""A folder in the diffusers layout as a weight source.

Snapshots of the hub and random weights are such folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.safetensors_file import open_tensors
from wsd.checkpoint.weight_source import (
    Identity,
    TensorIndex,
    TokenizerFiles,
    read_expected,
    read_json,
    stat_identity,
)
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer
from wsd.util.hashing import sha256_file


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
        if self.path.parent.name != "snapshots":
            return self.path.name
        repository = self.path.parent.parent.name.removeprefix("models--").replace("--", "/")
        return f"{repository}@{self.path.name}"

    def tensors(
        self, component: Component, expected: Mapping[str, tuple[int, ...]]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors; see :class:`wsd.checkpoint.weight_source.WeightSource`."""
        folder = self.path / component.folder
        names = partial(self._family.architecture.file_names, component)
        with ExitStack() as stack:
            index: TensorIndex = {
                key: (path, partial(reader.get_tensor, key))
                for path in self._weight_files(component)
                for reader in [stack.enter_context(open_tensors(path))]
                for key in list(reader.keys())
            }
            if not index:
                raise CheckpointError(
                    f"{folder}: no .safetensors file here",
                    "each component needs its weights as safetensors: convert or fetch them",
                )
            yield from read_expected(index, expected, names, folder)

    def identity(self, component: Component) -> Identity:
        """Return path, size and time of change of each of the component's weight files."""
        return stat_identity(self._weight_files(component))

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the component's weight files."""
        return [sha256_file(path) for path in self._weight_files(component)]

    def component_config(self, component: Component) -> Mapping[str, Any]:
        """Return the component's ``config.json``."""
        return read_json(self.path / component.folder / "config.json")

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return ``scheduler/scheduler_config.json``, without entries that are null."""
        path = self.path / "scheduler" / "scheduler_config.json"
        if not path.exists():
            return None
        found = {key: value for key, value in read_json(path).items() if value is not None}
        if "_class_name" not in found:
            raise CheckpointError(
                f"{path}: _class_name is missing", "the file must be one that diffusers wrote"
            )
        found.pop("_diffusers_version", None)
        return found

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the folder's own tokenizer, else the one that was given."""
        own = self.path / tokenizer.name
        if own.is_dir():
            return TokenizerFiles(own)
        if self._tokenizer is None:
            return None
        return TokenizerFiles(self._tokenizer, tokenizer.pad_token)

    def extra_file(self, name: str) -> Path | None:
        """Return a file of the folder by its name."""
        path = self.path / name
        return path if path.is_file() else None

    def _weight_files(self, component: Component) -> list[Path]:
        files = sorted((self.path / component.folder).glob("*.safetensors"))
        # A folder may hold two precisions side by side; the file with the plain name wins.
        return [path for path in files if ".fp16." not in path.name] or files
