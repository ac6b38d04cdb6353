"""The file kernels.json: a bundle's written kernels, as the browser reads them.

Texts that kernels share are written once. ``web/src/gpu/kernel_table.ts`` reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, cast

# pydantic reads these types, and before Python 3.12 it needs this TypedDict.
from typing_extensions import TypedDict

from wsd.kernels.registry import ProblemName, problem_name
from wsd.kernels.variant import Launch, Variant

# Version 1 had no names. Version 2 had one scratch buffer, no uniforms, and a head's text in each
# launch. web/src/gpu/kernel_table.ts still reads both.
VERSION: Literal[3] = 3


class LaunchEntry(TypedDict):
    """One dispatch.

    Attributes:
        head: index of the first part of the WGSL in ``heads``.
        body: index of the rest in ``bodies``.
        grid: workgroups along x, y and z.
        arguments: for each binding, which of the kernel's arguments it is; -1 - n is the scratch
            buffer n.
        uniform: a u32 whose binding follows them; missing if there is none.
    """

    head: int
    body: int
    grid: list[int]
    arguments: list[int]
    uniform: NotRequired[int]


class VariantEntry(TypedDict):
    """A variant; the fields are those of :class:`wsd.kernels.variant.Variant`.

    ``adapter_classes`` and ``tile`` are missing where they are empty, ``tuning_only`` where it
    is false. Versions of the page before ``tuning_only`` take the first variant that no rule
    refuses: those for tuning alone come last, after one that every adapter runs.
    """

    name: str
    problem: ProblemName
    features: list[str]
    threads: int
    shared_bytes: int
    subgroup_matrix: list[int] | None
    subgroup_size: list[int] | None
    scratch_bytes: list[int]
    operations: int
    adapter_classes: NotRequired[list[str]]
    tile: NotRequired[str]
    tuning_only: NotRequired[bool]
    launches: list[LaunchEntry]


class KernelTable(TypedDict):
    """The whole file.

    Attributes:
        version: of the format.
        heads: texts in which kernels of one body differ; the launches of a variant share some.
        bodies: texts that kernels share.
        kernels: kernel name → its variants, the fastest first, those for tuning alone behind them.
        bytes: kernel name → bytes that one call reads and writes, of every kernel.
    """

    version: Literal[3]
    heads: list[str]
    bodies: list[str]
    kernels: dict[str, list[VariantEntry]]
    bytes: dict[str, int]


def kernel_table(
    variants: Mapping[str, Sequence[Variant]],
    arguments: Mapping[str, Sequence[str]],
    bytes_accessed: Mapping[str, int],
) -> KernelTable:
    """Return the contents of kernels.json.

    Args:
        variants: kernel name → its variants, the fastest first.
        arguments: kernel name → names of its buffers, in the order of its arguments.
        bytes_accessed: kernel name → bytes that it reads and writes, of every kernel.
    """
    texts = _Texts({}, {})
    kernels = {
        name: [_write_variant(variant, arguments[name], texts) for variant in found]
        for name, found in variants.items()
    }
    return {
        "version": VERSION,
        "heads": list(texts.heads),
        "bodies": list(texts.bodies),
        "kernels": kernels,
        "bytes": dict(bytes_accessed),
    }


@dataclass(frozen=True)
class _Texts:
    """Texts that were written → their places in the table."""

    heads: dict[str, int]
    bodies: dict[str, int]


def _write_variant(variant: Variant, arguments: Sequence[str], texts: _Texts) -> VariantEntry:
    entry: VariantEntry = {
        "name": variant.name,
        "problem": problem_name(variant.name),
        "features": list(variant.features),
        "threads": variant.threads,
        "shared_bytes": variant.shared_bytes,
        "subgroup_matrix": _list(variant.subgroup_matrix),
        "subgroup_size": _list(variant.subgroup_size),
        "scratch_bytes": list(variant.scratch_bytes),
        "operations": variant.operations,
        "launches": [_write_launch(launch, arguments, texts) for launch in variant.launches],
    }
    if variant.adapter_classes:
        entry["adapter_classes"] = list(variant.adapter_classes)
    if variant.tile:
        entry["tile"] = variant.tile
    if variant.tuning_only:
        entry["tuning_only"] = True
    return entry


def _write_launch(launch: Launch, arguments: Sequence[str], texts: _Texts) -> LaunchEntry:
    entry: LaunchEntry = {
        "head": texts.heads.setdefault(launch.head, len(texts.heads)),
        "body": texts.bodies.setdefault(launch.body, len(texts.bodies)),
        "grid": list(launch.grid),
        "arguments": [
            -1 - buffer if isinstance(buffer, int) else arguments.index(buffer)
            for buffer in launch.buffers
        ],
    }
    if launch.uniform is not None:
        entry["uniform"] = launch.uniform
    return entry


def minify_table(table: KernelTable) -> KernelTable:
    """Return a table whose WGSL has no comments and no indentation, for the page to download.

    The texts stay readable in a library and in ``--dump-ir``; nothing that a compiler sees
    changes.
    """
    heads, bodies = ([_minify(text) for text in table[key]] for key in ("heads", "bodies"))
    return {**table, "heads": heads, "bodies": bodies}


def _minify(wgsl: str) -> str:
    """Remove comments, indentation and empty lines; WGSL has no strings that could hold them."""
    without_comments = re.sub(r"//.*", "", wgsl)
    return re.sub(r"\s*\n\s*", "\n", without_comments).lstrip()


def read_variants(table: KernelTable, kernel: str, arguments: Sequence[str]) -> list[Variant]:
    """Return a kernel's variants from a table: the inverse of :func:`kernel_table`.

    Args:
        table: the contents of kernels.json.
        kernel: its name.
        arguments: names of its buffers, in the order of its arguments.
    """
    return [
        Variant(
            launches=tuple(
                Launch(
                    head=table["heads"][launch["head"]],
                    body=table["bodies"][launch["body"]],
                    grid=cast("tuple[int, int, int]", tuple(launch["grid"])),
                    buffers=tuple(
                        -1 - index if index < 0 else arguments[index]
                        for index in launch["arguments"]
                    ),
                    uniform=launch.get("uniform"),
                )
                for launch in entry["launches"]
            ),
            name=entry["name"],
            features=tuple(entry["features"]),
            threads=entry["threads"],
            shared_bytes=entry["shared_bytes"],
            subgroup_matrix=cast("tuple[int, int, int] | None", _tuple(entry["subgroup_matrix"])),
            subgroup_size=cast("tuple[int, int] | None", _tuple(entry["subgroup_size"])),
            scratch_bytes=tuple(entry["scratch_bytes"]),
            operations=entry["operations"],
            adapter_classes=tuple(entry.get("adapter_classes", ())),
            tile=entry.get("tile", ""),
            tuning_only=entry.get("tuning_only", False),
        )
        for entry in table["kernels"].get(kernel, [])
    ]


def _list(numbers: Iterable[int] | None) -> list[int] | None:
    return None if numbers is None else list(numbers)


def _tuple(numbers: Iterable[int] | None) -> tuple[int, ...] | None:
    return None if numbers is None else tuple(numbers)
