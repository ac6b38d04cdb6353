"""Self-test fixtures: what PyTorch computes for each stage of a model on fixed inputs.

``wsd expect`` writes them (:class:`Fixtures`), a bundle carries those of its own entry points
(:class:`SelfTest`), and the self-test page compares (``web/src/diagnostics/self_test.ts``). The
TypeScript types are generated, as the manifest's are (:mod:`wsd.spec.manifest`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from wsd.spec.entry import Entry

# File that a diffusers folder may hold beside its components.
FILE_NAME: Final = "self-test.json"


class SeededInput(Entry):
    """A tensor of normal noise."""

    seed: NonNegativeInt
    """Seed of ``torch.Generator().manual_seed``; the browser draws the same numbers."""


class GivenInput(Entry):
    """A tensor whose values are listed."""

    values: tuple[int | float, ...]
    """The values in row-major order."""


class ExpectedOutput(Entry):
    """What is kept of one result: samples, and the root mean square of every block."""

    stride: PositiveInt
    """A sample is taken every so many values, in row-major order."""
    samples: tuple[float, ...]
    """Values 0, stride, 2 stride and so on."""
    block: PositiveInt
    """Number of values in a block."""
    rms: tuple[NonNegativeFloat, ...]
    """Root mean square of each block; the last block may be shorter."""


class ExpectedStage(Entry):
    """One call of one entry point."""

    entry_point: str
    """Name of the compiled function."""
    inputs: Mapping[str, SeededInput | GivenInput]
    """Name of the input to its values."""
    outputs: Mapping[str, ExpectedOutput]
    """Name of the output to what it must be close to."""


class SelfTest(Entry):
    """The self-test file of a bundle."""

    stages: tuple[ExpectedStage, ...]


class Fixtures(Entry):
    """The file that ``wsd expect`` writes."""

    model: str
    """Name of the model family."""
    prompt: str
    """Text that the text encoders read."""
    weights: Mapping[str, tuple[str, ...]]
    """Component name to the SHA-256 of each of its files."""
    stages: tuple[ExpectedStage, ...]
