"""A checkpoint of which nothing is there: what a plan knows of weights that a build would draw.

``wsd build --plan`` says how large a bundle would be. That follows from a model's configurations,
so that neither random weights nor those of a model that ships none are made for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.weight_source import Shape, TokenizerFiles
from wsd.errors import CheckpointError
from wsd.models.family import Component, Family, Tokenizer


class AbsentWeights:
    """A weight source that has no file; it agrees with the family in everything.

    The methods are those of :class:`wsd.checkpoint.weight_source.WeightSource`.

    Args:
        family: the model.
    """

    def __init__(self, family: Family) -> None:
        self._family = family

    @property
    def provenance(self) -> str:
        """Return the model's name."""
        return self._family.name

    @property
    def markers(self) -> frozenset[str]:
        """Return none."""
        return frozenset()

    @property
    def stated_license(self) -> str:
        """Return nothing."""
        return ""

    @property
    def stated_prediction(self) -> str:
        """Return nothing."""
        return ""

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Refuse: a plan reads no tensors."""
        del expected
        raise CheckpointError(
            f"the weights of {component.id} are not there", "report this: a plan reads no weights"
        )

    def lacks(self, component: Component) -> bool:
        """Tell that nothing is lacking."""
        del component
        return False

    def missing(self, component: Component) -> list[str]:
        """Return that no parameter is lacking."""
        del component
        return []

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse nothing."""

    def digests(self, component: Component) -> list[str]:
        """Return nothing: there are no files."""
        del component
        return []

    def component_config(self, component: Component) -> None:
        """Return None: it is the family's."""
        del component

    def config_place(self, component: Component) -> str:
        """Return the model's name."""
        del component
        return self.provenance

    def scheduler_config(self) -> Mapping[str, Any]:
        """Return the family's, which random weights are written with."""
        return self._family.scheduler

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return None."""
        del tokenizer
        return None

    def extra_file(self, name: str) -> Path | None:
        """Return None: nothing lies beside it."""
        del name
        return None
