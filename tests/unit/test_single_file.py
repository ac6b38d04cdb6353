"""Checkpoints as single files in the original key layout."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from original_layout import to_original
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint, find_checkpoint
from wsd.checkpoint.single_file import SingleFile
from wsd.checkpoint.tokenizer import find_tokenizer
from wsd.errors import CheckpointError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import FAMILIES, find_family
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet


@pytest.fixture(scope="module", params=["tiny-sd15", "tiny-sdxl"])
def pair(request, tmp_path_factory):
    """Return (family, diffusers folder, the same as a single file)."""
    family = find_family(request.param)
    folder = choose_checkpoint(family, None, None)
    path = tmp_path_factory.mktemp("single") / "model.safetensors"
    to_original(folder, family, path)
    return family, folder, path


@pytest.mark.slow
def test_every_tensor_survives(pair):
    family, folder, path = pair
    assert find_checkpoint(str(path), family) == path
    for component in family.components:
        shapes = {n: tuple(t.shape) for n, t in build_skeleton(component).named_parameters()}
        of_folder = open_checkpoint(folder, family).source.tensors(component, shapes)
        of_file = open_checkpoint(path, family).source.tensors(component, shapes)
        for name, ours, theirs in zip(shapes, of_folder, of_file, strict=True):
            assert torch.equal(ours, theirs), name


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize(
    "pair",
    ["tiny-sd15", pytest.param("tiny-sdxl", marks=pytest.mark.exhaustive)],
    indirect=True,
)
def test_the_reference_draws_the_same_picture(pair):
    family, folder, path = pair
    drawing = GenerationRequest("a red star", seed=1, steps=2)
    checkpoints = [open_checkpoint(place, family) for place in (folder, path)]
    drawn = [draw_reference(c, load_pipeline(c), drawing, Quiet())[0] for c in checkpoints]
    assert (drawn[0] == drawn[1]).all()


def read_unet(path, family):
    component = family.component("denoiser")
    shapes = {n: tuple(t.shape) for n, t in build_skeleton(component).named_parameters()}
    return list(open_checkpoint(path, family).source.tensors(component, shapes))


def changed(path, tmp_path, change):
    tensors = load_file(path)
    change(tensors)
    other = tmp_path / "other.safetensors"
    save_file(tensors, other)
    return other


@pytest.mark.slow
def test_faults_are_named(pair, tmp_path):
    family, _, path = pair
    key = "model.diffusion_model.out.2.bias"
    missing = changed(path, tmp_path, lambda tensors: tensors.pop(key))
    with pytest.raises(CheckpointError, match=r"tensor conv_out.bias is missing"):
        open_checkpoint(missing, family)
    damaged = changed(path, tmp_path, lambda tensors: tensors[key].fill_(float("nan")))
    with pytest.raises(CheckpointError, match=r"conv_out.bias holds NaN"):
        open_checkpoint(damaged, family).load(family.component("denoiser"))
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_unet(damaged, family)


@pytest.mark.slow
def test_another_family_is_refused(pair):
    family, _, path = pair
    other = find_family("tiny-sdxl" if family.name == "tiny-sd15" else "tiny-sd15")
    with pytest.raises(CheckpointError, match=r"is missing|has shape|not in it"):
        read_unet(path, other)


def test_a_file_with_one_component_is_refused(pair):
    family, folder, _ = pair
    [alone] = (folder / "unet").glob("*.safetensors")
    with pytest.raises(CheckpointError, match="text_encoder.*, unet, vae not in it"):
        open_checkpoint(alone, family)


def test_a_published_model_needs_its_tokenizer(pair, monkeypatch):
    family, folder, path = pair
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    entry = FAMILIES["sd15"].tokenizers[0]
    with pytest.raises(CheckpointError, match="has no tokenizer") as caught:
        find_tokenizer(SingleFile(path, family), entry)
    assert "--tokenizer" in caught.value.hint
    given = SingleFile(path, family, folder / "tokenizer")
    assert find_tokenizer(given, entry).folder == folder / "tokenizer"
