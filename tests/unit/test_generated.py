"""What TypeScript shares with Python is generated, and current."""

import jsonschema
import pytest

from tools.generate_types import GENERATED, find_stale, manifest_schema, render_types


def test_every_generated_file_is_current():
    assert find_stale() == [], "run: PYTHONPATH=.ci python -m tools.generate_types"


def test_each_generated_file_says_how_it_is_made():
    for path in GENERATED:
        assert "python -m tools.generate_types" in path.read_text()[:1000]


@pytest.mark.slow
def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(manifest_schema())


def test_unions_that_are_too_long_for_a_line_are_broken_as_prettier_breaks_them():
    names = ["a" * 40, "b" * 40, "c" * 40]
    schema = {"type": "object", "properties": {"kind": {"enum": names}}, "required": ["kind"]}
    members = "\n".join(f'    | "{name}"' for name in names)
    assert f"  kind:\n{members};\n" in render_types({"Thing": schema})


def test_a_construct_that_has_no_type_is_refused():
    schema = {"type": "object", "properties": {"x": {"not": {"type": "string"}}}}
    with pytest.raises(ValueError, match="no TypeScript type is known"):
        render_types({"Thing": schema})
