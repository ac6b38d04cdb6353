"""Stable Diffusion 3.5 in single files: with text encoders, and with encoders from elsewhere."""

import json
import shutil

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file, save_file

import fake_hub
from grain import GRAIN
from marks import some_of
from original_sd35 import ENCODERS, encoder_files, original_transformer, to_original
from rewritten import save_shards
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import open_chosen
from wsd.checkpoint.tokenizer import find_tokenizer
from wsd.errors import CheckpointError
from wsd.models.instantiate import build_skeleton

T5 = "text_encoder_3"
ALL = tuple(ENCODERS)
WITHOUT = GRAIN.choose_encoders(wanted=False)
PREFIX = "model.diffusion_model."

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a checkpoint whose first pooled state is not projected, as in the original model."""
    copy = tmp_path_factory.mktemp("folder") / "grain"
    shutil.copytree(random_checkpoint(GRAIN, 0), copy)
    path = copy / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "text_projection.weight": torch.eye(16)}, path)
    return copy


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "whole.safetensors"
    to_original(folder, GRAIN, path, ALL)
    return path


@pytest.fixture(scope="module")
def bare(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "bare.safetensors"
    to_original(folder, GRAIN, path)
    return path


def tensors_of(checkpoint, component):
    names = {n: tuple(t.shape) for n, t in build_skeleton(component).named_parameters()}
    return dict(zip(names, checkpoint.source.tensors(component, names), strict=True))


def assert_same(found, expected):
    """Compare two checkpoints' weights, component by component."""
    assert found.family == expected.family
    for component in expected.family.components:
        ours, theirs = (tensors_of(each, component) for each in (found, expected))
        for name, tensor in theirs.items():
            assert torch.equal(ours[name].float(), tensor.float()), f"{component.id}.{name}"


def test_names_are_those_of_diffusers_converter(folder):
    converted = convert_sd3_transformer_checkpoint_to_diffusers(dict(original_transformer(folder)))
    state = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    assert set(converted) == set(state)
    for name, tensor in state.items():
        assert torch.equal(converted[name], tensor), name


def test_every_tensor_survives(folder, whole):
    assert_same(open_checkpoint(whole, GRAIN), open_checkpoint(folder, GRAIN))


def test_a_file_with_clip_alone(folder, tmp_path):
    to_original(folder, GRAIN, tmp_path / "clip.safetensors", ALL[:2])
    found = open_checkpoint(tmp_path / "clip.safetensors", GRAIN)
    assert_same(found, open_checkpoint(folder, WITHOUT))
    with pytest.raises(CheckpointError, match="has no text_encoder_3 .* asked for") as raised:
        open_checkpoint(tmp_path / "clip.safetensors", GRAIN.choose_encoders(wanted=True))
    assert "--text-encoders" in raised.value.hint


def test_a_file_without_encoders_says_where_they_can_be(bare):
    with pytest.raises(CheckpointError, match="text_encoder, text_encoder_2 not in it") as raised:
        open_checkpoint(bare, GRAIN)
    assert "--text-encoders" in raised.value.hint


@pytest.mark.parametrize("form", some_of(["folder", "files", "file"], 3))
def test_text_encoders_from_elsewhere(folder, whole, bare, tmp_path, form):
    place = {"folder": folder, "files": tmp_path, "file": whole}[form]
    if form == "files":
        encoder_files(folder, tmp_path)
    found = open_chosen(GRAIN, str(bare), text_encoders=str(place))
    assert_same(found, open_checkpoint(folder, GRAIN))
    assert found.source.provenance.startswith("bare.safetensors with text encoders ")
    for component in found.family.components:
        assert found.source.digests(component)


def in_fp8(tensors):
    """Return tensors whose matrices have 8 bits."""
    return {
        name: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 else tensor
        for name, tensor in tensors.items()
    }


def assert_t5_in_fp8(found, folder):
    """Check that T5's values are those of a folder, its matrices rounded to 8 bits."""
    component = found.family.text_encoders()[2]
    expected = tensors_of(open_checkpoint(folder, GRAIN), component)
    for name, tensor in tensors_of(found, component).items():
        meant = expected[name].to(torch.float8_e4m3fn) if tensor.ndim == 2 else expected[name]
        assert torch.equal(tensor, meant.float()), name


def test_t5_in_fp8(folder, bare, tmp_path):
    """As ComfyUI's users have it: matrices of 8 bits, and one marker that says so."""

    def change(encoder, tensors):
        if encoder != T5:
            return tensors
        return {**in_fp8(tensors), "spiece_model": torch.zeros(4, dtype=torch.uint8)}

    encoder_files(folder, tmp_path, change)
    found = open_chosen(GRAIN, str(bare), text_encoders=str(tmp_path))
    assert_t5_in_fp8(found, folder)


def test_t5_in_fp8_and_in_shards(folder, tmp_path):
    """As a folder of diffusers has an encoder of 5 GB."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (path,) = (copy / T5).glob("*.safetensors")
    tensors = in_fp8(load_file(path))
    path.unlink()
    save_shards(tensors, copy / T5, "model", count=3)
    assert_t5_in_fp8(open_checkpoint(copy, GRAIN), folder)


def test_two_files_of_one_encoder(folder, bare, tmp_path):
    encoder_files(folder, tmp_path)
    shutil.copyfile(tmp_path / "t5xxl_any.safetensors", tmp_path / "t5xxl_fp8.safetensors")
    with pytest.raises(CheckpointError, match=r"both t5xxl_any\S+ and t5xxl_fp8\S+ are of"):
        open_chosen(GRAIN, str(bare), text_encoders=str(tmp_path))


def test_a_folder_without_encoders(bare, tmp_path):
    with pytest.raises(CheckpointError, match="holds no text encoder of grain") as raised:
        open_chosen(GRAIN, str(bare), text_encoders=str(tmp_path))
    assert "clip_l, clip_g, t5xxl" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "tensor", "hint"),
    [
        ("x_embedder.proj.weight", torch.zeros(2432, 16, 2, 2), "3.5 Large"),
        ("pos_embed", torch.zeros(1, 192 * 192, 16), "Stable Diffusion 3 Medium"),
        ("pos_embed", torch.zeros(1, 20 * 20, 16), "another model of the family"),
    ],
)
def test_other_models_are_named(whole, tmp_path, name, tensor, hint):
    tensors = load_file(whole)
    tensors[PREFIX + name] = tensor
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=PREFIX + name) as raised:
        open_checkpoint(tmp_path / "other.safetensors", GRAIN)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("name", "tensor", "hint"),
    [
        ("x_embedder.proj.weight", torch.zeros(2432, 16, 2, 2), "3.5 Large"),
        ("pos_embed", torch.zeros(1, 192 * 192, 16), "Stable Diffusion 3 Medium"),
    ],
)
def test_other_models_are_named_before_what_their_files_lack(bare, tmp_path, name, tensor, hint):
    """The files that were published have no text encoders, which nobody should fetch for them."""
    save_file({**load_file(bare), PREFIX + name: tensor}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=PREFIX + name) as raised:
        open_checkpoint(tmp_path / "other.safetensors", GRAIN)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("name", "shape", "hint"),
    [
        ("x_embedder.proj.weight", (2432, 16, 2, 2), "3.5 Large"),
        ("pos_embed.proj.weight", (2432, 16, 2, 2), "3.5 Large"),
        ("pos_embed", (1, 192 * 192, 16), "Stable Diffusion 3 Medium"),
        ("pos_embed.pos_embed", (1, 192 * 192, 16), "Stable Diffusion 3 Medium"),
    ],
)
def test_transformers_alone_of_other_models_are_named(tmp_path, name, shape, hint, caplog):
    """Nobody should look for the VAE and the text encoders of such a file."""
    save_file({name: torch.zeros(shape)}, tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match=name) as raised:
        open_checkpoint(tmp_path / "alone.safetensors", GRAIN)
    assert hint in raised.value.hint
    assert not caplog.records


@pytest.mark.parametrize("name", ["x_embedder.proj.weight", "pos_embed"])
def test_a_tensor_without_axes_is_refused(whole, tmp_path, name):
    tensors = {**load_file(whole), PREFIX + name: torch.zeros(())}
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"has shape \[\]|is not read"):
        open_checkpoint(tmp_path / "other.safetensors", GRAIN)


def test_a_transformer_alone_says_where_the_rest_can_be(whole, tmp_path):
    kept = {name: found for name, found in load_file(whole).items() if name.startswith(PREFIX)}
    save_file(kept, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match="text_encoder_2, vae not in it") as raised:
        open_checkpoint(tmp_path / "part.safetensors", GRAIN)
    assert "--text-encoders and a VAE with --vae" in raised.value.hint


def test_a_file_of_one_encoder_lies_in_a_folder(folder, bare, tmp_path):
    encoder_files(folder, tmp_path)
    with pytest.raises(CheckpointError, match="holds no text encoder of grain") as raised:
        open_chosen(GRAIN, str(bare), text_encoders=str(tmp_path / "clip_l_any.safetensors"))
    assert "name the folder" in raised.value.hint


def test_text_encoders_of_another_models_file_are_read(folder, whole, bare, tmp_path):
    """They are the same ones, and many have them in a file of Stable Diffusion 3 Medium."""
    tensors = {**load_file(whole), f"{PREFIX}pos_embed": torch.zeros(1, 192 * 192, 16)}
    save_file(tensors, tmp_path / "other.safetensors")
    found = open_chosen(GRAIN, str(bare), text_encoders=str(tmp_path / "other.safetensors"))
    assert_same(found, open_checkpoint(folder, GRAIN))


def test_a_tensor_that_nobody_reads_is_refused(whole, tmp_path):
    tensors = load_file(whole)
    tensors[f"{PREFIX}joint_blocks.0.x_block.attn3.proj.weight"] = torch.zeros(2)
    save_file(tensors, tmp_path / "more.safetensors")
    with pytest.raises(CheckpointError, match=r"x_block\.attn3\.proj\.weight is not read"):
        open_checkpoint(tmp_path / "more.safetensors", GRAIN)


@pytest.mark.parametrize("part", ["model.diffusion_model.", "text_encoders.t5xxl.transformer."])
def test_a_part_of_a_checkpoint_says_what_it_is(whole, tmp_path, part):
    kept = {k.removeprefix(part): v for k, v in load_file(whole).items() if k.startswith(part)}
    save_file(kept, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match="not in it") as raised:
        open_checkpoint(tmp_path / "part.safetensors", GRAIN)
    assert "alone: pass the whole" in raised.value.hint


@pytest.mark.full
def test_shards_and_halves(folder, tmp_path):
    """The published folder: the transformer and T5 in shards, all of it in float16."""
    copy = tmp_path / "grain"
    shutil.copytree(folder, copy)
    for component, stem in (("transformer", "diffusion_pytorch_model"), (T5, "model")):
        path = copy / component / f"{stem}.safetensors"
        halves = {name: tensor.half() for name, tensor in load_file(path).items()}
        path.unlink()
        save_shards(halves, copy / component, stem, variant="fp16")
    found = open_checkpoint(copy, GRAIN)
    for component in found.family.components:
        expected = tensors_of(open_checkpoint(folder, GRAIN), component)
        for name, tensor in tensors_of(found, component).items():
            meant = expected[name]
            if component.id in ("transformer", T5):
                meant = meant.half()
            assert torch.equal(tensor.float(), meant.float()), name


def test_t5s_tokenizer_is_one_file(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.copyfile(copy / "tokenizer/tokenizer.json", copy / "tokenizer_3/tokenizer.json")
    with pytest.raises(CheckpointError, match="model type is 'BPE'") as raised:
        open_checkpoint(copy, GRAIN)
    assert raised.value.hint == "give it tokenizer.json of T5"


def test_a_tokenizer_that_is_given_is_of_clip_unless_its_folder_says_more(folder, whole, tmp_path):
    for entry in GRAIN.tokenizers:
        shutil.copytree(folder / entry.name, tmp_path / entry.name)
    source = open_checkpoint(whole, GRAIN, tmp_path).source
    for entry in GRAIN.tokenizers:
        assert find_tokenizer(source, entry).folder == tmp_path / entry.name
    source = open_checkpoint(whole, GRAIN, folder / "tokenizer").source
    assert find_tokenizer(source, GRAIN.tokenizers[0]).folder == folder / "tokenizer"
    assert source.tokenizer_files(GRAIN.tokenizers[2]) is None


@pytest.mark.full
def test_the_hub(folder, bare, monkeypatch, tmp_path):
    """T5's files are fetched only if they are wanted; encoders can come from another place."""
    files = fake_hub.read_folder(folder) | {"file.safetensors": bare.read_bytes()}
    hub = fake_hub.FakeHub(files)
    with fake_hub.serve(hub, monkeypatch, tmp_path / "cache"):
        found = open_chosen(WITHOUT, fake_hub.REPOSITORY)
        assert found.family == WITHOUT
        assert f"{T5}/model.safetensors" not in hub.fetched
        assert "file.safetensors" not in hub.fetched
        expected = open_checkpoint(folder, GRAIN)
        assert_same(open_chosen(GRAIN, fake_hub.REPOSITORY), expected)
        one = f"{fake_hub.REPOSITORY}/file.safetensors"
        assert_same(open_chosen(GRAIN, one, text_encoders=fake_hub.REPOSITORY), expected)


def test_a_repository_without_t5(folder, monkeypatch, tmp_path):
    files = {
        name: data
        for name, data in fake_hub.read_folder(folder).items()
        if not name.startswith((T5, "tokenizer_3"))
    }
    index = json.loads(files["model_index.json"])
    index |= {T5: [None, None], "tokenizer_3": [None, None]}
    files["model_index.json"] = json.dumps(index).encode()
    with fake_hub.serve(fake_hub.FakeHub(files), monkeypatch, tmp_path / "cache"):
        assert open_chosen(GRAIN, fake_hub.REPOSITORY).family == WITHOUT
        with pytest.raises(CheckpointError, match="has no text_encoder_3"):
            open_chosen(GRAIN.choose_encoders(wanted=True), fake_hub.REPOSITORY)
