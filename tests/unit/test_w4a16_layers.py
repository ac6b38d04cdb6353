"""Which layers keep int8 under w4a16: the rules agree with what was measured."""

import json
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from speck import SPECK
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import entry_point_modules
from wsd.evaluate.sensitivity import REQUESTS, measure
from wsd.frontend.export import trace_component
from wsd.models.registry import FAMILIES
from wsd.models.sensitive_layers import PATH, is_sensitive, read_rules
from wsd.spec.roles import DENOISER, TEXT_ENCODER, VAE_DECODER

TABLE = json.loads(PATH.read_text(encoding="utf-8"))
MEASURED = [
    (class_name, kind, cost["error"])
    for classes in TABLE["measured"].values()
    for class_name, kinds in classes.items()
    for kind, cost in kinds.items()
]


def test_every_kind_of_layer_above_the_limit_keeps_int8():
    costly = {(c, kind) for c, kind, error in MEASURED if error > TABLE["limit"][c]}
    assert costly
    kept = {(c, kind) for c, kind in costly if is_sensitive(c, kind.replace("*", "0"))}
    assert kept == costly


def test_every_rule_is_of_a_class_that_a_family_has_and_says_why():
    classes = {c.class_name for family in FAMILIES.values() for c in family.components}
    assert set(read_rules()) <= classes
    assert all(rule.reason for rules in read_rules().values() for rule in rules)


def test_a_rule_that_says_it_was_measured_names_a_costly_layer():
    for class_name, rules in read_rules().items():
        for rule in rules:
            if rule.reason.startswith("measured"):
                assert any(
                    error > TABLE["limit"][of] and fnmatchcase(kind.replace("*", "0"), rule.names)
                    for of, kind, error in MEASURED
                    if of == class_name
                ), rule


@pytest.mark.parametrize(
    ("name", "up_blocks", "expected"),
    [
        ("up_blocks.3.resnets.0.conv1.weight", 4, True),
        ("up_blocks.2.resnets.0.conv1.weight", 3, True),
        ("up_blocks.2.resnets.0.conv1.weight", 4, False),
        ("down_blocks.0.resnets.0.conv1.weight", 4, True),
        ("down_blocks.1.resnets.0.conv1.weight", 4, False),
        ("mid_block.resnets.0.conv1.weight", 4, False),
    ],
)
def test_the_first_and_the_last_block_of_a_unet_keep_int8(name, up_blocks, expected):
    assert is_sensitive("UNet2DConditionModel", name, up_blocks) == expected


def test_most_layers_take_4_bits():
    kinds = [(c, kind) for c, kind, _ in MEASURED]
    assert sum(is_sensitive(c, kind.replace("*", "0")) for c, kind in kinds) < len(kinds) / 2


@pytest.mark.full
@pytest.mark.parametrize(
    ("model", "most"),
    [("sd15", 0.745e9), pytest.param("sdxl", 2.28e9, marks=pytest.mark.exhaustive)],
)
def test_downloads_from_text_are_small(model, most):
    """Without the library, which is a few megabytes, and the encoder of pictures that are given."""
    family = replace(FAMILIES[model], prompt_chunks=1)
    drawing, parameters = (TEXT_ENCODER, DENOISER, VAE_DECODER), {}
    for component, module in entry_point_modules(family, family.sizes[:1]):
        if module.role in drawing and (module.part or component.id) not in parameters:
            trace = trace_component(component, module, "w4a16")
            parameters[trace.component] = trace.parameters
    assert {"unet", "vae", "text_encoder"} <= parameters.keys()
    assert sum(p.bytes for each in parameters.values() for p in each) < most


@pytest.mark.exhaustive
def test_what_is_measured_leaves_the_model_as_it_was():
    requests = (replace(REQUESTS[0], steps=2),)
    checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK)
    found = measure(checkpoint, requests)
    costs = found["UNet2DConditionModel"]
    assert costs["time_embedding.linear_*.weight"].values == 64 * 64
    # The model is as it was after each layer: none costs what all before it would.
    assert all(0 < cost.error < 0.3 for cost in costs.values())
    assert measure(checkpoint, requests) == found
