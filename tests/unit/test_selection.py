"""Rules that say what runs: their form, their documents, and the option that ignores them."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from wsd.errors import UsageError
from wsd.runtime.validation import check_ignored_rules
from wsd.spec.manifest import Manifest
from wsd.spec.selection import SELECTION_RULES, Condition, SelectionRules
from wsd.util.files import REPOSITORY

FIXTURE = Path(__file__).parents[1] / "fixtures" / "manifest-v2.json"
NAMES = [rule.name for rule in (*SELECTION_RULES.kernels, *SELECTION_RULES.precisions)]
NEVER = {"fact": "features", "test": "lacks", "value": ["a"]}
RULE = {"name": "a-rule", "reason": "because", "when": [NEVER]}


@pytest.fixture
def manifest():
    """Return a manifest of before there were rules."""
    return Manifest.model_validate_json(FIXTURE.read_text())


def test_rules_survive_a_manifest(manifest):
    written = manifest.model_copy(update={"selection": SELECTION_RULES}).model_dump_json()
    assert Manifest.model_validate_json(written).selection == SELECTION_RULES
    # TypeScript's fields may be missing, but not null.
    assert "null" not in SELECTION_RULES.model_dump_json()
    assert "selection" not in json.loads(manifest.model_dump_json())


def test_the_documents_explain_each_rule():
    text = (REPOSITORY / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize(
    "condition",
    [
        {"fact": "features", "test": "lacks"},
        {**NEVER, "other": "candidate.features"},
        {**NEVER, "test": "matches"},
        {**NEVER, "fact": "weather.today"},
        {**NEVER, "fact": "adapter"},
        {**NEVER, "value": "shader-f16"},
        {"fact": "limits.maxBufferSize", "test": "below", "value": "1"},
        {"fact": "limits.maxBufferSize", "test": "below", "value": True},
        {"fact": "adapter.vendor", "test": "mentions", "value": "nvidia"},
        {"fact": "adapter.vendor", "test": "is", "value": ["nvidia"]},
    ],
)
def test_conditions_that_compare_nothing_are_refused(condition):
    with pytest.raises(ValidationError):
        Condition.model_validate_json(json.dumps(condition))


@pytest.mark.parametrize(
    "rules",
    [
        {"kernels": [RULE], "precisions": [RULE]},
        {"kernels": [{**RULE, "when": []}], "precisions": []},
        {"kernels": [{**RULE, "name": "A rule"}], "precisions": []},
        {"kernels": [{**RULE, "reason": ""}], "precisions": []},
        {"kernels": []},
    ],
)
def test_rules_that_cannot_be_told_apart_or_decide_nothing_are_refused(rules):
    with pytest.raises(ValidationError):
        SelectionRules.model_validate_json(json.dumps(rules))


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_can_be_ignored(manifest, name):
    check_ignored_rules(manifest, name)
    check_ignored_rules(manifest, f"{name}, {NAMES[0]}")


def test_a_name_that_no_rule_has_is_refused_with_those_that_there_are(manifest):
    check_ignored_rules(manifest, None)
    with pytest.raises(UsageError, match="no selection rule 'shared-memery'") as caught:
        check_ignored_rules(manifest, "shared-memory,shared-memery")
    assert ", ".join(NAMES) in caught.value.hint
    # The bundle's own rules count, and not those of this version.
    rules = SelectionRules.model_validate({"kernels": (), "precisions": ()})
    with pytest.raises(UsageError, match="no selection rule 'shared-memory'"):
        check_ignored_rules(manifest.model_copy(update={"selection": rules}), "shared-memory")
