"""Compare a checkpoint's configurations with the family's, key by key.

A checkpoint's ``config.json`` is compared with the family's configuration *as its class would read
both*: keys that a file leaves out have the defaults of diffusers' or transformers' own class. Only
a key whose effective values differ matters, and then the architecture's rule decides
(:mod:`wsd.models.config_rules`).

diffusers ignores keys that its class does not know, so WSD ignores them too and says so in a note.
transformers keeps such keys, and its shared code reads some of them: those that neither the
architecture nor this module knows to be harmless are refused.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wsd.errors import CheckpointError
from wsd.models.conditioning import EmptyNegative
from wsd.models.config_rules import (
    ARCHITECTURE,
    Config,
    KeyRule,
    Reading,
    find_config_rules,
    is_int,
    one_of,
)
from wsd.models.family import Component, Family
from wsd.models.instantiate import find_class, own_section
from wsd.models.registry import FAMILIES

OTHER_FAMILY = "this checkpoint is of another family, or the file was changed; see: wsd models"

_ANY = KeyRule("harmless")
_IMPLEMENTATION = KeyRule(
    "harmless", "delete the key: WSD compiles attention by itself", one_of("eager", "sdpa", None)
)
# Keys that a class of transformers does not have, and that configurations carry nevertheless.
# transformers keeps them; nothing that a text encoder computes depends on them.
TRANSFORMERS_EXTRAS: Mapping[str, KeyRule] = {
    **dict.fromkeys(
        ("dropout", "gradient_checkpointing", "torch_dtype", "use_cache", "torchscript",
         "use_bfloat16", "tf_legacy_loss", "tie_word_embeddings", "tie_encoder_decoder",
         "add_cross_attention", "cross_attention_hidden_size", "is_decoder", "finetuning_task",
         "sep_token_id", "decoder_start_token_id", "prefix", "task_specific_params",
         "tokenizer_class", "num_labels", "name_or_path", "model_type",
         "_name_or_path", "_commit_hash", "_diffusers_version", "_attn_implementation_autoset"),
        _ANY,
    ),
    "output_attentions": KeyRule(
        "harmless", "set it to false: no picture needs what it returns", one_of(False, None)
    ),
    "pruned_heads": KeyRule(
        "harmless", "encoders whose heads were pruned are not compiled", one_of({}, None)
    ),
    "attn_implementation": _IMPLEMENTATION,
    "_attn_implementation": _IMPLEMENTATION,
    "_attn_implementation_internal": _IMPLEMENTATION,
}  # fmt: skip

# What the names of pipelines contain that do not draw from text alone.
_OTHER_TASKS: Mapping[str, str] = {
    "Inpaint": "inpainting",
    "XLImg2Img": "changing pictures, as SDXL's refiner is",
    "Img2Img": "changing pictures",
    "Pix2Pix": "editing pictures",
    "ControlNet": "drawing with a control picture",
    "Upscale": "upscaling",
    "SuperResolution": "upscaling",
    "Variation": "varying pictures",
    "Depth2Img": "drawing with a depth map",
}


@dataclass(frozen=True)
class Findings:
    """What a configuration says beyond the family's.

    Attributes:
        changes: keys of the variant, with the checkpoint's values.
        notes: sentences for the person who builds.
    """

    changes: Config
    notes: tuple[str, ...] = ()


def effective_config(component: Component, found: Config) -> dict[str, Any]:
    """Return a configuration as the component's class reads it, with the class's own defaults.

    Args:
        component: whose class reads it.
        found: what ``config.json`` holds, or a family's configuration.

    Raises:
        Exception: whatever the class raises for values that it refuses.
    """
    kind = find_class(component)
    given = copy.deepcopy(dict(found))
    if component.layout == "transformers":
        config = kind.config_class.from_dict(given)
        names = [field.name for field in dataclasses.fields(kind.config_class)]
        return _jsonable({name: getattr(config, name) for name in names})
    signature = _init_defaults(kind)
    # diffusers would warn about keys that the class does not know; WSD does that itself.
    known = {k: v for k, v in given.items() if k in signature or k.startswith("_")}
    read, _unused, _hidden = kind.extract_init_dict(known)
    return _jsonable({**signature, **read})


def unknown_keys(component: Component, found: Config) -> list[str]:
    """Return the keys of a configuration that the component's class does not have.

    Private keys of diffusers' configurations are left out: its classes throw them away.
    """
    kind = find_class(component)
    if component.layout == "transformers":
        from transformers import GenerationConfig

        # transformers throws the options of text generation away.
        thrown: Iterable[str] = GenerationConfig._get_default_generation_params()
        names = {field.name for field in dataclasses.fields(kind.config_class)}
        return sorted(set(found) - names - set(thrown))
    known = {"quantization_config", *_init_defaults(kind)}
    return sorted(key for key in found if key not in known and not key.startswith("_"))


def compare_config(family: Family, component: Component, found: Config, place: str) -> Findings:
    """Compare a checkpoint's configuration of a component with the family's.

    Args:
        family: the registry's entry.
        component: one of its components.
        found: what the checkpoint's ``config.json`` holds.
        place: the file, for messages.

    Raises:
        CheckpointError: for a configuration that is refused; it names the key and both values.
    """
    _check_class(family, component, found, place)
    try:
        found = own_section(component, found)
        own = effective_config(component, found)
    except Exception as error:
        raise CheckpointError(
            f"{place}: {component.class_name} refuses it: {_one_line(error)}",
            "correct the file, or fetch the checkpoint again",
        ) from error
    reading = Reading(
        own, effective_config(component, component.config), _pooled(family, component)
    )
    said = find_config_rules(family.architecture)
    rules = said.keys.get(component.class_name, {})
    blocks = len(reading.ours.get("block_out_channels", ()))
    changes: dict[str, Any] = {}
    notes: list[str] = []
    refused: list[tuple[str, KeyRule]] = []
    for key, value in own.items():
        ours = reading.ours.get(key)
        if _identical(value, ours):
            continue
        rule = rules.get(key, ARCHITECTURE)
        if _same(value, ours, blocks if key in said.per_block.get(component.class_name, ()) else 0):
            if rule.kind != "architecture" and not rule.accepts(value, reading):
                refused.append((key, rule))
        elif rule.kind == "architecture" or not rule.accepts(value, reading):
            refused.append((key, rule))
        elif rule.kind == "variant":
            changes[key] = value
        elif rule.note and value is not None:
            notes.append(f"{place}: {key} is {value!r}: {rule.note}")
    _refuse(family, component, reading, refused, place)
    notes += _judge_unknown(component, found, rules, reading, place)
    return Findings(changes, tuple(notes))


def apply_changes(family: Family, changes: Mapping[str, Config]) -> Family:
    """Return the family with configurations changed; itself if none is.

    Args:
        family: the registry's entry.
        changes: component id → keys and their new values.
    """
    if not any(changes.values()):
        return family
    components = tuple(
        replace(c, config={**c.config, **changes[c.id]}) if changes.get(c.id) else c
        for c in family.components
    )
    return replace(family, components=components)


def _check_class(family: Family, component: Component, found: Config, place: str) -> None:
    """Refuse a quantised model, and a model of another class."""
    if found.get("quantization_config") is not None:
        method = found["quantization_config"]
        named = method.get("quant_method") if isinstance(method, dict) else method
        raise CheckpointError(
            f"{place}: quantization_config is {named!r}, but {family.name} has no such key",
            "fetch the same model with weights that are not quantised",
        )
    names: Any = found.get("_class_name") or found.get("architectures") or [component.class_name]
    names = names if isinstance(names, list) else [names]
    allowed = [component.class_name, *component.saved_as]
    if component.layout == "transformers" and (model_type := found.get("model_type")) is not None:
        types = [
            find_class(replace(component, class_name=name)).config_class.model_type
            for name in allowed
        ]
        if model_type not in types:
            raise CheckpointError(
                f"{place}: model_type is {model_type!r}, but {family.name} has {types[0]!r}",
                OTHER_FAMILY,
            )
    if names[0] not in allowed:
        classes = [each.class_name for each in (component, *component.alternatives)]
        raise CheckpointError(
            f"{place}: class is {names[0]}, but {family.name} has {' or '.join(classes)}",
            OTHER_FAMILY,
        )


def _judge_unknown(
    component: Component, found: Config, rules: Mapping[str, KeyRule], reading: Reading, place: str
) -> list[str]:
    """Return notes about keys that the class does not have; refuse those that may matter."""
    unknown = unknown_keys(component, found)
    if component.layout == "transformers":
        extras = {**TRANSFORMERS_EXTRAS, **rules}
        judged = unknown
    else:
        extras = dict(rules)
        judged = [key for key in unknown if key in extras]
    for key in judged:
        if key not in extras or not extras[key].accepts(found[key], reading):
            why = extras[key].explain(found[key], reading) if key in extras else ""
            raise CheckpointError(
                f"{place}: {key} is {found[key]!r}, but {component.class_name} has no such key",
                why
                or "transformers keeps the key, and WSD does not know what it changes: if it "
                "is an annotation, delete it",
            )
    ignored = f"{component.class_name} does not have this key: diffusers ignores it, as does WSD"
    return [f"{place}: {key} is {found[key]!r}: {ignored}" for key in unknown if key not in judged]


def _refuse(
    family: Family,
    component: Component,
    reading: Reading,
    refused: list[tuple[str, KeyRule]],
    place: str,
) -> None:
    """Raise for the first of the refused keys, and name the others."""
    if not refused:
        return
    (key, rule), *others = refused
    value = reading.own[key]
    models = find_config_rules(family.architecture).known
    known = next(
        (
            text
            for name, _ in refused
            if (text := models.get((component.class_name, name), {}).get(_key(reading.own[name])))
        ),
        None,
    )
    hint = known or rule.explain(value, reading) or OTHER_FAMILY
    if others:
        hint += f"; other keys differ too: {', '.join(name for name, _ in others)}"
    raise CheckpointError(
        f"{place}: {key} is {value!r}, but {family.name} has {reading.ours.get(key)!r}", hint
    )


def _key(value: Any) -> object:
    return value if isinstance(value, str | int | float | bool | None) else None


def _pooled(family: Family, component: Component) -> bool:
    return any(e.pooled and e.component == component.id for e in family.conditioning.encoders)


def _same(one: Any, other: Any, blocks: int) -> bool:
    """Return whether two values mean the same: 8 and [8, 8, 8, 8], or 1 and the family's 1.0.

    Args:
        one: a value.
        other: the family's.
        blocks: number of blocks for a key that may have a value for each of them; else 0.
    """
    if blocks:
        one, other = (v if isinstance(v, list) else [v] * blocks for v in (one, other))
        return len(one) == len(other) and all(map(_same_value, one, other))
    return _same_value(one, other)


def _same_value(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_value, one, other))
    # A number of things is an integer; a float in its place is another value.
    if isinstance(one, bool) or isinstance(other, bool) or is_int(other):
        return type(one) is type(other) and one == other
    return bool(one == other)


def _identical(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _init_defaults(kind: Any) -> dict[str, Any]:
    """Return the parameters of a diffusers class with their defaults; None where there is none."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return {
        p.name: None if p.default is inspect.Parameter.empty else p.default
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _jsonable(config: Config) -> dict[str, Any]:
    """Return a configuration as JSON would read it back: tuples as lists."""
    return dict(json.loads(json.dumps(dict(config), default=str)))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


@dataclass(frozen=True)
class PipelineFindings:
    """What ``model_index.json`` says.

    Attributes:
        empty_negative: what an empty negative prompt stands for; None for the family's.
        scheduler_class: class of the scheduler; None if it names none.
        pipeline_class: class of the pipeline; None if it names none.
        notes: sentences for the person who builds.
    """

    empty_negative: EmptyNegative | None = None
    scheduler_class: str | None = None
    pipeline_class: str | None = None
    notes: tuple[str, ...] = ()


def compare_pipeline(family: Family, found: Config, place: str) -> PipelineFindings:
    """Compare a checkpoint's ``model_index.json`` with the family's pipeline.

    Args:
        family: the registry's entry.
        found: what the file holds.
        place: the file, for messages.

    Raises:
        CheckpointError: for a pipeline of another kind, and for members and options that WSD
            does not understand.
    """
    pipeline = family.architecture.diffusers_pipeline
    _check_pipeline_class(family, found.get("_class_name", pipeline), place)
    # The class alone, or with its library before it, as for a library that is not diffusers'.
    expected: dict[str, tuple[str, ...]] = {
        c.id: tuple(
            name
            for each in (c, *c.alternatives)
            for name in (each.class_name, f"{each.library}.{each.class_name}")
        )
        for c in family.drawing_components
    }
    expected |= {t.name: (t.kind.class_name, *t.kind.saved_as, "None") for t in family.tokenizers}
    # One that can be left out comes from elsewhere if the file names none and the family has it.
    for name in family.conditioning.optional:
        expected[name] += ("None",)
    found = _without_defaults(found, place)
    options = _pipeline_defaults(family)
    harmless = find_config_rules(family.architecture).options
    empty_negative: EmptyNegative | None = None
    scheduler: str | None = None
    notes: list[str] = []
    for key, value in found.items():
        if key.startswith("_"):
            continue
        if key in expected:
            _check_member(family, key, value, expected[key], place)
        elif key == "scheduler":
            scheduler = _member_class(value)
        elif key == "force_zeros_for_empty_prompt" and key in options:
            _check(isinstance(value, bool | None), place, key, value, "expected true or false")
            # As in Python, null is false.
            empty_negative = "zeros" if value else "encode"
        elif key in harmless:
            rule = harmless[key]
            good = rule.accepts(value, _NOTHING)
            _check(good, place, key, value, rule.explain(value, _NOTHING))
        elif key in options:
            _check(_identical(value, options[key]), place, key, value, OTHER_FAMILY, options[key])
        else:
            ignored = f"{pipeline} does not have this key: diffusers ignores it, as does WSD"
            notes.append(f"{place}: {key} is {value!r}: {ignored}")
    if "force_zeros_for_empty_prompt" in options and empty_negative is None:
        default = options["force_zeros_for_empty_prompt"]
        empty_negative = "zeros" if default else "encode"
    return PipelineFindings(empty_negative, scheduler, found.get("_class_name"), tuple(notes))


def _without_defaults(found: Config, place: str) -> Config:
    """Return a file's keys without those that its ``_use_default_values`` lists."""
    forgotten = found.get("_use_default_values", [])
    _check(
        isinstance(forgotten, list), place, "_use_default_values", forgotten,
        "expected a list of keys: diffusers takes its own defaults for them",
    )  # fmt: skip
    return {key: value for key, value in found.items() if key not in forgotten}


_NOTHING = Reading({}, {})


def _check(good: bool, place: str, key: str, value: Any, hint: str, ours: Any = None) -> None:
    if not good:
        expectation = "" if ours is None else f", expected {ours!r}"
        raise CheckpointError(f"{place}: {key} is {value!r}{expectation}", hint or OTHER_FAMILY)


def _check_pipeline_class(family: Family, name: Any, place: str) -> None:
    pipeline = family.architecture.diffusers_pipeline
    if name in (pipeline, *find_config_rules(family.architecture).same_pipelines):
        return
    # A pipeline that a checkpoint brings itself is a list of module and class.
    shown = ".".join(map(str, name)) if isinstance(name, list) else str(name)
    task = next((task for part, task in _OTHER_TASKS.items() if part in shown), None)
    others = [f.name for f in FAMILIES.values() if f.architecture.diffusers_pipeline == shown]
    kind = f"for {task}" if task else "of another family"
    if others:
        hint = f"this checkpoint is {kind}: pass --model {' or '.join(others)}"
    elif task:
        hint = f"this checkpoint is {kind}, and WSD draws as diffusers' {pipeline} does"
    else:
        hint = (
            f"WSD draws as diffusers' {pipeline} does: if this checkpoint is for it, write its "
            "name there"
        )
    raise CheckpointError(
        f"{place}: _class_name is {shown}, but {family.name} has {pipeline}", hint
    )


def _check_member(
    family: Family, key: str, value: Any, expected: tuple[str, ...], place: str
) -> None:
    name = _member_class(value)
    if str(name) not in expected:
        raise CheckpointError(
            f"{place}: {key} is {name}, but {family.name} has {expected[0]}", OTHER_FAMILY
        )


def _member_class(value: Any) -> str | None:
    """Return the class of a member, which is a list of library and class; None for null."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
        return f"{value[0]}.{value[1]}" if value[0] not in _LIBRARIES else value[1]
    return None


_LIBRARIES = ("diffusers", "transformers")


def _pipeline_defaults(family: Family) -> dict[str, Any]:
    """Return the options of the family's pipeline with their defaults."""
    signature = inspect.signature(family.architecture.pipeline_class().__init__)
    return {
        p.name: p.default
        for p in signature.parameters.values()
        if p.default is not inspect.Parameter.empty
    }
