"""A checkpoint with adapters merged into its weights: ``--lora``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wsd.checkpoint.adapters.adapter import Adapter
from wsd.checkpoint.adapters.arithmetic import merge
from wsd.checkpoint.diffusers_folder import describe_place
from wsd.checkpoint.passed_on import PassedOn
from wsd.checkpoint.weight_source import Shape, WeightSource
from wsd.models.family import Component


@dataclass(frozen=True)
class AppliedAdapter:
    """An adapter and how strongly it is applied.

    Attributes:
        adapter: the opened file.
        scale: factor on what it adds; 0 leaves the weights as they are.
    """

    adapter: Adapter
    scale: float

    @property
    def source(self) -> str:
        """Return hub id, path and commit of a file of the hub, else the file's name."""
        return describe_place(self.adapter.path)


class WithAdapters(PassedOn):
    """A weight source whose weights have adapters merged into them, in float32.

    The provenance is the checkpoint's: the manifest has the adapters beside it.

    Args:
        base: the checkpoint.
        adapters: in the order in which they are applied.
    """

    def __init__(self, base: WeightSource, adapters: Sequence[AppliedAdapter]) -> None:
        super().__init__(base)
        self._adapters = tuple(applied for applied in adapters if applied.scale != 0)

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors; see :class:`wsd.checkpoint.weight_source.WeightSource`.

        Those that an adapter changes are float32.
        """
        tensors = self._base.tensors(component, expected)
        for name, tensor in zip(expected, tensors, strict=True):
            changes = [
                layer.build(applied.scale)
                for applied in self._adapters
                if (layer := applied.adapter.layers.get(component.id, {}).get(name)) is not None
            ]
            yield merge(tensor, changes) if changes else tensor

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters the checkpoint lacks."""
        return self._base.missing(component)

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors of the checkpoint; the adapters were checked when they were opened."""
        self._base.check_tensors(components)

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of the checkpoint's files, without the adapters'.

        :meth:`wsd.checkpoint.checkpoint.Checkpoint.weight_digests` has both.
        """
        return self._base.digests(component)

    def component_config(self, component: Component) -> Mapping[str, Any] | None:
        """Return the checkpoint's."""
        return self._base.component_config(component)

    def config_place(self, component: Component) -> str:
        """Return the checkpoint's."""
        return self._base.config_place(component)
