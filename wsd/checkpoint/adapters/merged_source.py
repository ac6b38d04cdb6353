"""A checkpoint with adapters merged into its weights: ``--lora``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.adapters.adapter import Adapter
from wsd.checkpoint.adapters.arithmetic import merge
from wsd.checkpoint.diffusers_folder import describe_place
from wsd.checkpoint.weight_source import Shape, TokenizerFiles, WeightSource
from wsd.models.family import Component, Tokenizer


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


class WithAdapters:
    """A weight source whose weights have adapters merged into them, in float32.

    Args:
        base: the checkpoint.
        adapters: in the order in which they are applied.
    """

    def __init__(self, base: WeightSource, adapters: Sequence[AppliedAdapter]) -> None:
        self._base = base
        self._adapters = tuple(applied for applied in adapters if applied.scale != 0)

    @property
    def provenance(self) -> str:
        """Return the checkpoint's; the manifest has the adapters beside it."""
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

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return the checkpoint's."""
        return self._base.scheduler_config()

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the checkpoint's."""
        return self._base.tokenizer_files(tokenizer)

    def extra_file(self, name: str) -> Path | None:
        """Return a file beside the checkpoint's weights."""
        return self._base.extra_file(name)
