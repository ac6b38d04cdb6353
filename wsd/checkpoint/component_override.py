"""A checkpoint of which one component comes from elsewhere, and all else from itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.passed_on import PassedOn
from wsd.checkpoint.weight_source import Shape, WeightSource
from wsd.models.family import Component
from wsd.util.hashing import sha256_once


class ComponentOverride(PassedOn, ABC):
    """A weight source that reads one component itself, and asks the checkpoint for all else.

    Subclasses say how that component is read. The methods are those of
    :class:`wsd.checkpoint.weight_source.WeightSource`.

    Args:
        base: the checkpoint.
        role: of the component that comes from elsewhere.
    """

    def __init__(self, base: WeightSource, role: str) -> None:
        super().__init__(base)
        self._role = role

    @abstractmethod
    def _read(self, component: Component, expected: Mapping[str, Shape]) -> Iterator[torch.Tensor]:
        """Yield the component's tensors in the given order."""

    @abstractmethod
    def _list_missing(self, component: Component) -> list[str]:
        """Return which of the component's optional parameters its files lack."""

    @abstractmethod
    def _check(self, component: Component) -> None:
        """Refuse tensors of the component that are missing, left over or wrong."""

    @abstractmethod
    def _files(self) -> list[Path]:
        """Return the files with the component's weights, in the order in which they are read."""

    @abstractmethod
    def _config(self) -> Mapping[str, Any] | None:
        """Return the component's ``config.json``; None if it has none."""

    @abstractmethod
    def _config_place(self) -> str:
        """Return how messages name that file."""

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors in the given order, one in memory at a time."""
        if component.role == self._role:
            return self._read(component, expected)
        return self._base.tensors(component, expected)

    def lacks(self, component: Component) -> bool:
        """Tell whether there is nothing of a component; there is always the one from elsewhere."""
        return component.role != self._role and self._base.lacks(component)

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters its files lack."""
        if component.role == self._role:
            return self._list_missing(component)
        return self._base.missing(component)

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors that are missing, left over, of a wrong shape, or of a wrong format."""
        self._base.check_tensors([c for c in components if c.role != self._role])
        for component in components:
            if component.role == self._role:
                self._check(component)

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the files that a component's tensors are in."""
        if component.role == self._role:
            return [sha256_once(path) for path in self._files()]
        return self._base.digests(component)

    def component_config(self, component: Component) -> Mapping[str, Any] | None:
        """Return the component's ``config.json``."""
        if component.role == self._role:
            return self._config()
        return self._base.component_config(component)

    def config_place(self, component: Component) -> str:
        """Return how messages name the component's ``config.json``."""
        if component.role == self._role:
            return self._config_place()
        return self._base.config_place(component)
