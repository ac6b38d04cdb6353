"""Checkpoints: where tensors come from, read one at a time.

A checkpoint is a folder in the diffusers layout, the id of one on the Hugging Face
hub, or a single file in the original layout. A folder's configuration must agree
with the zoo's on every architectural key and every tensor must have the shape that
the compiled library expects; what does not fit is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.safetensors_file import open_tensors
from wsd.checkpoint.single_file import component_tensors
from wsd.errors import CheckpointError
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import Component, Family
from wsd.models.schedulers import scheduler_constants

# transformers 5 dropped this level from CLIP's module; files still carry it.
_OLD_PREFIXES = ("", "text_model.")
# Name in a file → the file and what reads the tensor.
Index = Mapping[str, tuple[Path, Callable[[], torch.Tensor]]]


class Checkpoint:
    """A diffusers folder or a single file, opened for one family.

    Args:
        path: where it is.
        family: the zoo's entry.
        tokenizer: folder with the files of a CLIP tokenizer, for a checkpoint that
            brings none.

    Attributes:
        path: where it is.
        tokenizer: as given.
        family: the zoo's entry with the checkpoint's own scheduler: fine-tunes
            differ in how they are to be denoised. Single files bring none.
        scheduler: what the browser needs to know of the scheduler.

    Raises:
        CheckpointError: if a component is missing, or configured otherwise
            than the family's, or if the browser cannot follow the scheduler.
    """

    def __init__(self, path: Path, family: Family, tokenizer: Path | None = None) -> None:
        self.path = path
        self.tokenizer = tokenizer
        self.family = family
        if not self.is_single_file:
            self.family = _with_own_scheduler(family, path / "scheduler" / "scheduler_config.json")
            for component in family.components:
                self._check_config(component)
        self.scheduler = scheduler_constants(self.family)

    @property
    def is_single_file(self) -> bool:
        """Tell a single file, which holds tensors only, from a folder."""
        return self.path.is_file()

    @property
    def source(self) -> str:
        """Return what the manifest records: the file's or folder's name, or id and commit."""
        if self.path.parent.name != "snapshots":
            return self.path.name
        repository = self.path.parent.parent.name.removeprefix("models--").replace("--", "/")
        return f"{repository}@{self.path.name}"

    def files(self, component: Component) -> list[Path]:
        """Return the files that a component's tensors are in."""
        if self.is_single_file:
            return [self.path]
        return sorted((self.path / component.name).glob("*.safetensors"))

    def identity(self, component: Component) -> list[list[str | int]]:
        """Return what tells a component's files from others: path, bytes, time of change."""
        stats = [(path.resolve(), path.stat()) for path in self.files(component)]
        return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

    def _check_config(self, component: Component) -> None:
        path = self.path / component.name / "config.json"
        found = read_json(path)
        expected = _jsonable(component.config)
        for key, value in expected.items():
            if key in found and found[key] != value:
                raise CheckpointError(
                    f"{path}: {key} is {found[key]!r}, but {self.family.name} has {value!r}",
                    "this checkpoint is of another family; see: wsd models",
                )
        name = found.get("_class_name") or (found.get("architectures") or [None])[0]
        if name is not None and name != component.class_name:
            raise CheckpointError(
                f"{path}: class is {name}, but {self.family.name} has {component.class_name}",
                "this checkpoint is of another family; see: wsd models",
            )

    def tensors(
        self, component: Component, expected: Mapping[str, tuple[int, ...]]
    ) -> Iterator[torch.Tensor]:
        """Yield the component's tensors in the given order, one in memory at a time.

        Args:
            component: which component's files to read.
            expected: state-dict name → shape, in the order wanted.

        Yields:
            CPU tensors in the file's dtype.

        Raises:
            CheckpointError: for a missing or unreadable file, and a missing,
                mis-shaped or non-finite tensor.
        """
        with ExitStack() as stack:
            index = self._index(component, stack)
            for name, shape in expected.items():
                yield _read_tensor(index, name, shape, self._place(component))

    def load(self, component: Component) -> torch.nn.Module:
        """Return a component with its weights, float32, in evaluation mode, on the CPU.

        Raises:
            CheckpointError: as :meth:`tensors`.
        """
        module = build_skeleton(component)
        state = dict(module.named_parameters())
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        with torch.no_grad():
            for parameter, tensor in zip(
                state.values(), self.tensors(component, shapes), strict=True
            ):
                parameter.copy_(tensor)
        return module

    def _place(self, component: Component) -> Path:
        return self.path if self.is_single_file else self.path / component.name

    def _index(self, component: Component, stack: ExitStack) -> Index:
        """Return where each tensor of a component is; ``stack`` keeps the files open."""
        place = self._place(component)
        if self.is_single_file:
            found = component_tensors(place, self.family, component)
            return {name: (place, partial(found.__getitem__, name)) for name in found}
        files = sorted(place.glob("*.safetensors"))
        # A folder may hold precisions side by side; the plain name wins.
        plain = [path for path in files if ".fp16." not in path.name]
        return _index_tensors(stack, plain or files, place)


def _with_own_scheduler(family: Family, path: Path) -> Family:
    if not path.exists():
        return family
    found = {key: value for key, value in read_json(path).items() if value is not None}
    if "_class_name" not in found:
        raise CheckpointError(
            f"{path}: _class_name is missing", "the file must be one that diffusers wrote"
        )
    found.pop("_diffusers_version", None)
    return replace(family, scheduler=found)


def _index_tensors(stack: ExitStack, files: Iterable[Path], folder: Path) -> Index:
    where: dict[str, tuple[Path, Callable[[], torch.Tensor]]] = {}
    for path in files:
        reader = stack.enter_context(open_tensors(path))
        where.update({key: (path, partial(reader.get_tensor, key)) for key in list(reader.keys())})
    if not where:
        raise CheckpointError(
            f"{folder}: no .safetensors file here",
            "each component needs its weights as safetensors",
        )
    return where


def _read_tensor(where: Index, name: str, shape: tuple[int, ...], folder: Path) -> torch.Tensor:
    for prefix in _OLD_PREFIXES:
        if (key := prefix + name) in where:
            break
    else:
        raise CheckpointError(
            f"{folder}: tensor {name} is missing",
            "the checkpoint is incomplete or of another model",
        )
    path, read = where[key]
    tensor = read()
    if (found := tuple(tensor.shape)) != shape:
        raise CheckpointError(
            f"{path}: tensor {key} has shape {list(found)}, expected {list(shape)}",
            "this checkpoint is of another family or was changed",
        )
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(
            f"{path}: tensor {key} holds NaN or infinite values",
            "the checkpoint is damaged: fetch it again",
        )
    return tensor


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: if the file is missing or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist", "the folder is not a complete diffusers checkpoint"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not readable as JSON ({error})", "fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object", "fetch it again")
    return value


def _jsonable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON would read it back (tuples as lists)."""
    return dict(json.loads(json.dumps(dict(config))))
