"""Kernel choices: what tuning found to be the fastest in each kernel, by class of adapters.

``wsd bench --tune`` writes such a file, and ``wsd build --kernel-choices`` puts the tables that are
for its library into a bundle, as a file of the same form. The TypeScript types are generated, as
the manifest's are (:mod:`wsd.spec.manifest`).

A table belongs to one ``kernels.json``, whose digest it has, and to one class of adapters.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import NonNegativeInt

from wsd.spec.entry import Entry, SparseEntry

VERSION: Final[Literal[1]] = 1


class KernelChoice(SparseEntry):
    """What runs in a kernel."""

    variant: str
    """Name of a variant, or ``generated`` for the kernel that TVM generated."""
    index: NonNegativeInt
    """Which of the kernel's variants of that name it is, from 0."""
    tile: str | None = None
    """What a workgroup of it computes at a time, in words; missing for variants without."""


class ChoiceTable(Entry):
    """What was found for one ``kernels.json`` on one class of adapters."""

    model: str
    """Name of the model that was tuned; others that share its library have the same kernels."""
    dtype: str
    """Precision of that model."""
    kernels: str
    """SHA-256 of ``kernels.json``."""
    library: str
    """SHA-256 of the library, whose generated kernels were timed too."""
    adapter_class: str
    """Vendor and architecture, as ``adapter_class`` of ``wsd/kernels/variant.py`` writes them."""
    adapter: dict[str, str]
    """Vendor, architecture, device and description of the adapter, and its ``features``.

    Features are those that variants may need, separated by spaces. Pages with others pass the
    table over: what was lacking may be faster.
    """
    gain: float
    """How many times as fast a picture of the model's default steps is, without the host's time."""
    complete: bool
    """Whether all kernels were timed."""
    choices: dict[str, KernelChoice]
    """Kernel to what was the fastest in it."""


class KernelChoices(Entry):
    """The whole file."""

    version: Literal[1]
    """Version of this format."""
    tables: list[ChoiceTable]
    """Sorted by model, precision, class of adapters and digest; in a bundle one for each class."""
