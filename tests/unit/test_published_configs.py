"""Configurations of published checkpoints: each is built, or refused for the right key.

No weights are read. ``tests/fixtures/published_configs.json`` names the source of each one. What is
built is compared with what diffusers' own loader makes of the same folder.
"""

import json
import logging
from pathlib import Path

import diffusers
import pytest
import torch

from wsd.checkpoint.checkpoint import read_configurations
from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.errors import CheckpointError
from wsd.models.registry import find_family
from wsd.models.schedule_options import ScheduleOptions
from wsd.models.scheduler_rules import defaults_of
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    default_scheduler,
    describe_noise_schedule,
    describe_scheduler,
)
from wsd.spec.manifest import SchedulerConfig
from wsd.spec.roles import DENOISER

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


def load_scheduler(folder, family):
    """Return the scheduler of the pipeline that diffusers' own loader makes of a folder.

    Its other members are left out. A folder without a model_index.json has the family's pipeline.
    """
    index = folder / "model_index.json"
    if index.is_file():
        members = [key for key, value in read_json(index).items() if isinstance(value, list)]
        gone = dict.fromkeys(set(members) - {"scheduler", "_class_name"})
        return diffusers.DiffusionPipeline.from_pretrained(folder, **gone).scheduler
    class_name = read_json(folder / "scheduler" / "scheduler_config.json")["_class_name"]
    loaded = getattr(diffusers, class_name).from_pretrained(folder, subfolder="scheduler")
    names = (*(c.id for c in family.components), *(t.name for t in family.tokenizers))
    gone = dict.fromkeys((*names, "safety_checker", "feature_extractor"))
    pipeline = family.architecture.pipeline_class()
    return pipeline(scheduler=loaded, requires_safety_checker=False, **gone).scheduler


def read_json(path):
    return json.loads(path.read_text())


def select(models, seldom=()):
    """Return models for pytest; two of three have the mark of what is seldom tested."""
    return [
        pytest.param(model, id=model["name"], marks=seldom if number % 3 else ())
        for number, model in enumerate(models)
    ]


BUILT = [model for model in MODELS if "refused" not in model]


@pytest.mark.parametrize("model", select(BUILT))
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


@pytest.mark.parametrize("model", select(BUILT, pytest.mark.full))
def test_a_published_checkpoint_is_denoised_as_diffusers_does(model, tmp_path):
    checkpoint = read(model, tmp_path)
    theirs = load_scheduler(tmp_path, checkpoint.family)
    class_name = type(theirs).__name__
    default = checkpoint.default_scheduler or default_scheduler(checkpoint.scheduler)
    noise = describe_noise_schedule(checkpoint.scheduler, default)
    found = describe_scheduler(checkpoint.scheduler, default, noise.alphas_cumprod)
    assert SCHEDULERS[default].class_name == class_name
    # What the browser takes is what diffusers' class says: spacing, sigmas, solver and the rest.
    keys = SchedulerConfig.model_fields.keys() & defaults_of(class_name).keys()
    if class_name == "DEISMultistepScheduler":
        keys -= {"algorithm_type"}  # It has one value, and the manifest's is DPM-Solver's.
    for key in keys:
        expected = theirs.config[key]
        assert expected is None or getattr(found, key) == expected, key
    assert noise.prediction_type == theirs.config.prediction_type
    assert noise.num_train_timesteps == theirs.config.num_train_timesteps
    # Zero terminal SNR is in these products.
    assert noise.alphas_cumprod == tuple(theirs.alphas_cumprod.tolist())
    ours = build_scheduler(checkpoint.scheduler, default)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(min(checkpoint.family.steps, found.max_steps))
    torch.testing.assert_close(ours.timesteps, theirs.timesteps, rtol=0, atol=0)
    if hasattr(theirs, "sigmas"):
        torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=0, atol=0)
    # A UNet with an embedding of the guidance scale takes it as an input.
    unet = diffusers.UNet2DConditionModel.load_config(tmp_path / "unet")
    embedding = checkpoint.family.component(DENOISER).config.get("time_cond_proj_dim")
    assert embedding == unet.get("time_cond_proj_dim")
    family, size = checkpoint.family, checkpoint.family.sizes[0]
    assert ("timestep_cond" in family.architecture.constant_inputs(family, size, 7.0)) is (
        embedding is not None
    )


def test_the_table_has_every_kind_of_schedule():
    """The comparison above says something only of what some row has."""
    files = [model["files"] for model in BUILT]
    schedulers = [f.get("scheduler/scheduler_config.json", {}).get("set", {}) for f in files]
    unets = [f.get("unet/config.json", {}).get("set", {}) for f in files]
    for key, value in (
        ("_class_name", "DEISMultistepScheduler"),
        ("_class_name", "DDPMScheduler"),
        ("_class_name", "LCMScheduler"),
        ("prediction_type", "v_prediction"),
        ("rescale_betas_zero_snr", True),
        ("timestep_spacing", "trailing"),
        ("timestep_spacing", "leading"),
    ):
        assert any(said.get(key) == value for said in schedulers), (key, value)
    assert any(said.get("time_cond_proj_dim") for said in unets)


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


def forget_class(index):
    """Return Stable Diffusion 1.5 with a scheduler whose own file names no class.

    Args:
        index: what ``model_index.json`` says of the scheduler; None for no such file.
    """
    [model] = [m for m in MODELS if m["name"] == "Stable Diffusion 1.5"]
    named = None if index is None else {"set": {"scheduler": index}}
    nameless = {"absent": ["_class_name"]}
    files = {"model_index.json": named, "scheduler/scheduler_config.json": nameless}
    return {**model, "files": files}


@pytest.mark.parametrize("class_name", ["PNDMScheduler", "UniPCMultistepScheduler"])
def test_model_index_alone_may_name_the_schedulers_class(class_name, tmp_path, caplog):
    model = forget_class(["diffusers", class_name])
    with caplog.at_level(logging.WARNING):
        checkpoint = read(model, tmp_path)
    assert not caplog.text
    theirs = load_scheduler(tmp_path, checkpoint.family)
    assert checkpoint.scheduler["_class_name"] == type(theirs).__name__ == class_name
    ours = build_scheduler(checkpoint.scheduler)
    assert all(ours.config[key] == theirs.config[key] for key in defaults_of(class_name))


@pytest.mark.parametrize("index", [None, [None, None]], ids=["no file", "null"])
def test_a_scheduler_whose_class_no_file_names(index, tmp_path):
    model = forget_class(index)
    with pytest.raises(CheckpointError) as caught:
        read(model, tmp_path)
    assert "scheduler/scheduler_config.json: _class_name is missing" in caught.value.message
    assert "model_index.json" in caught.value.message
    assert "--scheduler" in caught.value.hint
    # So it is built, and takes over what the file says.
    options = ScheduleOptions(scheduler="ddim")
    family = find_family("sd15")
    source = DiffusersFolder(tmp_path, family)
    checkpoint = read_configurations(family, source, options)
    built = build_scheduler(checkpoint.scheduler, checkpoint.default_scheduler)
    assert built.config.beta_schedule == "scaled_linear"
    assert built.config.set_alpha_to_one is False
