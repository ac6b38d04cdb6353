"""Choose which files of a component's folder hold its weights, as diffusers and transformers do.

A folder may hold several versions of the same weights: sharded or not, in several precisions
(variants), old copies, and files of the operating system. diffusers takes the index first and the
plain file second; transformers the other way round; both take a variant only when asked. WSD takes
a variant where there is nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from wsd.errors import CheckpointError

ReadIndex = Callable[[str], Mapping[str, Any]]

# Weights without the moving average, which are for further training; pictures drawn with them are
# worse.
_LAST = "non_ema"
_CONVERT = "save the checkpoint with diffusers' save_pretrained, or fetch its .safetensors version"
_DAMAGED = "the index is damaged: fetch the checkpoint again"


@dataclass(frozen=True)
class _Layout:
    """How a library names files: their stem, and whether an index goes before a plain file."""

    stem: str
    index_first: bool

    def indexes(self, variant: str | None) -> tuple[str, ...]:
        name = f"{self.stem}.safetensors"
        if variant is None:
            return (f"{name}.index.json",)
        # The second is how diffusers named it before version 0.31.
        return (f"{name}.index.{variant}.json", f"{name}.{variant}.index.json")

    def plain(self, variant: str | None) -> str:
        return (
            f"{self.stem}.safetensors" if variant is None else f"{self.stem}.{variant}.safetensors"
        )

    def variants(self, names: Collection[str]) -> list[str]:
        """Return the variants that have a whole file or an index, in alphabetical order."""
        stem = re.escape(self.stem)
        patterns = (
            rf"{stem}\.([^.]+)\.safetensors",
            rf"{stem}\.safetensors\.index\.([^.]+)\.json",
            rf"{stem}\.safetensors\.([^.]+)\.index\.json",
        )
        found = (re.fullmatch(pattern, name) for pattern in patterns for name in names)
        return sorted({m[1] for m in found if m and not re.search(r"-\d{5}-of-\d{5}$", m[1])})


_DIFFUSERS = _Layout("diffusion_pytorch_model", index_first=True)
_TRANSFORMERS = _Layout("model", index_first=False)


def choose_weight_files(
    names: Collection[str], library: str, read_index: ReadIndex, place: object
) -> list[str]:
    """Return the names of the files that hold a component's weights.

    Args:
        names: of all files in the component's folder.
        library: of the component's class: ``transformers``, or another for diffusers' names.
        read_index: returns the JSON object of an index file.
        place: the folder, for errors.

    Raises:
        CheckpointError: if there is none, if it cannot be told which is meant, or if a shard is
            missing that the index names.
    """
    layout = _TRANSFORMERS if library == "transformers" else _DIFFUSERS
    variants = layout.variants(names)
    others = [v for v in variants if v not in ("fp16", _LAST)]
    for variant in (None, "fp16", *others[:1], _LAST):
        chosen = _choose(layout, variant, names, read_index, place)
        if chosen and variant in others and len(others) > 1:
            raise CheckpointError(
                f"{place}: weights in variants {', '.join(others)}, and none without one",
                f"remove all but one, or rename it to {layout.plain(None)}",
            )
        if chosen:
            return chosen
    raise _explain_none(layout, names, place)


def _choose(
    layout: _Layout,
    variant: str | None,
    names: Collection[str],
    read_index: ReadIndex,
    place: object,
) -> list[str]:
    index = next((name for name in layout.indexes(variant) if name in names), None)
    plain = layout.plain(variant) if layout.plain(variant) in names else None
    if plain and (index is None or not layout.index_first):
        return [plain]
    return [] if index is None else _read_shards(index, names, read_index, place)


def _read_shards(
    index: str, names: Collection[str], read_index: ReadIndex, place: object
) -> list[str]:
    """Return the shards that an index names, in the order in which diffusers reads them."""
    table = read_index(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise CheckpointError(
            f"{place}/{index}: weight_map is missing or is no table of file names", _DAMAGED
        )
    if not table:
        raise CheckpointError(f"{place}/{index}: weight_map names no file", _DAMAGED)
    shards = sorted(set(table.values()))
    for shard in shards:
        if "/" in shard or "\\" in shard:
            raise CheckpointError(
                f"{place}/{index}: {shard!r} is not the name of a file in its folder", _DAMAGED
            )
        if not shard.endswith(".safetensors"):
            raise CheckpointError(
                f"{place}/{index}: {shard!r} is not the name of a .safetensors file", _CONVERT
            )
        if shard not in names:
            raise CheckpointError(
                f"{place}: {shard} is missing, which {index} names",
                "the checkpoint is incomplete: fetch it again",
            )
    return shards


def _explain_none(layout: _Layout, names: Collection[str], place: object) -> CheckpointError:
    seen = sorted(n for n in names if n.endswith(".safetensors") and not n.startswith("."))
    shards = [name for name in seen if re.search(r"-\d{5}-of-\d{5}\.", name)]
    if shards:
        return CheckpointError(
            f"{place}: {shards[0]} is a shard, and {layout.indexes(None)[0]} is missing",
            "the checkpoint is incomplete: fetch it again",
        )
    if seen:
        return CheckpointError(
            f"{place}: no {layout.plain(None)} here, only {', '.join(seen[:3])}",
            f"only that name is read: rename the right file to {layout.plain(None)}",
        )
    if any(name.endswith((".bin", ".ckpt", ".pt", ".msgpack")) for name in names):
        return CheckpointError(
            f"{place}: no .safetensors file here, only pickles, which can run code", _CONVERT
        )
    return CheckpointError(
        f"{place}: no .safetensors file here",
        "each component needs its weights as safetensors: convert or fetch them",
    )
