"""A weight source that is built on another one, and passes on what it leaves as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsd.checkpoint.weight_source import TokenizerFiles, WeightSource
from wsd.models.family import Component, Tokenizer


class PassedOn:
    """What every source on top of a checkpoint has from it, unless it says otherwise.

    Args:
        base: the checkpoint.
    """

    def __init__(self, base: WeightSource) -> None:
        self._base = base

    @property
    def provenance(self) -> str:
        """Return the checkpoint's."""
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

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return the checkpoint's."""
        return self._base.scheduler_config()

    def lacks(self, component: Component) -> bool:
        """Return the checkpoint's."""
        return self._base.lacks(component)

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the checkpoint's."""
        return self._base.tokenizer_files(tokenizer)

    def extra_file(self, name: str) -> Path | None:
        """Return the checkpoint's."""
        return self._base.extra_file(name)
