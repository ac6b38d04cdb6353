"""Weight sources: where a checkpoint's tensors and files come from.

Everything that reads weights asks a :class:`WeightSource`: a build, the self-test's expected
values, the diffusers reference. A diffusers folder (:mod:`wsd.checkpoint.diffusers_folder`) and a
single file (:mod:`wsd.checkpoint.single_file`) are two implementations; a source that merges
adapters into another one would be a third.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from wsd.errors import CheckpointError
from wsd.models.family import Component, Tokenizer

# Name of a tensor in a file → the file, and the function that reads the tensor.
TensorIndex = Mapping[str, tuple[Path, Callable[[], torch.Tensor]]]
# What tells one component's weights from another's: JSON values.
Identity = Sequence[Sequence[str | int]]


@dataclass(frozen=True)
class TokenizerFiles:
    """Files of a tokenizer.

    Attributes:
        folder: with ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``.
        pad_token: token that fills a text up; None for what the files say.
    """

    folder: Path
    pad_token: str | None = None


class WeightSource(Protocol):
    """Weights and files of a checkpoint, opened for one family."""

    @property
    def provenance(self) -> str:
        """What the manifest records: a hub id and commit, or the name of a file or folder."""

    def tensors(
        self, component: Component, expected: Mapping[str, tuple[int, ...]]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors in the given order, one in memory at a time.

        Args:
            component: the component whose files are read.
            expected: state-dict name → shape, in the order wanted.

        Yields:
            CPU tensors in the file's dtype.

        Raises:
            CheckpointError: for a missing or unreadable file, and for a tensor that is missing,
                has another shape, or is not finite.
        """

    def identity(self, component: Component) -> Identity:
        """Return what changes whenever a component's weights do, cheaply: for cache keys.

        Paths, sizes and times of change of the files; no file is read.
        """

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the files that a component's tensors are in."""

    def component_config(self, component: Component) -> Mapping[str, Any] | None:
        """Return the component's own ``config.json``; None if the source has no configurations.

        Raises:
            CheckpointError: if it is missing or unreadable.
        """

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return the checkpoint's own scheduler configuration; None if it has none.

        Raises:
            CheckpointError: if it is unreadable.
        """

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the files of one of the family's tokenizers; None if the source has none."""

    def extra_file(self, name: str) -> Path | None:
        """Return a file that is kept beside the weights, by its name; None if it is not there."""


def read_expected(
    index: TensorIndex,
    expected: Mapping[str, tuple[int, ...]],
    names: Callable[[str], Sequence[str]],
    place: Path,
) -> Iterator[torch.Tensor]:
    """Yield tensors in the given order, each checked.

    Args:
        index: where each tensor is.
        expected: state-dict name → shape, in the order wanted.
        names: returns the names under which a file may hold a parameter, usual one first.
        place: file or folder to name in an error.

    Raises:
        CheckpointError: for a tensor that is missing, has another shape, or is not finite.
    """
    for parameter, shape in expected.items():
        key = next((name for name in names(parameter) if name in index), None)
        if key is None:
            raise CheckpointError(
                f"{place}: tensor {parameter} is missing",
                "the checkpoint is incomplete or of another model: pass the whole one",
            )
        path, read = index[key]
        tensor = read()
        if (found := tuple(tensor.shape)) != shape:
            raise CheckpointError(
                f"{path}: tensor {key} has shape {list(found)}, expected {list(shape)}",
                "this checkpoint is of another family or was changed; see: wsd models",
            )
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: tensor {key} holds NaN or infinite values",
                "the checkpoint is damaged: fetch it again",
            )
        yield tensor


def stat_identity(paths: Sequence[Path]) -> Identity:
    """Return the resolved path, size in bytes and time of change of each file."""
    stats = [(path.resolve(), path.stat()) for path in paths]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: if the file is missing or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist",
            "the folder is not a complete diffusers checkpoint: fetch it again",
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not readable as JSON ({error})", "fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object", "fetch it again")
    return value
