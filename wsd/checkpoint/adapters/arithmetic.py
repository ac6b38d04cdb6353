"""What an adapter's tensors add to a weight, computed so that the browser gets the same bits.

Everything is float32. Every sum runs over its index in order, from 0, and every product and every
sum is rounded by itself: there is no fused multiply-add. The browser's kernels do the same, so that
a weight that is patched there equals the one that a build merges. PyTorch's own ``matmul`` is no
help: its order of summation depends on the processor.

A weight of shape (out, in, height, width) is seen as a matrix (out, in · height · width).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

# Values of a block of rows: few enough that a sum and its terms stay in a processor's cache, and
# so many that calling PyTorch costs little beside them.
_BLOCK_VALUES = 1 << 18


class Delta(Protocol):
    """A matrix that is added to a weight, whose rows are computed when they are wanted."""

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return some rows, (stop - start, columns) float32."""


@dataclass(frozen=True)
class LowRank:
    """The product of two matrices: LoRA and LoCon.

    Attributes:
        up: (out, rank) float32.
        down: (rank, columns) float32.
    """

    up: torch.Tensor
    down: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return some rows of the product; see :class:`Delta`."""
        return multiply(self.up[start:stop], self.down)


@dataclass(frozen=True)
class Hadamard:
    """The elementwise product of two products: LoHa."""

    first: LowRank
    second: LowRank

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return some rows of the product; see :class:`Delta`."""
        return self.first.rows(start, stop) * self.second.rows(start, stop)


@dataclass(frozen=True)
class Kronecker:
    """The Kronecker product of two matrices: LoKr.

    Attributes:
        first: (a, b) float32.
        second: (c, d) float32; of a convolution, d is in · height · width.
    """

    first: torch.Tensor
    second: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return some of the a · c rows; see :class:`Delta`."""
        index = torch.arange(start, stop)
        count = self.second.shape[0]
        outer, inner = self.first[index // count], self.second[index % count]
        return (outer[:, :, None] * inner[:, None, :]).flatten(1)


@dataclass(frozen=True)
class Full:
    """The difference itself: what fine-tuning changed, and changes of biases and norms.

    Attributes:
        values: (out, columns) float32.
    """

    values: torch.Tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return some rows; see :class:`Delta`."""
        return self.values[start:stop]


@dataclass(frozen=True)
class Pieces:
    """Some rows of another difference: those of one of several layers that are one matrix.

    Attributes:
        whole: has all rows.
        count: rows of a piece.
        order: which pieces of the rows are taken, in this order.
    """

    whole: Delta
    count: int
    order: tuple[int, ...]

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return some rows; see :class:`Delta`."""
        found = []
        for place, piece in enumerate(self.order):
            first = max(start - place * self.count, 0)
            last = min(stop - place * self.count, self.count)
            if first < last:
                begin = piece * self.count
                found.append(self.whole.rows(begin + first, begin + last))
        return torch.cat(found)


@dataclass(frozen=True)
class Magnitudes:
    """DoRA, Liu et al. 2024: the length of each row, or column, of the changed weight is given.

    Attributes:
        values: (out, 1) float32, or (1, in) for the length of what each input channel is
            multiplied by.
        multiplier: share of the whole change that is applied; None where the scale is in the
            delta's factor alone, as PEFT has it. With a share s the weight is W + s · (D - W), D
            being the weight with all of the change, as ComfyUI and AUTOMATIC1111's web UI have it.
    """

    values: torch.Tensor
    multiplier: float | None = None


@dataclass(frozen=True)
class Change:
    """What one adapter does to one weight.

    Attributes:
        delta: what is added.
        factor: of the delta, a float32 value.
        magnitudes: lengths that are given; None for all but DoRA.
        rest: factor of the delta that is added once more after the lengths were changed, a float32
            value: (multiplier - 1) · factor, or 0.
    """

    delta: Delta
    factor: float
    magnitudes: Magnitudes | None = None
    rest: float = 0.0


def round_factor(scale: float, alpha: float, rank: float) -> float:
    """Return scale · alpha / rank, computed in float64 and rounded to float32 once.

    It is infinite for what is beyond float32.
    """
    with np.errstate(over="ignore"):
        return float(np.float32(scale * alpha / rank))


def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the product of two matrices, each sum in the order of its index.

    Args:
        left: (n, k) float32.
        right: (k, m) float32.

    Returns:
        (n, m) float32.
    """
    total = torch.zeros(left.shape[0], right.shape[1])
    product = torch.empty_like(total)
    for index in range(left.shape[1]):
        torch.mul(left[:, index, None], right[index], out=product)
        total.add_(product)
    return total


def contract(core: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the core of a Tucker decomposition times its input factor.

    Args:
        core: (i, j, ...) float32, of a convolution with two dimensions of its kernel behind.
        right: (j, in) float32.

    Returns:
        (i, in · ...) float32: sums over j in order.
    """
    # A linear layer's core may have two dimensions alone.
    kernel = core.reshape(*core.shape[:2], -1)
    total = torch.zeros(core.shape[0], right.shape[1], kernel.shape[2])
    for index in range(core.shape[1]):
        total.add_(kernel[:, index, None, :] * right[index, :, None])
    return total.flatten(1)


def merge(weight: torch.Tensor, changes: Sequence[Change]) -> torch.Tensor:
    """Return a weight with some changes, one after another.

    Args:
        weight: (out, ...) of any float dtype; it is not changed.
        changes: in the order in which the adapters were given.

    Returns:
        float32 of the weight's shape.
    """
    shape = weight.shape
    # A copy even of float32: the weight may be a view of a file.
    values = weight.to(torch.float32, copy=True).reshape(shape[0], -1)
    rows = max(1, _BLOCK_VALUES // max(1, values.shape[1]))
    if any(change.magnitudes and change.magnitudes.values.shape[0] == 1 for change in changes):
        rows = values.shape[0]  # the length of a column needs all rows
    for start in range(0, values.shape[0], rows):
        stop = min(start + rows, values.shape[0])
        block = values[start:stop]
        for change in changes:
            block = _apply(change, block, start, stop, shape)
        values[start:stop] = block
    return values.reshape(shape)


def _apply(
    change: Change, block: torch.Tensor, start: int, stop: int, shape: torch.Size
) -> torch.Tensor:
    """Return some rows of a weight with a change; ``shape`` is the whole weight's."""
    delta = change.delta.rows(start, stop)
    changed = block + delta * change.factor
    if change.magnitudes is None:
        return changed
    changed = _set_lengths(change.magnitudes, changed, start, stop, shape)
    # Rows are multiplied by s · r + 1 - s, r being the ratio of their lengths, so that this leaves
    # s · D + (1 - s) · W: what is too much of the delta is taken away.
    return changed if change.rest == 0 else changed + delta * change.rest


def _set_lengths(
    magnitudes: Magnitudes, changed: torch.Tensor, start: int, stop: int, shape: torch.Size
) -> torch.Tensor:
    """Return some rows of a changed weight with the lengths that are given."""
    wanted, multiplier = magnitudes.values, magnitudes.multiplier
    if wanted.shape[0] == 1 and shape[0] != 1:
        # The length over output channels and kernel, one for each input channel.
        cube = changed.reshape(changed.shape[0], shape[1], -1)
        lengths = cube.transpose(0, 1).flatten(1).norm(dim=1)
        ratios = _ratios(wanted[0], lengths, multiplier)
        return (cube * ratios[None, :, None]).flatten(1)
    ratios = _ratios(wanted[start:stop, 0], changed.norm(dim=1), multiplier)
    return changed * ratios[:, None]


def _ratios(wanted: torch.Tensor, lengths: torch.Tensor, multiplier: float | None) -> torch.Tensor:
    """Return what rows or columns are multiplied by, as PEFT or as LyCORIS computes the ratio."""
    if multiplier is None:
        return wanted / lengths
    ratios = wanted / (lengths + torch.finfo(torch.float32).eps)
    return ratios if multiplier == 1 else multiplier * (ratios - 1) + 1
