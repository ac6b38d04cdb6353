"""A tensor of a file that is read when somebody asks, and views of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file, which is not in memory until :attr:`read` is called.

    It has those methods of ``torch.Tensor`` that diffusers' converters of single files call. Each
    returns another StoredTensor, so that a whole checkpoint is converted without reading it.

    Attributes:
        key: name in the file.
        path: of the file.
        dtype: as safetensors names it, such as ``F16``; what :attr:`read` returns is a float.
        shape: of what :attr:`read` returns.
        read: returns the tensor, on the CPU.
    """

    key: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], torch.Tensor]

    @property
    def ndim(self) -> int:
        """Return the number of dimensions."""
        return len(self.shape)

    @property
    def T(self) -> StoredTensor:  # noqa: N802 - torch's name
        """Return the transposed matrix."""
        return self.change(lambda tensor: tensor.T)

    def __getitem__(self, index: Any) -> StoredTensor:
        """Return a slice."""
        return self.change(lambda tensor: tensor[index])

    def contiguous(self) -> StoredTensor:
        """Return the same values, contiguous in memory."""
        return self.change(torch.Tensor.contiguous)

    def clone(self) -> StoredTensor:
        """Return itself: every read gives a tensor of its own."""
        return self

    def detach(self) -> StoredTensor:
        """Return itself: what is read needs no gradient."""
        return self

    def change(self, change: Callable[[torch.Tensor], torch.Tensor]) -> StoredTensor:
        """Return a tensor that is ``change`` of this one, when it is read."""
        shape = tuple(change(torch.empty(self.shape, device="meta")).shape)
        return replace(self, shape=shape, read=lambda: change(self.read()))
