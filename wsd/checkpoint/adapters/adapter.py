"""Open an adapter's file for a family: every tensor is found a use, or the file is refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsd.checkpoint.adapters.layer import Layer, Scaling, read_bias, read_layer
from wsd.checkpoint.adapters.layer_keys import explain_other_kind, split_key
from wsd.checkpoint.adapters.names import LayerTable, Place, Target
from wsd.checkpoint.number_formats import check_finite
from wsd.checkpoint.safetensors_file import list_safetensors, read_metadata
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError
from wsd.models.family import Family
from wsd.util.hashing import sha256_once
from wsd.util.json_reader import parse_json

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_FLOATS = ("F32", "F16", "BF16")
_INTEGERS = ("I64", "I32")
# Names that an error lists.
_SHOWN = 3
# Settings of the adapter in the metadata that diffusers writes.
_SETTINGS = "lora_adapter_metadata"
_PICKLE_HINT = "convert it to .safetensors, or fetch that version"


@dataclass(frozen=True)
class Adapter:
    """An adapter's file, opened for a family.

    Attributes:
        path: the file.
        sha256: of the file.
        layers: component id → name of a parameter → what is done to it.
        metadata: of the file, as trainers write it.
        tensors: number of tensors in the file.
    """

    path: Path
    sha256: str
    layers: Mapping[str, Mapping[str, Layer]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    tensors: int = 0

    @property
    def license(self) -> str:
        """Return the licence in the metadata, by Stability's ModelSpec; empty if it has none."""
        return self.metadata.get("modelspec.license", "")

    @property
    def count(self) -> int:
        """Return the number of parameters that it changes."""
        return sum(len(layers) for layers in self.layers.values())

    def find_unused(self, read: Mapping[str, Collection[str]]) -> list[str]:
        """Return the parameters that it changes and that a model does not run.

        The last layer of SDXL's first text encoder is one that some trainers change.

        Args:
            read: component id → names of the parameters that the compiled functions read.

        Returns:
            component id and name, joined by a point.
        """
        return [
            f"{component}.{name}"
            for component, layers in self.layers.items()
            for name in layers
            if name not in read.get(component, ())
        ]


def open_adapter(path: Path, family: Family) -> Adapter:
    """Open an adapter for a family; its values are read once, to be checked.

    Args:
        path: a ``.safetensors`` file.
        family: the model, as the checkpoint's configurations have it.

    Raises:
        CheckpointError: if the file is damaged or no adapter, of another family, names layers that
            the model has not, holds values that are not finite, or its shapes do not fit.
    """
    if path.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"adapter {path} is a pickle, which can run code when it is read", _PICKLE_HINT
        )
    stored = list_safetensors(path)
    table = LayerTable(family)
    if not table.components:
        raise CheckpointError(
            f"{path}: {family.name} takes no adapters", "leave --lora out for this model"
        )
    metadata = read_metadata(path)
    grouped = _group(path, stored, table, family)
    settings = _read_settings(path, metadata)
    layers: dict[str, dict[str, Layer]] = {}
    for target, found in grouped.items():
        changed = layers.setdefault(target.component, {})
        for kind, layer in _read_target(path, found, table, settings, family):
            changed[f"{target.module}.{kind}"] = layer
    for tensor in stored.values():
        _check_values(tensor)
    return Adapter(path, sha256_once(path), layers, metadata, len(stored))


@dataclass(frozen=True)
class _Found:
    """What a file has for one of the model's layers.

    Attributes:
        name: of the layer in the file.
        place: where that belongs.
        parts: what of the layer → tensor.
    """

    name: str
    place: Place
    parts: dict[str, StoredTensor] = field(default_factory=dict)


def _group(
    path: Path, stored: Mapping[str, StoredTensor], table: LayerTable, family: Family
) -> dict[Target, _Found]:
    """Return the tensors of each layer.

    Raises:
        CheckpointError: if there are none, if it is of another family, if a name means nothing of
            the model's, or if two layers of the file mean one.
    """
    if not stored:
        raise CheckpointError(f"{path}: it holds no tensors", "pass the file of an adapter")
    grouped: dict[Target, _Found] = {}
    unknown: list[str] = []
    for key, tensor in stored.items():
        split = split_key(key)
        places = () if split is None else table.find(split.layer)
        if split is None or not places:
            unknown.append(key)
            continue
        for place in places:
            found = grouped.setdefault(place.target, _Found(split.layer, place))
            if found.name != split.layer or split.part in found.parts:
                twice = found.parts.get(split.part, tensor).key
                raise CheckpointError(
                    f"{path}: layer {place.target} is there twice: as {found.name} and as "
                    f"{split.layer} ({twice}, {key})",
                    "the adapter is damaged, or two are in one file: pass each by itself",
                )
            found.parts[split.part] = tensor
    _check_family(path, stored, table, family)
    if unknown:
        shown = ", ".join(unknown[:_SHOWN]) + ", …" * (len(unknown) > _SHOWN)
        raise CheckpointError(
            f"{path}: {len(unknown)} of its {len(stored)} tensors mean no layer of {family.name}: "
            f"{shown}",
            explain_other_kind(unknown)
            or "the adapter is of another model, or in a format that WSD does not read: take one "
            f"that was made for {family.name}",
        )
    return grouped


def _check_family(
    path: Path, stored: Mapping[str, StoredTensor], table: LayerTable, family: Family
) -> None:
    """Refuse an adapter of another family, by the names of its layers and their widths."""
    theirs, own = table.find_model(_find_inputs(stored)), table.model
    if not theirs.differs(own):
        return
    made, this = theirs.title(own), f"{family.name} ({own.name})" if own.name else family.name
    if theirs.is_of_other_width(own):
        made += f", {theirs.reads} features"
        this += f", {own.reads}"
    raise CheckpointError(
        f"{path}: it is an adapter for {made}; the model is {this}",
        f"take an adapter that was made for {own.name or family.name}, or a checkpoint of the "
        "adapter's own family",
    )


def _find_inputs(stored: Mapping[str, StoredTensor]) -> dict[str, int | None]:
    """Return name of a layer in a file → features of its input, where a factor's shape has them."""
    inputs: dict[str, int | None] = {}
    for key, tensor in stored.items():
        split = split_key(key)
        name = key if split is None else split.layer
        inputs.setdefault(name, None)
        tells = split is not None and split.part in ("down", "hada_w1_b", "diff")
        if tells and len(tensor.shape) > 1:
            inputs[name] = tensor.shape[1]
    return inputs


def _read_target(
    path: Path, found: _Found, table: LayerTable, settings: Mapping[str, Any], family: Family
) -> Iterator[tuple[str, Layer]]:
    """Yield ``weight`` and ``bias`` of a layer, as far as they are changed, and how."""
    name, place, parts = found.name, found.place, found.parts
    weight = {part: tensor for part, tensor in parts.items() if part != "diff_b"}
    bias = parts.get("diff_b")
    for tensor in parts.values():
        _check_format(tensor)
    if weight and not (bias is not None and set(weight) <= {"alpha"}):
        shape = table.shape(place, "weight")
        assert shape is not None
        scaling = find_scaling(path, place.target, settings)
        yield "weight", read_layer(name, weight, shape, scaling, place.rows)
    if bias is not None:
        shape = table.shape(place, "bias")
        if shape is None:
            raise CheckpointError(
                f"{path}: {bias.key} changes a bias, and {place.target} has none",
                f"take an adapter that was made for {family.name}",
            )
        yield "bias", read_bias(name, bias, shape, place.rows)


def _check_format(tensor: StoredTensor) -> None:
    allowed = (*_FLOATS, *_INTEGERS, "F64") if tensor.key.endswith(".alpha") else _FLOATS
    if tensor.dtype not in allowed:
        raise CheckpointError(
            f"{tensor.path}: tensor {tensor.key} holds {tensor.dtype} numbers, expected one of "
            f"{', '.join(_FLOATS)}",
            "take the adapter in float16 or float32",
        )


def _check_values(tensor: StoredTensor) -> None:
    values = tensor.read()
    if values.is_floating_point():
        try:
            check_finite(tensor.key, values)
        except CheckpointError as error:
            raise CheckpointError(
                f"{tensor.path}: {error.message}", "the adapter is damaged: fetch it again"
            ) from error


def _read_settings(path: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the settings that diffusers writes; empty if there are none."""
    text = metadata.get(_SETTINGS)
    if text is None:
        return {}
    try:
        settings = parse_json(text)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: its metadata {_SETTINGS} is no JSON ({error})", "fetch the adapter again"
        ) from error
    if not isinstance(settings, dict):
        raise CheckpointError(
            f"{path}: its metadata {_SETTINGS} is no object", "fetch the adapter again"
        )
    return settings


def find_scaling(path: Path, target: Target, settings: Mapping[str, Any]) -> Scaling:
    """Return what an adapter's settings say of a layer, as PEFT reads them.

    Args:
        path: the adapter's file, for messages.
        target: the layer.
        settings: of all components, as diffusers writes them into a file's metadata.

    Raises:
        CheckpointError: if a setting is of another type, or a pattern is no name of layers.
    """

    def get(name: str) -> Any:
        return settings.get(f"{target.component}.{name}")

    def refuse(what: str) -> CheckpointError:
        return CheckpointError(
            f"{path}: its metadata {_SETTINGS} {what}",
            "save the adapter again with an alpha for each layer",
        )

    alpha, patterns, by_root = get("lora_alpha"), get("alpha_pattern"), get("use_rslora")
    if not isinstance(patterns, dict | None):
        raise refuse("has no object as alpha_pattern")
    # PEFT takes whatever Python takes for true; of numbers that is clear.
    if not isinstance(by_root, bool | int | float | None):
        raise refuse("has neither true nor false as use_rslora")
    names = {p.removeprefix("^").removesuffix("$"): value for p, value in (patterns or {}).items()}
    for name in names:
        if not re.fullmatch(r"[\w.]+", name, re.ASCII):
            raise refuse(
                f"has the pattern {name[:60]!r} in alpha_pattern, and names of layers alone "
                "are read"
            )
    for name, value in names.items():
        if f".{target.module}".endswith(f".{name}"):
            alpha = value
            break
    if alpha is None:
        return Scaling(by_root=bool(by_root))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise refuse(f"has the alpha {alpha!r} for {target}, expected a number")
    return Scaling(float(alpha), bool(by_root))
