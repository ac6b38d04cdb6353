"""A single file in an architecture's original layout as a weight source: safetensors or GGUF.

Its tensors are renamed by diffusers' converters while they are still in the file, so that no more
than one of them is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch

from wsd.checkpoint.diffusers_folder import describe_place
from wsd.checkpoint.gguf_file import list_gguf
from wsd.checkpoint.leftovers import MARKERS, check_leftovers, explain_other_file
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.number_formats import dequantize
from wsd.checkpoint.safetensors_file import list_safetensors, read_metadata
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.checkpoint.weight_source import (
    Shape,
    TokenizerFiles,
    check_complete,
    check_tensor,
    given_tokenizer,
    read_expected,
)
from wsd.errors import CheckpointError
from wsd.models.architecture import SingleFileKeys
from wsd.models.family import Component, Family, Tokenizer
from wsd.spec.roles import VAE_DECODER
from wsd.util.hashing import sha256_once

Stored = dict[str, StoredTensor]

# Metadata that trainers (sd-scripts) and ComfyUI write.
_PREDICTION_KEYS = ("modelspec.prediction_type", "modelspec.predict_key")


class SingleFile:
    """One file that holds the tensors of every component, and nothing else.

    Args:
        path: the ``.safetensors`` or ``.gguf`` file.
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
            self._keys(component)

    @property
    def provenance(self) -> str:
        """Return hub id, path and commit of a file of the hub, else the file's name."""
        return describe_place(self.path)

    @property
    def markers(self) -> frozenset[str]:
        """Return the markers that the file holds."""
        return frozenset(MARKERS).intersection(self._stored)

    @property
    def stated_license(self) -> str:
        """Return the licence in the metadata of a safetensors file, by Stability's ModelSpec."""
        return self._metadata().get("modelspec.license", "")

    @property
    def stated_prediction(self) -> str:
        """Return what the metadata says, by Stability's ModelSpec or as ComfyUI writes it."""
        found = self._metadata()
        stated = {found.get(key, "").lower() for key in _PREDICTION_KEYS}
        return "v_prediction" if stated & {"v", "v_prediction"} else ""

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors; see :class:`wsd.checkpoint.weight_source.WeightSource`."""
        found, _ = list_names(component).match(self._convert(component))
        yield from read_expected(found, expected, self._stored, self.path)

    def lacks(self, component: Component) -> bool:
        """Tell whether no tensor's name begins as those of the component do."""
        prefixes = self._keys(component).prefixes
        return not any(key.startswith(prefixes) for key in self._stored)

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters the file lacks."""
        names = list_names(component)
        found, _ = names.match(self._convert(component))
        return [name for name in names.optional if name not in found]

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors that are missing, left over, of a wrong shape, or of a wrong format.

        The tensors of a component that is not among ``components`` are left alone: another source
        stands in for it.
        """
        # First, since what another model's file lacks is of no use to anyone.
        for component in components:
            self._check_model(component)
        self._check_whole(components)
        used = set(MARKERS)
        matched = []
        for component in components:
            names = list_names(component)
            found, _ = names.match(self._convert(component))
            matched.append((found, names))
            for name, tensor in found.items():
                check_tensor(tensor, names.shapes[name], self._stored)
            used |= {tensor.key for tensor in found.values()}
            used |= self._copies(component)
        given = {component.id for component in components}
        for component in self._family.components:
            if component.id not in given:
                prefixes = self._keys(component).prefixes
                used |= {key for key in self._stored if key.startswith(prefixes)}
        check_leftovers(
            (tensor for key, tensor in self._stored.items() if key not in used),
            self._family,
            f"any component of {self._family.name}",
        )
        for found, names in matched:
            check_complete(found, names.required, self.path)

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of the file."""
        del component
        return [sha256_once(self.path)]

    def component_config(self, component: Component) -> None:
        """Return None: the file has no configurations."""
        del component

    def config_place(self, component: Component) -> str:
        """Return the file, which has no configurations."""
        del component
        return self.provenance

    def scheduler_config(self) -> None:
        """Return None: the file has no scheduler."""

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the tokenizer that was given, if any."""
        return given_tokenizer(self._tokenizer, tokenizer)

    def extra_file(self, name: str) -> None:
        """Return None: what lies beside the file may belong to another checkpoint."""
        del name

    @cached_property
    def _stored(self) -> Stored:
        return list_file(self.path)

    def _metadata(self) -> dict[str, str]:
        return read_metadata(self.path) if self.path.suffix.lower() == ".safetensors" else {}

    def _keys(self, component: Component) -> SingleFileKeys:
        keys = self._family.architecture.single_file_keys(self._family, component)
        if keys is None:
            raise CheckpointError(
                f"{self.path}: no single-file layout is known for {self._family.name}",
                "pass a diffusers folder",
            )
        return keys

    def _check_model(self, component: Component) -> None:
        """Refuse a component of another model."""
        keys = self._keys(component)
        if keys.check_model is not None:
            # With all of its tensors: a file of the transformer alone has names without a prefix.
            keys.check_model(self._stored)

    def _own(self, keys: SingleFileKeys) -> Stored:
        return {key: found for key, found in self._stored.items() if key.startswith(keys.prefixes)}

    def _check_whole(self, components: Sequence[Component]) -> None:
        """Refuse a file that does not hold all of some components.

        Raises:
            CheckpointError: naming those that are not in it.
        """
        prefixes = {component.id: self._keys(component).prefixes for component in components}
        missing = {
            component.id: prefixes[component.id]
            for component in components
            if self.lacks(component)
        }
        if not missing:
            return
        wanted = " or ".join(prefix for found in missing.values() for prefix in found)
        hint = (
            f"the file must hold all of a {self._family.name} checkpoint in the original layout: "
            "pass the whole one, or a diffusers folder"
        )
        encoders = {encoder.id for encoder in self._family.text_encoders()}
        vae = self._family.component(VAE_DECODER).id
        if len(missing) == len(prefixes):
            hint = explain_other_file(self._stored, self._family) or hint
        elif list(missing) == [vae]:
            hint = "pass the whole checkpoint, or a VAE with --vae"
        elif missing.keys() <= encoders:
            hint = "pass the whole checkpoint, or its text encoders with --text-encoders"
        elif missing.keys() <= {*encoders, vae}:
            hint = (
                "pass the whole checkpoint, or its text encoders with --text-encoders and a VAE "
                "with --vae"
            )
        raise CheckpointError(
            f"{self.path}: {', '.join(missing)} not in it: no tensor's name begins with {wanted}",
            hint,
        )

    def _copies(self, component: Component) -> set[str]:
        """Return the names of a component that is there twice and read once, as diffusers does."""
        keys = self._keys(component)
        there = [
            prefix
            for prefix in keys.prefixes
            if any(key.startswith(prefix) for key in self._stored)
        ]
        if not keys.last_prefix_wins:
            return set()
        return {key for key in self._stored if key.startswith(tuple(there[:-1]))}

    def _convert(self, component: Component) -> Stored:
        """Return a component's tensors by diffusers' names.

        Raises:
            CheckpointError: if the file cannot be read, or lacks a tensor of the component.
        """
        keys = self._keys(component)
        try:
            return keys.convert(self._own(keys))
        except KeyError as error:
            raise CheckpointError(
                f"{self.path}: tensor {error.args[0]} of {component.id} is missing",
                f"the checkpoint is incomplete or of another family than {self._family.name}",
            ) from error


def list_file(path: Path) -> Stored:
    """Return the tensors of a safetensors or GGUF file, fp8 and quantised ones as float32.

    Args:
        path: the file; its name tells which of the two it is.

    Raises:
        CheckpointError: if it cannot be read.
    """
    return dequantize(list_gguf(path) if path.suffix.lower() == ".gguf" else list_safetensors(path))
