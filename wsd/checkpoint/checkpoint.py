"""Open a checkpoint for a family: check that they agree, and find its scheduler.

A checkpoint is a folder in the diffusers layout, the id of one on the Hugging Face hub, or a
single file in the original layout. A folder's configuration must agree with the family's on every
key, and every tensor must have the shape that the compiled library expects; the error names the
key or tensor that does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.checkpoint.single_file import SingleFile
from wsd.checkpoint.weight_source import WeightSource
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family
from wsd.models.instantiate import build_skeleton
from wsd.models.schedulers import build_scheduler

_HINT = "this checkpoint is of another family; see: wsd models"


@dataclass(frozen=True)
class Checkpoint:
    """A family and the weights that it is built with.

    Attributes:
        family: the registry's entry.
        source: where the weights come from.
        scheduler: configuration of the scheduler in diffusers' terms: the checkpoint's own, since
            fine-tunes differ in how they are to be denoised, else the family's.
    """

    family: Family
    source: WeightSource
    scheduler: Mapping[str, Any]

    def load(self, component: Component) -> torch.nn.Module:
        """Return a component with its weights, float32, in evaluation mode, on the CPU.

        It is built from the family's configuration, as it is compiled.

        Raises:
            CheckpointError: as :meth:`WeightSource.tensors`.
        """
        return self._fill(component, build_skeleton(component))

    def load_own(self, component: Component) -> torch.nn.Module:
        """Return a component as :meth:`load`, but built from the checkpoint's own configuration.

        A reference is built from what the checkpoint says, so that a key that the family does not
        know shows as a difference.
        """
        own = self.source.component_config(component)
        return self._fill(component, build_skeleton(component, own))

    def _fill(self, component: Component, module: torch.nn.Module) -> torch.nn.Module:
        state = dict(module.named_parameters())
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        with torch.no_grad():
            tensors = self.source.tensors(component, shapes)
            for parameter, tensor in zip(state.values(), tensors, strict=True):
                parameter.copy_(tensor)
        return module


def open_checkpoint(path: Path, family: Family, tokenizer: Path | None = None) -> Checkpoint:
    """Open a diffusers folder or a single file for a family.

    Args:
        path: what :func:`wsd.checkpoint.resolve.choose_checkpoint` returned.
        family: the registry's entry.
        tokenizer: folder with the files of a tokenizer, for a checkpoint that has none.

    Raises:
        CheckpointError: if a component is missing, if its configuration differs from the
            family's, or if the browser cannot follow the scheduler.
    """
    source: WeightSource
    if path.is_file():
        source = SingleFile(path, family, tokenizer)
    else:
        source = DiffusersFolder(path, family, tokenizer)
    for component in family.components:
        _check_config(family, component, source)
    _check_latent_space(family, source)
    scheduler = source.scheduler_config() or family.scheduler
    # An unsupported scheduler is an error here, not after minutes of compiling.
    build_scheduler(scheduler)
    return Checkpoint(family, source, scheduler)


def _check_config(family: Family, component: Component, source: WeightSource) -> None:
    found = source.component_config(component)
    if found is None:
        return
    place = f"{source.provenance}/{component.folder}/config.json"
    for key, value in _jsonable(component.config).items():
        if key in found and found[key] != value:
            raise CheckpointError(
                f"{place}: {key} is {found[key]!r}, but {family.name} has {value!r}", _HINT
            )
    name = found.get("_class_name") or (found.get("architectures") or [None])[0]
    if name is not None and name != component.class_name:
        raise CheckpointError(
            f"{place}: class is {name}, but {family.name} has {component.class_name}", _HINT
        )


def _check_latent_space(family: Family, source: WeightSource) -> None:
    """Refuse a VAE whose own configuration scales latents differently than the family's."""
    components = tuple(
        replace(component, config={**component.config, **found})
        if (found := source.component_config(component)) is not None
        else component
        for component in family.components
    )
    own = replace(family, components=components).latent_space
    if own != family.latent_space:
        raise CheckpointError(
            f"{source.provenance}: its latent space is {own}, "
            f"but {family.name} has {family.latent_space}",
            _HINT,
        )


def _jsonable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON would read it back: tuples as lists."""
    return dict(json.loads(json.dumps(dict(config))))
