"""``wsd reference`` loads what ``wsd build`` loads, and draws what diffusers' own loader draws.

Latents after two steps are compared, to the bit: both run the same modules on this machine.
"""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from original_layout import to_original
from wsd.checkpoint.resolve import open_chosen
from wsd.errors import CheckpointError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

# The guidance is strong, so that what an empty negative prompt means counts.
REQUEST = GenerationRequest(
    "a large red circle", seed=5, steps=2, guidance_scale=7.0, size=(64, 64)
)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def scheduler(**changes):
    return lambda folder: edit(folder / "scheduler" / "scheduler_config.json", **changes)


def pipeline(**changes):
    return lambda folder: edit(folder / "model_index.json", **changes)


def vae(**changes):
    return lambda folder: edit(folder / "vae" / "config.json", **changes)


def scheduler_class(name):
    def change(folder):
        scheduler(_class_name=name)(folder)
        pipeline(scheduler=["diffusers", name])(folder)

    return change


def as_it_is(_folder):
    pass


# What a folder says → how it is changed.
SAID = {
    "tiny-sd15": {
        "as it is": as_it_is,
        "Karras": scheduler(use_karras_sigmas=True),
        "no steps_offset": scheduler(steps_offset=0),
        "another class": scheduler_class("DDIMScheduler"),
        "clipping, which the pipeline corrects": lambda folder: (
            scheduler_class("DDIMScheduler")(folder), scheduler(clip_sample=True)(folder)
        ),
        "v prediction": scheduler(prediction_type="v_prediction"),
        "trailing": scheduler(timestep_spacing="trailing"),
        "another scale": vae(scaling_factor=0.2),
    },
    "tiny-sdxl": {
        "as it is": as_it_is,
        "no zeros": pipeline(force_zeros_for_empty_prompt=False),
        "means and deviations": vae(latents_mean=[0.1, 0, -0.2, 0.3], latents_std=[1, 2, 0.5, 1.5]),
        "another class": scheduler_class("EulerAncestralDiscreteScheduler"),
        "Euler, exponential": lambda folder: (
            scheduler_class("EulerDiscreteScheduler")(folder),
            scheduler(use_exponential_sigmas=True)(folder),
        ),
    },
    "tiny-sd35": {
        "as it is": as_it_is,
        "another shift": scheduler(shift=1.0),
        "a shift by the size": scheduler(use_dynamic_shifting=True),
        "another class": scheduler_class("FlowMatchHeunDiscreteScheduler"),
        "another scale and shift": vae(scaling_factor=1.2, shift_factor=0.2),
    },
}  # fmt: skip


def copy_checkpoint(name, out):
    """Copy a shipped model's folder; its weights are links."""
    source = find_family(name).weights
    shutil.copytree(source, out, copy_function=copy_or_link)
    return out


def copy_or_link(source, target):
    if source.endswith(".safetensors"):
        Path(target).symlink_to(source)
    else:
        shutil.copyfile(source, target)


def ours(name, **chosen):
    """Return the picture and the final latents of ``wsd reference``."""
    given = {"weights": None, **{k: None if v is None else str(v) for k, v in chosen.items()}}
    tokenizer = given.pop("tokenizer", None)
    checkpoint = open_chosen(
        find_family(name), tokenizer=None if tokenizer is None else Path(tokenizer), **given
    )
    return draw_reference(checkpoint, load_pipeline(checkpoint), REQUEST, Quiet())


def theirs(name, folder, **options):
    """Return the same by diffusers' own loader."""
    family = find_family(name)
    made = family.architecture.pipeline_class().from_pretrained(
        folder, torch_dtype=torch.float32, **options
    )
    made.set_progress_bar_config(disable=True)
    kept = {}

    def keep(_pipe, _step, _timestep, tensors):
        kept["latents"] = tensors["latents"]
        return tensors

    drawn = made(
        REQUEST.prompt, num_inference_steps=REQUEST.steps, guidance_scale=REQUEST.guidance_scale,
        width=REQUEST.size[0], height=REQUEST.size[1], output_type="np",
        generator=torch.Generator().manual_seed(REQUEST.seed), callback_on_step_end=keep,
        **family.architecture.call_options(family),
    )  # fmt: skip
    return (drawn.images * 255).round().astype(np.uint8), kept["latents"].numpy().ravel()


def assert_same(found, expected):
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


# Those of which a fault is likely; the others have a rule of their own in other tests.
OFTEN = ("as it is", "no zeros")


def choose_mark(change, number):
    """Return the mark of what a folder says, by its place in the table of its model."""
    if change in OFTEN:
        return ()
    return pytest.mark.full if number % 4 == 1 else pytest.mark.exhaustive


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, marks=choose_mark(change, number))
        for name, table in SAID.items()
        for number, change in enumerate(table)
    ],
)
def test_a_folder_draws_as_from_pretrained(tmp_path, name, change):
    folder = copy_checkpoint(name, tmp_path / "checkpoint")
    SAID[name][change](folder)
    assert_same(ours(name, weights=folder), theirs(name, folder))


@pytest.fixture(
    scope="module", params=["tiny-sd15", pytest.param("tiny-sdxl", marks=pytest.mark.full)]
)
def plain(request):
    """What the shipped checkpoint draws, by diffusers' loader."""
    return request.param, theirs(request.param, find_family(request.param).weights)


@pytest.mark.slow
def test_a_folder_of_halves_alone(tmp_path, plain):
    name, expected = plain
    folder = copy_checkpoint(name, tmp_path / "halves")
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    found = ours(name, weights=folder)
    assert_same(found, expected)
    assert_same(found, theirs(name, folder, variant="fp16"))


@pytest.mark.slow
def test_a_folder_without_its_index(tmp_path, plain):
    name, expected = plain
    folder = copy_checkpoint(name, tmp_path / "components")
    (folder / "model_index.json").unlink()
    assert_same(ours(name, weights=folder), expected)


@pytest.mark.slow
def test_a_folder_without_t5(tmp_path):
    """diffusers' own loader must be told so; ours reads it in the folder's index."""
    folder = copy_checkpoint("tiny-sd35", tmp_path / "without")
    pipeline(text_encoder_3=[None, None], tokenizer_3=[None, None])(folder)
    absent = {"text_encoder_3": None, "tokenizer_3": None}
    expected = theirs("tiny-sd35", find_family("tiny-sd35").weights, **absent)
    assert_same(ours("tiny-sd35", weights=folder), expected)


@pytest.mark.slow
def test_a_single_file(tmp_path, plain):
    name, expected = plain
    family = find_family(name)
    path = tmp_path / "model.safetensors"
    to_original(family.weights, family, path)
    assert_same(ours(name, weights=path, tokenizer=family.weights / "tokenizer"), expected)


@pytest.mark.slow
def test_a_vae_of_another_file(tmp_path, plain):
    name, (_, latents) = plain
    path = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    path.parent.mkdir()
    family = find_family(name)
    [own] = (family.weights / "vae").glob("*.safetensors")
    tensors = load_file(own)
    tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] + 0.25
    save_file(tensors, path)
    shutil.copyfile(family.weights / "vae" / "config.json", path.parent / "config.json")
    replaced = diffusers.AutoencoderKL.from_pretrained(path.parent, torch_dtype=torch.float32)
    found = ours(name, vae=path.parent)
    assert_same(found, theirs(name, family.weights, vae=replaced))
    np.testing.assert_array_equal(found[1], latents)


@pytest.mark.slow
def test_a_vae_without_its_encoder(tmp_path):
    """A picture from text needs the decoder alone; the shipped SD 1.5 class stands for all."""
    name = "tiny-sd15"
    folder = copy_checkpoint(name, tmp_path / "checkpoint")
    [path] = (folder / "vae").glob("*.safetensors")
    tensors = load_file(path)
    path.unlink()
    kept = {k: v for k, v in tensors.items() if not k.startswith(("encoder.", "quant_conv."))}
    assert 0 < len(kept) < len(tensors)
    save_file(kept, path)
    expected = ours(name, weights=find_family(name).weights)
    assert_same(ours(name, weights=folder), expected)
    # What builds and self-tests read of it is what they read of the whole.
    whole, bare = (
        open_chosen(find_family(name), str(f)) for f in (find_family(name).weights, folder)
    )
    component = find_family(name).component("vae_decoder")
    found = [dict(checkpoint.load(component).named_parameters()) for checkpoint in (whole, bare)]
    kept_parameters = {key: value for key, value in found[0].items() if key in kept}
    assert len(kept_parameters) == len(kept)
    assert all(torch.equal(value, found[1][key]) for key, value in kept_parameters.items())
    # A decoder that is not whole is refused.
    del kept["decoder.conv_out.bias"]
    save_file(kept, path)
    with pytest.raises(CheckpointError, match=r"decoder\.conv_out\.bias is missing"):
        ours(name, weights=folder)


@pytest.mark.slow
def test_weights_that_are_pickles_are_never_read(tmp_path):
    """diffusers would read them; reading a pickle can run code."""
    folder = copy_checkpoint("tiny-sd15", tmp_path / "pickles")
    [path] = (folder / "unet").glob("*.safetensors")
    torch.save(load_file(path), folder / "unet" / "diffusion_pytorch_model.bin")
    path.unlink()
    with pytest.raises(Exception, match="unet") as caught:
        ours("tiny-sd15", weights=folder)
    assert "safetensors" in f"{caught.value} {getattr(caught.value, 'hint', '')}"
