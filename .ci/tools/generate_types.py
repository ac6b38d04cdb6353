"""``python -m tools.generate_types``: write for TypeScript what it shares with Python.

Six files are generated and checked in, and ``tests/unit/test_generated.py`` fails when one is not
current: the manifest's JSON Schema, the types of the JSON files that a bundle holds, the settings'
JSON Schema, their types with the same schema, constants, and the headers of every answer. The
types are written from the schema by :func:`render_types` rather than by npm's
json-schema-to-typescript, which does not read draft 2020-12's tuples (``prefixItems``) and would
make a check of Python files need Node.js.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from wsd import __version__
from wsd.kernels import choice, variant
from wsd.kernels.registry import variant_names
from wsd.models import fine_tunes
from wsd.models.schedulers import MAX_STEPS, SCHEDULERS
from wsd.models.sd35 import original_names
from wsd.runtime import given_picture, http_headers, prompt_syntax, request
from wsd.spec import (
    adapter_bundle,
    inference_settings,
    kernel_choices,
    manifest,
    paths,
    picture,
    seed,
    selection,
    self_test,
    skip_layer_guidance,
    tolerances,
)
from wsd.spec.parameter import GROUP
from wsd.spec.precision import DTYPES
from wsd.spec.roles import (
    BLOCK_SCALES,
    DEEP_FEATURES,
    GUIDANCE_EMBEDDING,
    LINEAR_COMBINATION_TERMS,
    MOMENTS,
    ROLES,
    TEXT_STATES,
)
from wsd.util import json_reader
from wsd.util.files import REPOSITORY, write_atomically

_COMMAND = "python -m tools.generate_types"
_WIDTH = 100
# Beyond it a JavaScript number loses digits, so the constant is a bigint.
_MAX_SAFE_INTEGER = 2**53 - 1
_SCALARS = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_MODE: JsonSchemaMode = "validation"

Schema = dict[str, Any]


class _SchemaWriter(GenerateJsonSchema):
    """JSON Schema of what WSD writes: every field is there unless it may be absent."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ARG002 - pydantic's
        """Return whether a field is written always: all are but those whose default is None."""
        schema = field["schema"]
        return schema["type"] != "default" or schema["default"] is not None


def manifest_schema() -> Schema:
    """Return the manifest's JSON Schema, draft 2020-12."""
    schema = _tidy(manifest.Manifest.model_json_schema(schema_generator=_SchemaWriter))
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:wsd:manifest:{manifest.SCHEMA_VERSION}",
        "$comment": f"Generated from wsd/spec/manifest.py: {_COMMAND}",
        **schema,
        "title": "WSD model manifest",
    }


def bundle_types() -> dict[str, Schema]:
    """Return name → JSON Schema of the objects in a bundle's JSON files, sorted by name."""
    roots = (
        manifest.Manifest,
        manifest.IndexEntry,
        manifest.SchedulerConstants,
        self_test.SelfTest,
        kernel_choices.KernelChoices,
        adapter_bundle.AdapterBundle,
    )
    _, schema = models_json_schema(
        [(root, _MODE) for root in roots], schema_generator=_SchemaWriter
    )
    found: dict[str, Schema] = _tidy(schema)["$defs"]
    return dict(sorted(found.items()))


def settings_schema() -> Schema:
    """Return the JSON Schema of a document of settings, draft 2020-12."""
    document = inference_settings.SettingsDocument
    schema = _tidy(document.model_json_schema(schema_generator=_SchemaWriter))
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:wsd:settings:1",
        "$comment": f"Generated from wsd/spec/inference_settings.py: {_COMMAND}",
        **schema,
        "title": "WSD settings of inference",
    }


def render_settings() -> str:
    """Return the types of settings for TypeScript, and what their values may be.

    The schema there is that of ``inference.diffusion``, without descriptions and with references
    resolved: the page's check knows the words of JSON Schema that are left.
    """
    definitions: dict[str, Schema] = settings_schema()["$defs"]
    inner = {n: d for n, d in definitions.items() if n != "InferenceSettings"}
    header = (
        "/**\n"
        " * Settings of inference: their types, what their values may be, and their defaults.\n"
        f" * Generated from wsd/spec/inference_settings.py: {_COMMAND}\n"
        " */\n"
    )
    schema = _resolve(definitions["DiffusionSettings"], definitions)
    defaults = inference_settings.DEFAULTS.model_dump(mode="json", by_alias=True)
    constants = [
        *_literal("export const SETTINGS_ROOT = ", inference_settings.ROOT, ";"),
        *_literal("export const STAGES = ", list(inference_settings.STAGES), " as const;"),
        *_literal("export const SETTINGS_SCHEMA = ", schema, " as const;"),
        *_literal("export const DEFAULT_SETTINGS = ", defaults, " as const;"),
        "",
    ]
    types = [_interface(name, described, given=True) for name, described in sorted(inner.items())]
    return "\n".join([header, *types, *constants])


def _resolve(schema: Any, definitions: Mapping[str, Schema]) -> Any:
    """Return a schema without descriptions, and with what it refers to in its place."""
    if isinstance(schema, list):
        return [_resolve(item, definitions) for item in schema]
    if isinstance(schema, float):
        return _shortest(schema)
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolve(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        # A literal of one value, so that errors list values alike.
        return {"enum": [schema["const"]]}
    return {
        key: {name: _resolve(item, definitions) for name, item in value.items()}
        if key == "properties"
        else _resolve(value, definitions)
        for key, value in schema.items()
        if key != "description" and not (key == "type" and "enum" in schema)
    }


def _tidy(schema: Any) -> Any:
    """Return a schema without what pydantic adds that tells nothing.

    Those are titles made of the fields' names, and defaults; an optional field may be absent,
    but it is never null.
    """
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "default" in schema and schema["default"] is None:
        kept = [item for item in schema["anyOf"] if item != {"type": "null"}]
        union = kept[0] if len(kept) == 1 else {"anyOf": kept}
        schema = {**union, **{k: v for k, v in schema.items() if k not in ("anyOf", "default")}}
    return {
        key: {name: _tidy(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _tidy(value)
        for key, value in schema.items()
        if key != "default" and not (key == "title" and isinstance(value, str))
    }


def render_types(types: Mapping[str, Schema]) -> str:
    """Return TypeScript interfaces of JSON Schema objects, formatted as Prettier does.

    Raises:
        ValueError: for a construct of JSON Schema that the manifest has not used so far.
    """
    header = (
        "/**\n"
        " * Types of a bundle's JSON files: manifest.json, models/index.json and the self-test.\n"
        f" * Generated from wsd/spec/manifest.py and wsd/spec/self_test.py: {_COMMAND}\n"
        " */\n"
    )
    return "\n".join([header, *(_interface(name, schema) for name, schema in types.items())])


def _interface(name: str, schema: Schema, *, given: bool = False) -> str:
    """Return an interface.

    Args:
        name: of the interface.
        schema: of an object.
        given: whether callers give it, who may say undefined of what they leave out.
    """
    if schema.get("type") != "object" or "properties" not in schema:
        raise ValueError(f"{name}: only objects with properties become interfaces: {schema}")
    lines = [*_comment(schema.get("description", ""), ""), f"export interface {name} {{"]
    for field, described in schema["properties"].items():
        lines += _comment(described.get("description", ""), "  ")
        mark = "" if field in schema.get("required", ()) else "?"
        members = [*_type(described), *(["undefined"] if given else [])]
        lines += _declaration(f"  {field}{mark}: ", members, "    ")
    return "\n".join([*lines, "}", ""])


def _type(schema: Schema) -> list[str]:
    """Return the members of the union that a schema is, most often one."""
    if "$ref" in schema:
        return [schema["$ref"].rpartition("/")[2]]
    if "const" in schema:
        return [json.dumps(schema["const"])]
    if "enum" in schema:
        return [json.dumps(value) for value in schema["enum"]]
    if "anyOf" in schema:
        return [member for item in schema["anyOf"] for member in _type(item)]
    return [_plain_type(schema)]


def _plain_type(schema: Schema) -> str:
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"readonly [{', '.join(_single(item) for item in schema['prefixItems'])}]"
        case "array":
            item = _single(schema["items"])
            return f"({item})[]" if " " in item else f"{item}[]"
        case "object":
            return f"Record<string, {_single(schema['additionalProperties'])}>"
        case str(kind) if kind in _SCALARS:
            return _SCALARS[kind]
    raise ValueError(f"no TypeScript type is known for the JSON Schema {schema}")


def _single(schema: Schema) -> str:
    return " | ".join(dict.fromkeys(_type(schema)))


def _declaration(start: str, members: Sequence[str], indent: str) -> list[str]:
    line = f"{start}{' | '.join(members)};"
    if len(line) <= _WIDTH:
        return [line]
    if len(moved := f"{indent}{' | '.join(members)};") <= _WIDTH:
        return [start.rstrip(), moved]
    return [start.rstrip(), *(f"{indent}| {member}" for member in members[:-1]),
            f"{indent}| {members[-1]};"]  # fmt: skip


def _comment(text: str, indent: str) -> list[str]:
    """Return a description as a JSDoc comment: one line where it fits."""
    text = text.replace("``", "`")
    if not text:
        return []
    if len(line := f"{indent}/** {text} */") <= _WIDTH and "\n" not in text:
        return [line]
    wrapped = [
        line
        for paragraph in text.split("\n\n")
        for line in ("", *textwrap.wrap(paragraph, _WIDTH - len(indent) - 3))
    ]
    return [f"{indent}/**", *(f"{indent} * {w}".rstrip() for w in wrapped[1:]), f"{indent} */"]


def render_constants() -> str:
    """Return the constants that TypeScript shares with Python."""
    header = (
        "/**\n"
        " * Numbers and names that Python and TypeScript agree on.\n"
        f" * Generated from Python, each from the module named above it: {_COMMAND}\n"
        " */\n"
    )
    groups: list[tuple[str, dict[str, object]]] = [
        ("wsd/__init__.py", {"VERSION": __version__}),
        ("wsd/spec/manifest.py", {"SCHEMA_VERSION": manifest.SCHEMA_VERSION}),
        ("wsd/spec/kernel_choices.py", {"CHOICES_VERSION": kernel_choices.VERSION}),
        (
            "wsd/spec/paths.py: names of files in bundles",
            {
                "NAME_PATTERN": paths.NAME_PATTERN,
                "MAX_NAME": paths.MAX_NAME,
                "RESERVED_NAMES": list(paths.RESERVED_NAMES),
            },
        ),
        (
            "wsd/util/json_reader.py: most bytes of a JSON file",
            {"MAX_BYTES": json_reader.MAX_SHADER_BYTES},
        ),
        (
            "wsd/spec/roles.py",
            {
                "ROLES": list(ROLES),
                "LINEAR_COMBINATION_TERMS": LINEAR_COMBINATION_TERMS,
                "TEXT_STATES": TEXT_STATES,
                "BLOCK_SCALES": BLOCK_SCALES,
                "DEEP_FEATURES": DEEP_FEATURES,
                "GUIDANCE_EMBEDDING": GUIDANCE_EMBEDDING,
                "MOMENTS": MOMENTS,
            },
        ),
        (
            "wsd/spec/skip_layer_guidance.py",
            {
                "SKIP_LAYER_GUIDANCE": {
                    "scale": skip_layer_guidance.DEFAULT_SCALE,
                    "start": skip_layer_guidance.DEFAULT_START,
                    "stop": skip_layer_guidance.DEFAULT_STOP,
                }
            },
        ),
        ("wsd/spec/precision.py", {"PRECISIONS": list(DTYPES)}),
        (
            "wsd/spec/parameter.py: values of an int4 row that share a scale",
            {"INT4_GROUP": GROUP},
        ),
        (
            "wsd/models/schedulers.py: the most steps of any scheduler, and their names",
            {"MAX_STEPS": MAX_STEPS, "SCHEDULERS": list(SCHEDULERS)},
        ),
        (
            "wsd/models/schedulers.py: [program, sampler, scheduler] that draw as a scheduler does",
            {
                "SAMPLER_NAMES": {
                    name: [list(known) for known in scheduler.samplers] + _name_class(name)
                    for name, scheduler in SCHEDULERS.items()
                }
            },
        ),
        (
            "wsd/models/fine_tunes.py: what a LoRA that was distilled for few steps needs, by name",
            {
                "FAST_VARIANTS": [_fast_variant(name) for name in fine_tunes.ADAPTER_WORDS],
                "ADAPTER_TITLES": list(fine_tunes.TITLES),
                "TRAINED_ON_PICTURES": list(fine_tunes.TRAINED_ON_PICTURES),
                "TEXT_ENCODER_KEY": fine_tunes.TEXT_ENCODER_KEY,
                "RESIDUAL_KEY": fine_tunes.RESIDUAL_KEY,
            },
        ),
        (
            "wsd/models/sd35/original_names.py: layers of a transformer in the original code",
            {
                "TRANSFORMER_TOP": dict(original_names.TOP),
                "TRANSFORMER_LAYERS": {
                    side: dict(layers) for side, layers in original_names.LAYERS.items()
                },
                "TRANSFORMER_HEADS": {
                    side: {layer: list(heads) for layer, heads in layers.items()}
                    for side, layers in original_names.HEADS.items()
                },
                "SWAPPED_TOP": original_names.SWAPPED_TOP,
                "SWAPPED_IN_LAST_BLOCK": original_names.SWAPPED_IN_LAST_BLOCK,
            },
        ),
        (
            "wsd/spec/manifest.py: fields of SchedulerConfig that older manifests lack",
            {"SCHEDULER_DEFAULTS": _defaults(manifest.SchedulerConfig)},
        ),
        (
            "wsd/spec/seed.py, inference_settings.py, wsd/runtime/request.py: limits of a request",
            {
                "MIN_SEED": seed.MIN_SEED,
                "MAX_SEED": seed.MAX_SEED,
                "MAX_GUIDANCE": inference_settings.MAX_GUIDANCE,
                "MAX_IMAGES": request.MAX_IMAGES,
            },
        ),
        (
            "wsd/runtime/prompt_syntax.py: syntaxes of prompts, and their limits",
            {
                "PROMPT_SYNTAXES": list(prompt_syntax.PROMPT_SYNTAXES),
                "MOST_NESTED_BRACKETS": prompt_syntax.MOST_NESTED_BRACKETS,
                "MOST_PROMPT_WEIGHT": prompt_syntax.MOST_PROMPT_WEIGHT,
                "COMMA_BACKTRACK": prompt_syntax.COMMA_BACKTRACK,
            },
        ),
        (
            "wsd/runtime/given_picture.py: what a picture is drawn from with, where nobody says it",
            {
                "MASKED_FROM": given_picture.MASKED_FROM,
                "DEFAULT_STRENGTH": given_picture.DEFAULT_STRENGTH,
                "DEFAULT_MASKED_STRENGTH": given_picture.DEFAULT_MASKED_STRENGTH,
            },
        ),
        (
            "wsd/spec/picture.py: how a given picture is fitted, and how large it may be in pixels",
            {
                "FITS": list(picture.FITS),
                "LONGEST_SIDE": picture.LONGEST_SIDE,
                "MOST_PIXELS": picture.MOST_PIXELS,
            },
        ),
        (
            "wsd/kernels/variant.py: WebGPU features, and limits that every adapter has",
            {
                "F16": variant.F16,
                "SUBGROUPS": variant.SUBGROUPS,
                "SUBGROUP_MATRIX": variant.SUBGROUP_MATRIX,
                "KERNEL_FEATURES": list(variant.FEATURES),
                "BASELINE_MAX_THREADS": variant.BASELINE_MAX_THREADS,
                "BASELINE_MAX_SHARED_BYTES": variant.BASELINE_MAX_SHARED_BYTES,
            },
        ),
        (
            "wsd/kernels/registry.py: names of the kernel variants, the fastest of a problem first",
            {"VARIANT_NAMES": variant_names()},
        ),
        (
            "wsd/kernels/choice.py: values of the option kernels, and what deprecated ones allow",
            {
                "AUTO": choice.AUTO,
                "GENERATED": choice.GENERATED,
                "LEGACY_KERNEL_MODES": choice.LEGACY_KERNEL_MODES,
            },
        ),
        (
            "wsd/spec/selection.py: rules for bundles without rules, and how conditions compare",
            {
                "SELECTION_TESTS": list(selection.TESTS),
                "SELECTION_RULES": selection.SELECTION_RULES.model_dump(mode="json"),
            },
        ),
        (
            "wsd/spec/tolerances.py: largest relative errors and least PSNR (dB)",
            {
                "STAGE_TOLERANCE": tolerances.STAGE_TOLERANCE,
                "LATENTS_TOLERANCE": tolerances.LATENTS_TOLERANCE,
                "PICTURE_PSNR": tolerances.PICTURE_PSNR,
                "ROUNDING_PSNR": dict(tolerances.ROUNDING_PSNR),
                "SELF_TEST_TOLERANCE": dict(tolerances.SELF_TEST_TOLERANCE),
            },
        ),
    ]
    return "\n".join([header, *(_constants(source, values) for source, values in groups)])


def _fast_variant(name: str) -> dict[str, object]:
    tune = fine_tunes.FINE_TUNES[name]
    return {
        "name": name,
        "words": fine_tunes.ADAPTER_WORDS[name],
        "architectures": list(tune.architectures),
        "scheduler": fine_tunes.run_time_scheduler(tune),
        "steps": tune.steps,
        "guidance": _shortest(tune.guidance_scale),
        "eta": _shortest(tune.eta),
    }


def _shortest(value: float) -> float:
    """Return a number that is written without a fraction if it has none, as Prettier writes it."""
    return int(value) if value.is_integer() else value


def _name_class(name: str) -> list[list[str]]:
    """Return the class of diffusers as a sampler's name, for the first scheduler of each class."""
    class_name = SCHEDULERS[name].class_name
    first = next(other for other, each in SCHEDULERS.items() if each.class_name == class_name)
    return [["diffusers", class_name, ""]] if first == name else []


def _defaults(model: type[BaseModel]) -> dict[str, object]:
    """Return field → default of the fields that have one, tuples as lists."""
    return {
        name: list(field.default) if isinstance(field.default, tuple) else field.default
        for name, field in model.model_fields.items()
        if not field.is_required() and field.default is not None
    }


def _constants(source: str, values: Mapping[str, object]) -> str:
    lines = [f"// {source}"]
    for name, value in values.items():
        constant = " as const" if isinstance(value, (list, dict)) else ""
        lines += _literal(f"export const {name} = ", value, f"{constant};")
    return "\n".join([*lines, ""])


def _literal(start: str, value: object, end: str) -> list[str]:
    """Return the lines of a literal, in one line where it fits, else broken as Prettier does."""
    line = start + _one_line(value) + end
    if not isinstance(value, (list, dict)) or (len(line) <= _WIDTH and not _is_matrix(value)):
        return [line]
    indent = " " * (len(start) - len(start.lstrip()) + 2)
    if isinstance(value, list):
        items = [_literal(indent, item, ",") for item in value]
        return [f"{start}[", *(text for item in items for text in item), f"{_outer(start)}]{end}"]
    items = [_literal(f"{indent}{_key(key)}: ", item, ",") for key, item in value.items()]
    return [f"{start}{{", *(text for item in items for text in item), f"{_outer(start)}}}{end}"]


def _is_matrix(value: object) -> bool:
    """Tell whether Prettier writes a line for each item: several lists of several items each."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(item, list) and len(item) > 1 for item in value)
    )


def _outer(start: str) -> str:
    return " " * (len(start) - len(start.lstrip()))


def _key(name: str) -> str:
    """Return a property's name, in quotes where it needs them, as Prettier writes it."""
    return name if name.isidentifier() else json.dumps(name)


def _one_line(value: object) -> str:
    match value:
        case list():
            return f"[{', '.join(_one_line(item) for item in value)}]"
        case dict():
            items = ", ".join(f"{_key(key)}: {_one_line(item)}" for key, item in value.items())
            return f"{{ {items} }}"
        case int() if abs(value) > _MAX_SAFE_INTEGER:
            return f"{value}n"
        case _:
            return json.dumps(value)


def render_headers() -> str:
    """Return the headers that servers send, for the bundler of the page."""
    lines = [
        "// Headers of every answer, for build.mjs.",
        f"// Generated from wsd/runtime/http_headers.py: {_COMMAND}",
        "",
        "export const HEADERS = {",
    ]
    for name, value in http_headers.HEADERS.items():
        line = f"  {json.dumps(name)}: {json.dumps(value)},"
        broken = [f"  {json.dumps(name)}:", f"    {json.dumps(value)},"]
        lines += [line] if len(line) <= _WIDTH else broken
    return "\n".join([*lines, "};", ""])


def _render_schema(make: Callable[[], Schema]) -> str:
    return json.dumps(make(), indent=2) + "\n"


GENERATED: Mapping[Path, Callable[[], str]] = {
    REPOSITORY / "wsd/bundle/manifest.schema.json": lambda: _render_schema(manifest_schema),
    REPOSITORY / "wsd/bundle/settings.schema.json": lambda: _render_schema(settings_schema),
    REPOSITORY / "web/src/util/settings_schema.generated.ts": render_settings,
    REPOSITORY / "web/src/bundle/manifest.generated.ts": lambda: render_types(bundle_types()),
    REPOSITORY / "web/src/util/constants.generated.ts": render_constants,
    REPOSITORY / "web/headers.generated.mjs": render_headers,
}


def find_stale() -> list[Path]:
    """Return the generated files that are not what their sources give."""
    return [
        path
        for path, render in GENERATED.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != render()
    ]


def main() -> None:
    """Write every generated file."""
    for path, render in GENERATED.items():
        write_atomically(path, render().encode())
        print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
