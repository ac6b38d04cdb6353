"""A single safetensors file in an architecture's original layout as a weight source.

Tensors stay views of the mapped file until somebody reads them, so that no more than one of them is
in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import torch

from wsd.checkpoint.safetensors_file import open_tensors
from wsd.checkpoint.weight_source import (
    Identity,
    TensorIndex,
    TokenizerFiles,
    read_expected,
    stat_identity,
)
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer
from wsd.util.hashing import sha256_file


class SingleFile:
    """One file that holds the tensors of every component, and nothing else.

    Args:
        path: the ``.safetensors`` file.
        family: the family that it is opened for.
        tokenizer: folder with the files of a tokenizer, since the file has none.

    Raises:
        CheckpointError: if the family's architecture has no such layout.
    """

    def __init__(self, path: Path, family: Family, tokenizer: Path | None = None) -> None:
        self.path = path
        self._family = family
        self._tokenizer = tokenizer
        for component in family.components:
            if family.architecture.single_file_keys(family, component) is None:
                raise CheckpointError(
                    f"{path}: no single-file layout is known for {family.name}",
                    "pass a diffusers folder",
                )

    @property
    def provenance(self) -> str:
        """Return the file's name."""
        return self.path.name

    def tensors(
        self, component: Component, expected: Mapping[str, tuple[int, ...]]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors; see :class:`wsd.checkpoint.weight_source.WeightSource`."""
        tensors = self._component_tensors(component)
        index: TensorIndex = {
            name: (self.path, partial(tensors.__getitem__, name)) for name in tensors
        }
        names = partial(self._family.architecture.file_names, component)
        yield from read_expected(index, expected, names, self.path)

    def identity(self, component: Component) -> Identity:
        """Return path, size and time of change of the file."""
        del component
        return stat_identity([self.path])

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of the file."""
        del component
        return [sha256_file(self.path)]

    def component_config(self, component: Component) -> None:
        """Return None: the file has no configurations."""
        del component

    def scheduler_config(self) -> None:
        """Return None: the file has no scheduler."""

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the tokenizer that was given, if any."""
        if self._tokenizer is None:
            return None
        return TokenizerFiles(self._tokenizer, tokenizer.pad_token)

    def extra_file(self, name: str) -> None:
        """Return None: what lies beside the file may belong to another checkpoint."""
        del name

    def _component_tensors(self, component: Component) -> dict[str, torch.Tensor]:
        """Return a component's tensors by diffusers' names.

        Raises:
            CheckpointError: if the file cannot be read, or does not hold the component.
        """
        family = self._family
        keys = family.architecture.single_file_keys(family, component)
        assert keys is not None  # the constructor refuses such a component
        with open_tensors(self.path) as reader:
            names = [name for name in reader.keys() if name.startswith(keys.prefixes)]  # noqa: SIM118
            own = {name: reader.get_tensor(name) for name in names}
        if not own:
            raise CheckpointError(
                f"{self.path}: no tensor's name begins with {' or '.join(keys.prefixes)}",
                f"the file must hold all of a {family.name} checkpoint in the original layout; "
                "for one component or another layout, pass a diffusers folder",
            )
        try:
            return keys.convert(own)
        except KeyError as error:
            raise CheckpointError(
                f"{self.path}: tensor {error.args[0]} of {component.id} is missing",
                f"the checkpoint is incomplete or of another family than {family.name}",
            ) from error
