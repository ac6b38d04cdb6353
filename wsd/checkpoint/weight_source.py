"""Weight sources: where a checkpoint's tensors and files come from.

Everything that reads weights asks a :class:`WeightSource`: a build, the self-test's expected
values, the diffusers reference. A diffusers folder (:mod:`wsd.checkpoint.diffusers_folder`), a
single file (:mod:`wsd.checkpoint.single_file`), and one of these of which a component comes from
elsewhere (:mod:`wsd.checkpoint.component_override`) or with adapters merged in
(:mod:`wsd.checkpoint.adapters.merged_source`) are implementations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from wsd.checkpoint.number_formats import check_float
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError
from wsd.models.family import Component, Tokenizer
from wsd.util import json_reader

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TokenizerFiles:
    """Files of a tokenizer.

    Attributes:
        folder: with ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``.
        pad_token: token that fills a text up; None for what the files say.
        checkpoint: folder that links among the files may lead into; None for ``folder`` alone.
    """

    folder: Path
    pad_token: str | None = None
    checkpoint: Path | None = None


def given_tokenizer(folder: Path | None, tokenizer: Tokenizer) -> TokenizerFiles | None:
    """Return the files of a tokenizer that was given for a checkpoint without one.

    Args:
        folder: with the files of a tokenizer, or with a folder for each of them as in the diffusers
            layout; None if none was given.
        tokenizer: one of the family's. What is in the folder itself is no tokenizer of one file.
    """
    if folder is None:
        return None
    if (folder / tokenizer.name).is_dir():
        return TokenizerFiles(folder / tokenizer.name, tokenizer.pad_token, folder)
    return TokenizerFiles(folder, tokenizer.pad_token) if tokenizer.kind.tables else None


class WeightSource(Protocol):
    """Weights and files of a checkpoint, opened for one family."""

    @property
    def provenance(self) -> str:
        """What the manifest records: a hub id and commit, or the name of a file or folder."""

    @property
    def markers(self) -> frozenset[str]:
        """Those of :data:`wsd.checkpoint.leftovers.MARKERS` that a single file holds.

        They say how the file is denoised: ``v_pred`` that the UNet predicts v, ``ztsnr`` that the
        noise schedule has zero terminal SNR.
        """

    @property
    def stated_license(self) -> str:
        """The licence that a single file's own metadata names; empty for others."""

    @property
    def stated_prediction(self) -> str:
        """What a single file's own metadata says that the UNet predicts; empty for others.

        It is in diffusers' terms. Loaders do not follow it, and neither does WSD, which says so.
        """

    def tensors(
        self, component: Component, expected: Mapping[str, Shape]
    ) -> Iterator[torch.Tensor]:
        """Yield a component's tensors in the given order, one in memory at a time.

        Args:
            component: the component whose files are read.
            expected: state-dict name → shape, in the order wanted.

        Yields:
            CPU tensors of any float dtype; whether they are finite is for whoever stores them.

        Raises:
            CheckpointError: for a missing or unreadable file, and for a tensor that is missing,
                has another shape, or is of a number format that is not read.
        """

    def lacks(self, component: Component) -> bool:
        """Tell whether the source has nothing of a component.

        Args:
            component: one of the family's.

        Raises:
            CheckpointError: if a file that says it is unreadable.
        """

    def missing(self, component: Component) -> list[str]:
        """Return which of a component's optional parameters the source lacks.

        Args:
            component: one of the family's (:attr:`wsd.models.family.Component.optional`).
        """

    def check_tensors(self, components: Sequence[Component]) -> None:
        """Refuse tensors that are missing, that no component reads, or of a wrong shape or format.

        Only the headers of files are read.

        Args:
            components: all of the family's, in the configuration that is compiled.

        Raises:
            CheckpointError: naming the file and the tensor.
        """

    def digests(self, component: Component) -> list[str]:
        """Return the SHA-256 of each of the files that a component's tensors are in.

        They tell one component's weights from another's. Nothing cheaper is enough: two
        checkpoints can have the same path, size and modification time (in a Nix store, in an image
        with SOURCE_DATE_EPOCH, after ``cp -p`` or ``unzip``), and in a file system that is an
        image, the same inode and time of status change. Reading all bytes also warms the page
        cache for the tensors.

        Args:
            component: one of the family's.

        Returns:
            64 hexadecimal digits for each file, in the order in which the files are read.

        Raises:
            CheckpointError: if the files cannot be found.
        """

    def component_config(self, component: Component) -> Mapping[str, Any] | None:
        """Return the component's own ``config.json``; None if the source has no configurations.

        Args:
            component: one of the family's.

        Raises:
            CheckpointError: if it is missing or unreadable.
        """

    def config_place(self, component: Component) -> str:
        """Return how messages name the file that :meth:`component_config` reads.

        Args:
            component: one of the family's.
        """

    def scheduler_config(self) -> Mapping[str, Any] | None:
        """Return the checkpoint's own scheduler configuration; None if it has none.

        Raises:
            CheckpointError: if it is unreadable.
        """

    def tokenizer_files(self, tokenizer: Tokenizer) -> TokenizerFiles | None:
        """Return the files of one of the family's tokenizers; None if the source has none.

        Args:
            tokenizer: one of the family's.
        """

    def extra_file(self, name: str) -> Path | None:
        """Return a file that is kept beside the weights; None if it is not there.

        Args:
            name: of the file in the checkpoint's folder, such as ``model_index.json``.
        """


def read_expected(
    found: Mapping[str, StoredTensor],
    expected: Mapping[str, Shape],
    stored: Mapping[str, StoredTensor],
    place: Path,
) -> Iterator[torch.Tensor]:
    """Yield tensors in the given order, each checked.

    Args:
        found: state-dict name → tensor.
        expected: state-dict name → shape, in the order wanted.
        stored: all tensors of the files, by their names there.
        place: file or folder to name in an error.

    Raises:
        CheckpointError: for a tensor that is missing, has another shape, or is no float.
    """
    check_complete(found, expected, place)
    for name, shape in expected.items():
        tensor = found[name]
        check_tensor(tensor, shape, stored)
        yield tensor.read().reshape(shape)


def check_complete(found: Mapping[str, StoredTensor], required: Iterable[str], place: Path) -> None:
    """Refuse a file or folder that lacks a tensor.

    Args:
        found: state-dict name → tensor.
        required: state-dict names.
        place: file or folder to name in the error.

    Raises:
        CheckpointError: naming the first tensor that is missing, and how many more are.
    """
    missing = [name for name in required if name not in found]
    if not missing:
        return
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    raise CheckpointError(
        f"{place}: tensor {missing[0]}{more} is missing",
        "the checkpoint is incomplete or of another model: pass the whole one",
    )


def check_tensor(tensor: StoredTensor, shape: Shape, stored: Mapping[str, StoredTensor]) -> None:
    """Refuse a tensor of another shape, or whose numbers are not read.

    A linear layer's weight may be stored as a convolution's of 1x1, and the other way round.

    Args:
        tensor: the tensor to check.
        shape: of the module's parameter.
        stored: all tensors of its file, by their names there.

    Raises:
        CheckpointError: naming the tensor.
    """
    check_float(tensor, stored)
    if _without_ones(tensor.shape) != _without_ones(shape):
        raise CheckpointError(
            f"{tensor.path}: tensor {tensor.key} has shape {list(tensor.shape)}, "
            f"expected {list(shape)}",
            "the configuration is of other weights, or --model names another family than theirs",
        )


def _without_ones(shape: Shape) -> Shape:
    """Return a shape without the dimensions of a 1x1 kernel at its end."""
    kept = len(shape)
    while kept > 2 and shape[kept - 1] == 1:
        kept -= 1
    return shape[:kept]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint.

    Args:
        path: the file, of at most :data:`wsd.util.json_reader.MAX_BYTES` bytes.

    Raises:
        CheckpointError: if the file is missing, too large, or holds something else.
    """
    hint = "the folder is not a complete diffusers checkpoint: fetch it again"
    # diffusers writes infinities into the configurations of schedulers.
    value = json_reader.read_json(path, CheckpointError, hint, infinities=True)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object", hint)
    return value
