"""`--vae`: another VAE in place of the checkpoint's, in every layout that people have."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from marks import some_of
from original_layout import to_original
from rewritten import save_copies, save_shards, shard_digests, weights_of
from wsd.bundle.self_test import find_fixtures
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import find_vae, open_chosen
from wsd.errors import CheckpointError
from wsd.util.hashing import sha256_file

PREFIX = "first_stage_model."


@pytest.fixture(scope="module")
def other(checkpoint, tmp_path_factory):
    """Return a checkpoint's folder whose VAE has other numbers."""
    folder = tmp_path_factory.mktemp("other") / "other"
    shutil.copytree(checkpoint, folder)
    path = weights_of(folder, "vae")
    save_copies({name: value * 0.5 for name, value in load_file(path).items()}, path)
    return folder


@pytest.fixture(scope="module")
def layouts(other, family, tmp_path_factory):
    """Return the same VAE in every layout, by its name."""
    place = tmp_path_factory.mktemp("layouts")
    single = place / "whole.safetensors"
    to_original(other, family, single)
    original = {k: v for k, v in load_file(single).items() if k.startswith(PREFIX)}
    plain = {name.removeprefix(PREFIX): value for name, value in original.items()}
    save_file(original, place / "prefixed.safetensors")
    save_file(plain, place / "plain.safetensors")
    save_file({**plain, "model_ema.decay": torch.ones(1)}, place / "ema.safetensors")
    save_file({f"vae.{k}": v for k, v in plain.items()}, place / "other-prefix.safetensors")
    shutil.copyfile(weights_of(other, "vae"), place / "diffusers.safetensors")
    shutil.copytree(other / "vae", place / "folder")
    shutil.copytree(other / "vae", place / "sharded")
    (place / "sharded" / "diffusion_pytorch_model.safetensors").unlink()
    tensors = load_file(weights_of(other, "vae"))
    save_shards(tensors, place / "sharded", "diffusion_pytorch_model")
    return {**{path.stem: path for path in place.iterdir()}, "checkpoint": other}


NAMES = (
    "whole", "prefixed", "plain", "ema", "other-prefix", "diffusers", "folder", "sharded",
    "checkpoint",
)  # fmt: skip


@pytest.fixture(scope="module")
def expected(other, family, tmp_path_factory):
    return shard_digests(other, family, tmp_path_factory.mktemp("expected"), "vae")


@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(NAMES, 3))
def test_every_layout_gives_the_same_shards(checkpoint, family, layouts, expected, tmp_path, name):
    path = find_vae(str(layouts[name]), family)
    assert shard_digests(checkpoint, family, tmp_path, "vae", vae=path) == expected
    source = open_checkpoint(checkpoint, family, vae=path).source
    shown = "vae" if name == "checkpoint" else path.name
    assert source.provenance == f"tiny-sd15 with VAE {shown}"
    for component in family.components:
        own = open_checkpoint(checkpoint, family).source.digests(component)
        assert (source.digests(component) == own) == (component.id != "vae")
    if path.is_file():
        assert source.digests(family.component("vae_decoder")) == [sha256_file(path)]


@pytest.mark.slow
def test_everything_else_stays_the_checkpoints(checkpoint, family, layouts, tmp_path):
    with_vae = open_checkpoint(checkpoint, family, vae=layouts["plain"])
    without = open_checkpoint(checkpoint, family)
    assert with_vae.scheduler == without.scheduler
    assert with_vae.source.tokenizer_files(family.tokenizers[0]) is not None
    ours = shard_digests(checkpoint, family, tmp_path, vae=layouts["plain"])
    assert ours == shard_digests(checkpoint, family, tmp_path)
    # The shipped fixtures are of the shipped VAE.
    assert find_fixtures(without, None) is not None
    assert find_fixtures(with_vae, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folder", "plain"])
def test_a_checkpoint_without_a_vae(checkpoint, family, layouts, expected, tmp_path, name):
    bare = tmp_path / "bare"
    shutil.copytree(checkpoint, bare)
    shutil.rmtree(bare / "vae")
    assert shard_digests(bare, family, tmp_path, "vae", vae=layouts[name]) == expected
    single = tmp_path / "single.safetensors"
    to_original(checkpoint, family, single)
    rest = {k: v for k, v in load_file(single).items() if not k.startswith(PREFIX)}
    save_file(rest, single)
    options = {"tokenizer": checkpoint / "tokenizer", "vae": layouts[name]}
    assert shard_digests(single, family, tmp_path, "vae", **options) == expected
    with pytest.raises(CheckpointError, match="vae not in it"):
        open_checkpoint(single, family)


@pytest.mark.slow
def test_a_baked_in_vae_is_left_alone(checkpoint, family, layouts, expected, tmp_path):
    single = tmp_path / "single.safetensors"
    to_original(checkpoint, family, single)
    options = {"tokenizer": checkpoint / "tokenizer", "vae": layouts["plain"]}
    assert shard_digests(single, family, tmp_path, "vae", **options) == expected


@pytest.mark.slow
@pytest.mark.parametrize("beside", [True, False])
def test_its_own_configuration_is_read(checkpoint, family, other, tmp_path, beside):
    """A folder's, and that beside a file of diffusers' name; a file of another name has none."""
    folder = tmp_path / "vae"
    shutil.copytree(other / "vae", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "scaling_factor": 0.25}))
    path = folder
    if not beside:
        path = folder / "my-vae.safetensors"
        (folder / "diffusion_pytorch_model.safetensors").rename(path)
    found = open_checkpoint(checkpoint, family, vae=path)
    scale = 0.25 if beside else family.latent_space.scaling_factor
    assert found.family.latent_space.scaling_factor == scale


REFUSED = {
    "another class": ("config", {"_class_name": "AsymmetricAutoencoderKL"}, "AsymmetricAutoen"),
    "another tensor": ("tensor", "decoder.mid_block.attentions.1.to_q.weight", "is not read by"),
    "a missing tensor": ("drop", "decoder.conv_out.bias", "tensor decoder.conv_out.bias is missi"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(checkpoint, family, other, tmp_path, name):
    what, value, message = REFUSED[name]
    folder = tmp_path / "vae"
    shutil.copytree(other / "vae", folder)
    if what == "config":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **value}))
    else:
        path = folder / "diffusion_pytorch_model.safetensors"
        tensors = load_file(path)
        tensors = (
            {**tensors, value: torch.ones(2)}
            if what == "tensor"
            else {k: v for k, v in tensors.items() if k != value}
        )
        save_file(tensors, path)
    for vae in (folder, folder / "diffusion_pytorch_model.safetensors"):
        with pytest.raises(CheckpointError, match=message) as caught:
            open_checkpoint(checkpoint, family, vae=vae)
        # The error names the VAE's own file, and not one that does not exist.
        assert what != "config" or caught.value.message.startswith("vae/config.json: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./gone.safetensors", "VAE ./gone.safetensors does not exist"),
        ("x.pt", "VAE x.pt is a pickle"),
        ("models/x.safetensors", "VAE models/x.safetensors does not exist"),
    ],
)
def test_what_is_no_vae(family, text, message):
    with pytest.raises(CheckpointError, match=message):
        open_chosen(family, None, vae=text)


def test_a_unet_is_no_vae(checkpoint, family):
    with pytest.raises(CheckpointError, match="class is UNet2DConditionModel"):
        open_checkpoint(checkpoint, family, vae=weights_of(checkpoint, "unet"))


def test_a_unet_of_another_name_is_no_vae(checkpoint, family, tmp_path):
    shutil.copyfile(weights_of(checkpoint, "unet"), tmp_path / "vae.safetensors")
    with pytest.raises(CheckpointError, match="no tensor in it is of vae"):
        open_checkpoint(checkpoint, family, vae=tmp_path / "vae.safetensors")
