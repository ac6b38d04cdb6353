"""Configurations of published checkpoints: each is built, or refused for the right key.

No weights are read. ``tests/fixtures/published_configs.json`` names the source of each one.
"""

import json
import logging
from pathlib import Path

import pytest

from wsd.checkpoint.checkpoint import read_configurations
from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.errors import CheckpointError
from wsd.models.registry import find_family

TABLE = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "published_configs.json").read_text("utf-8")
)
MODELS = TABLE["models"]


def write_folder(model, folder):
    """Write the configurations of a model: the base's, changed as the table says."""
    for name, base in TABLE["bases"][model["family"]].items():
        changes = model["files"].get(name, {})
        if changes is None:
            continue
        config = {**base, **changes.get("set", {})}
        for key in changes.get("absent", ()):
            del config[key]
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config))
    return folder


def read(model, folder):
    family = find_family(model["family"])
    return read_configurations(family, DiffusersFolder(write_folder(model, folder), family))


def select(models):
    return [pytest.param(model, id=model["name"]) for model in models]


@pytest.mark.parametrize("model", select(m for m in MODELS if "refused" not in m))
def test_a_published_checkpoint_is_built(model, tmp_path):
    checkpoint = read(model, tmp_path)
    family = find_family(model["family"])
    found = {
        f"{own.id}.{key}": value
        for own, ours in zip(checkpoint.family.components, family.components, strict=True)
        for key, value in own.config.items()
        if value != ours.config.get(key)
    }
    assert found == model.get("variant", {})
    wanted = model.get("empty_negative", family.conditioning.empty_negative)
    assert checkpoint.family.conditioning.empty_negative == wanted


@pytest.mark.parametrize("model", select(m for m in MODELS if "refused" in m))
def test_a_published_checkpoint_is_refused_for_the_key_that_differs(model, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        read(model, tmp_path)
    assert model["refused"] in caught.value.message
    assert caught.value.hint


def test_the_table_is_large_and_every_row_names_its_source():
    assert len(MODELS) >= 40
    assert all(model["source"] for model in MODELS)
    assert len({model["name"] for model in MODELS}) == len(MODELS)


def test_a_checkpoint_of_another_size_says_which_one(tmp_path, caplog):
    [model] = [m for m in MODELS if m["name"] == "a fine-tune of dreamlike-diffusion 1.0"]
    with caplog.at_level(logging.WARNING):
        read(model, tmp_path)
    assert "the checkpoint's own size is 640x640" in caplog.text


def test_the_size_of_a_unet_from_before_0_9_is_not_believed(tmp_path, caplog):
    """diffusers replaces it by 64, as its pipeline of Stable Diffusion says."""
    [model] = [m for m in MODELS if m["name"] == "Waifu Diffusion 1.3"]
    with caplog.at_level(logging.WARNING):
        read(model, tmp_path)
    assert not caplog.text


def test_the_scheduler_is_of_the_class_that_model_index_names(tmp_path):
    """diffusers takes the class from there, whatever the scheduler's own file says."""
    [model] = [m for m in MODELS if m["name"] == "Stable Diffusion 1.5"]
    changed = {"model_index.json": {"set": {"scheduler": ["diffusers", "DDIMScheduler"]}}}
    checkpoint = read({**model, "files": changed}, tmp_path)
    assert checkpoint.scheduler["_class_name"] == "DDIMScheduler"
