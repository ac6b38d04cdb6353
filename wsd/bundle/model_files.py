"""Read a model's files, each by its type: tokenizers, kernels, self-test, constants, examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from wsd.bundle.manifest import REBUILD
from wsd.errors import BundleError
from wsd.kernels.serialize import KernelTable
from wsd.spec.manifest import MAX_EXAMPLE_BYTES, SchedulerConstants
from wsd.spec.self_test import SelfTest
from wsd.util.json_reader import (
    MAX_SHADER_BYTES,
    MAX_SHADER_MARKS,
    parse_file,
    read_json,
    read_text,
)
from wsd.util.typed_json import read_typed, validate_text


class _EarlyVariant(TypedDict):
    """What is read of a variant in such a table."""

    operations: int


class _EarlyTable(TypedDict):
    """What is read of a table of version 1 or 2; the first had no version."""

    bodies: list[str]
    kernels: dict[str, list[_EarlyVariant]]
    bytes: dict[str, int]


class KernelWork(TypedDict):
    """Work of each kernel with written variants.

    Attributes:
        operations: kernel name → floating-point operations of one call.
        bytes: kernel name → bytes that one call reads and writes.
    """

    operations: dict[str, int]
    bytes: dict[str, int]


_SELF_TEST = TypeAdapter(SelfTest)
_CONSTANTS = TypeAdapter(SchedulerConstants)
_KERNELS = TypeAdapter(KernelTable)
_EARLY_KERNELS = TypeAdapter(_EarlyTable)


def read_tokenizer(path: Path) -> dict[str, Any]:
    """Return the table of a bundle's tokenizer, ``tokenizer.json`` of the type BPE or Unigram.

    Args:
        path: of a file that a manifest lists.

    Raises:
        BundleError: if it is missing or not such a file.
    """
    table = read_json(path, BundleError, REBUILD)
    model = table.get("model") if isinstance(table, dict) else None
    if not isinstance(model, dict) or model.get("type") not in ("BPE", "Unigram"):
        raise BundleError(f"{path}: not a tokenizer of the type BPE or Unigram", REBUILD)
    found: dict[str, Any] = table
    return found


def read_self_test(path: Path) -> SelfTest:
    """Return what a bundle's self-test expects.

    Args:
        path: of a file that a manifest lists.

    Raises:
        BundleError: if the file is missing or malformed.
    """
    return read_typed(path, _SELF_TEST, BundleError, REBUILD)


def check_scheduler_constants(path: Path, expected: SchedulerConstants) -> None:
    """Refuse a file of a scheduler's constants that are not those of the manifest.

    Args:
        path: of a file that a manifest lists.
        expected: what the manifest says.

    Raises:
        BundleError: if the file is missing or malformed, or holds other constants.
    """
    if read_typed(path, _CONSTANTS, BundleError, REBUILD) != expected:
        raise BundleError(f"{path}: constants of {expected.name} differ from the manifest", REBUILD)


def read_kernel_table(path: Path) -> KernelTable:
    """Return a bundle's kernels.json, if it is of this version.

    Args:
        path: of a file that a manifest lists.

    Raises:
        BundleError: if the file is missing, malformed, or of an earlier version.
    """
    return read_typed(
        path, _KERNELS, BundleError, REBUILD, max_bytes=MAX_SHADER_BYTES, max_marks=MAX_SHADER_MARKS
    )


def read_kernel_work(path: Path) -> KernelWork:
    """Return the work of the kernels in a bundle's kernels.json.

    Args:
        path: of a file that a manifest lists.

    Raises:
        BundleError: if the file is missing or malformed.
    """
    text = read_text(path, BundleError, REBUILD, MAX_SHADER_BYTES)
    table = parse_file(text, path, BundleError, REBUILD, max_marks=MAX_SHADER_MARKS)
    is_early = isinstance(table, dict) and table.get("version", 1) in (1, 2)
    found: KernelTable | _EarlyTable = (
        validate_text(text, path, _EARLY_KERNELS, BundleError, REBUILD)
        if is_early
        else validate_text(text, path, _KERNELS, BundleError, REBUILD)
    )
    operations = {
        name: variants[0]["operations"] for name, variants in found["kernels"].items() if variants
    }
    return {"operations": operations, "bytes": found["bytes"]}


def check_example_picture(path: Path) -> None:
    """Refuse a file that is no small picture.

    Args:
        path: of a file that a manifest lists.

    Raises:
        BundleError: if it is no WebP file, or too large for an example.
    """
    with path.open("rb") as file:
        data = file.read(MAX_EXAMPLE_BYTES + 1)
    if len(data) > MAX_EXAMPLE_BYTES or (data[:4], data[8:12]) != (b"RIFF", b"WEBP"):
        raise BundleError(
            f"{path}: not a WebP picture of at most {MAX_EXAMPLE_BYTES} bytes", REBUILD
        )


def check_example_lora(path: Path) -> None:
    """Refuse a file whose tensors cannot be read.

    Args:
        path: of a file that a manifest lists.

    Raises:
        CheckpointError: if it is no safetensors file, or damaged.
    """
    # It imports torch, which most bundles are verified without.
    from wsd.checkpoint.safetensors_file import list_safetensors

    list_safetensors(path)
