"""A tiny autoencoder (diffusers' `AutoencoderTiny`) in place of a checkpoint's VAE."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderTiny, DiffusionPipeline
from safetensors.torch import load_file, save_file

from grain import GRAIN
from speck import SPECK, SPECK_XL, TINY_VAE
from wsd.bundle.builder import describe_latent_space
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import read_variant
from wsd.compiler.library import describe_architecture
from wsd.compiler.library_check import check_library
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.evaluate.tiled_autoencoder import use_tiles
from wsd.frontend.entry_points import make_entry_points
from wsd.models.registry import FAMILIES
from wsd.models.stable_diffusion.components import taesd

pytestmark = pytest.mark.slow

FILE = "diffusion_pytorch_model.safetensors"
# Families that check what a checkpoint has against two levels, as TINY_VAE has.
TWO_LEVELS = replace(
    SPECK,
    components=(
        *SPECK.components[:2],
        replace(SPECK.component("vae_decoder"), alternatives=(taesd(4, 2),)),
    ),
)


def save_taesd(folder, levels=1, channels=4, seed=0, **config):
    """Save a tiny autoencoder with random weights, as diffusers does."""
    torch.manual_seed(seed)
    widths = (8,) * levels
    made = AutoencoderTiny(
        latent_channels=channels, encoder_block_out_channels=widths,
        decoder_block_out_channels=widths, num_encoder_blocks=(1,) * levels,
        num_decoder_blocks=(1,) * levels, **config,
    )  # fmt: skip
    made.save_pretrained(folder, safe_serialization=True)
    return folder


def change(path, **keys):
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


@pytest.fixture(scope="module")
def speck():
    return random_checkpoint(SPECK, 0)


@pytest.fixture
def copy(speck, tmp_path):
    return shutil.copytree(speck, tmp_path / "copy")


@pytest.mark.parametrize(
    ("family", "channels", "levels"), [(SPECK, 4, 1), (SPECK_XL, 4, 1), (GRAIN, 16, 2)]
)
def test_it_takes_the_place_of_any_familys_vae(family, channels, levels, tmp_path, caplog):
    """With its own scale and shift, and without a word about keys that it always has."""
    folder = save_taesd(tmp_path / "taesd", levels, channels)
    with caplog.at_level(logging.WARNING):
        opened = open_checkpoint(random_checkpoint(family, 0), family, vae=folder)
    assert not [record for record in caplog.records if record.name.startswith("wsd")]
    component = opened.family.component("vae_decoder")
    assert (component.class_name, component.id) == ("AutoencoderTiny", "vae")
    assert list(component.config["decoder_block_out_channels"]) == [8] * levels
    space = describe_latent_space(opened.family)
    assert (space.channels, space.scale_factor) == (channels, 2 ** (levels - 1))
    assert (space.scaling_factor, space.shift_factor) == (1, 0)
    assert opened.source.provenance.endswith(" with VAE taesd")
    # All else is the checkpoint's.
    plain = open_checkpoint(random_checkpoint(family, 0), family)
    assert opened.family.components[:-1] == plain.family.components[:-1]
    pipeline = load_pipeline(opened)
    assert type(pipeline.vae) is AutoencoderTiny
    stored = load_file(folder / FILE)
    assert all(torch.equal(stored[k], v) for k, v in pipeline.vae.state_dict().items())


@pytest.mark.parametrize("family", [SPECK, SPECK_XL, GRAIN], ids=lambda family: family.name)
def test_its_functions_compute_what_diffusers_pipelines_do(family, tmp_path):
    levels, channels = (2, 16) if family is GRAIN else (1, 4)
    scale = {"scaling_factor": 0.5, "shift_factor": 0.25 if family is GRAIN else 0.0}
    folder = save_taesd(tmp_path / "taesd", levels, channels, **scale)
    opened = open_checkpoint(random_checkpoint(family, 0), family, vae=folder)
    component = opened.family.component("vae_decoder")
    model = opened.load(component)
    decoder, tile, encoder, encoder_tile = make_entry_points(
        opened.family, component, model, [family.sizes[0]]
    )
    generator = torch.Generator().manual_seed(0)
    latents, image = (
        torch.randn(each.inputs[0].shape, generator=generator) for each in (decoder, encoder)
    )
    theirs = AutoencoderTiny.from_pretrained(folder, use_safetensors=True)
    with torch.no_grad():
        # As StableDiffusion3Pipeline does; the others have no shift.
        unscaled = latents / theirs.config.scaling_factor + theirs.config.shift_factor
        assert torch.equal(decoder.module(latents), theirs.decode(unscaled).sample)
        assert torch.equal(encoder.module(image), theirs.encode(image).latents)
    assert [spec.name for spec in encoder.outputs] == ["latents"]
    assert encoder.outputs[0].shape == latents.shape
    assert encoder_tile.outputs[0].shape == tile.inputs[0].shape


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_whose_vae_it_is(copy, named):
    """As diffusers saves a pipeline with one; its class may stand in the index alone."""
    shutil.rmtree(copy / "vae")
    save_taesd(copy / "vae")
    change(copy / "model_index.json", vae=["diffusers", "AutoencoderTiny"])
    if not named:
        path = copy / "vae" / "config.json"
        config = json.loads(path.read_text())
        del config["_class_name"]
        path.write_text(json.dumps(config))
    opened = open_checkpoint(copy, SPECK)
    assert opened.family.component("vae_decoder").class_name == "AutoencoderTiny"
    assert type(DiffusionPipeline.from_pretrained(copy, safety_checker=None).vae) is AutoencoderTiny


def test_an_index_that_names_the_other_class_is_refused(copy):
    shutil.rmtree(copy / "vae")
    save_taesd(copy / "vae")
    with pytest.raises(CheckpointError, match="_class_name is AutoencoderTiny, but model_index"):
        open_checkpoint(copy, SPECK)
    # Another VAE makes it of no account.
    taken = open_checkpoint(copy, SPECK, vae=copy / "vae")
    assert taken.family.component("vae_decoder").class_name == "AutoencoderTiny"


def test_a_file_with_its_configuration_beside_it(speck, tmp_path):
    folder = save_taesd(tmp_path / "taesd")
    opened = open_checkpoint(speck, SPECK, vae=folder / FILE)
    assert opened.family.component("vae_decoder").class_name == "AutoencoderTiny"
    (folder / FILE).rename(folder / "other.safetensors")
    with pytest.raises(CheckpointError, match="no tensor in it is of vae") as caught:
        open_checkpoint(speck, SPECK, vae=folder / "other.safetensors")
    assert "folder" in caught.value.hint


class Clamp(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


class Block(torch.nn.Module):
    """The block of the original: its names are those of diffusers' AutoencoderTinyBlock."""

    def __init__(self, width):
        super().__init__()
        layers = [torch.nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
        relu = torch.nn.ReLU()
        self.conv = torch.nn.Sequential(layers[0], relu, layers[1], relu, layers[2])

    def forward(self, x):
        return torch.relu(self.conv(x) + x)


def original_decoder(width, channels, blocks):
    """Return a decoder as madebyollin/taesd's ``Decoder`` builds it, from 0 to 1."""
    convolve = torch.nn.Conv2d
    layers = [Clamp(), convolve(channels, width, 3, padding=1), torch.nn.ReLU()]
    for level, count in enumerate(blocks):
        layers += [Block(width) for _ in range(count)]
        if level < len(blocks) - 1:
            layers += [torch.nn.Upsample(scale_factor=2)]
            layers += [convolve(width, width, 3, padding=1, bias=False)]
    return torch.nn.Sequential(*layers, convolve(width, 3, 3, padding=1))


@pytest.mark.parametrize(
    ("family", "blocks"), [(SPECK, (2,)), (GRAIN, (3, 1)), (FAMILIES["tiny-sd15"], (3, 3, 0, 1))]
)
def test_a_decoder_in_the_original_layout(family, blocks, tmp_path, caplog):
    """A file of taesd_decoder.safetensors' names; its tensors tell its configuration."""
    torch.manual_seed(0)
    channels = family.latent_space.channels
    original = original_decoder(8, channels, blocks)
    save_file(original.state_dict(), tmp_path / "taesd_decoder.safetensors")
    path = family.weights or random_checkpoint(family, 0)
    opened = open_checkpoint(path, family, vae=tmp_path / "taesd_decoder.safetensors")
    component = opened.family.component("vae_decoder")
    assert component.class_name == "AutoencoderTiny"
    assert list(component.config["num_decoder_blocks"]) == list(blocks)
    assert component.parts == ()
    assert "draws from text alone: no picture can be given to it" in caplog.text
    decoder = next(
        make_entry_points(opened.family, component, opened.load(component), [family.sizes[0]])
    )
    latents = torch.randn(decoder.inputs[0].shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = original(latents).mul(2).sub(1)
        torch.testing.assert_close(decoder.module(latents), expected, rtol=1e-6, atol=1e-6)
        reference = load_pipeline(opened).vae.decode(latents).sample
    assert torch.equal(decoder.module(latents), reference)


def test_files_of_the_original_that_are_no_decoder_of_the_model(speck, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "taesd_decoder.safetensors"
    save_file(original_decoder(8, 16, (1,)).state_dict(), path)
    with pytest.raises(CheckpointError, match="decoder.safetensors: latent_channels is 16") as why:
        open_checkpoint(speck, SPECK, vae=path)
    assert "take the one of this model" in why.value.hint
    # Of four levels, where the model has one.
    save_file(original_decoder(8, 4, (1, 1, 1, 1)).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"block_out_channels is \[8, 8, 8, 8\]"):
        open_checkpoint(speck, SPECK, vae=path)
    # An encoder alone, whose first convolution is layer 0.
    encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), Block(8), torch.nn.Conv2d(8, 4, 3))
    save_file(encoder.state_dict(), path)
    with pytest.raises(CheckpointError, match="no tensor in it is of vae"):
        open_checkpoint(speck, SPECK, vae=path)


def test_without_an_encoder_it_draws_from_text_alone(speck, tmp_path, caplog):
    folder = save_taesd(tmp_path / "taesd")
    tensors = load_file(folder / FILE)
    save_file({k: v for k, v in tensors.items() if k.startswith("decoder.")}, folder / FILE)
    opened = open_checkpoint(speck, SPECK, vae=folder)
    assert opened.family.component("vae_decoder").parts == ()
    assert "draws from text alone" in caplog.text


def test_a_library_is_of_one_of_the_two(speck, library, tmp_path):
    folder = save_taesd(tmp_path / "taesd")
    variant = read_variant(SPECK, str(speck), str(folder))
    assert describe_architecture(variant)["vae.act_fn"] == '"relu"'
    with pytest.raises(UsageError, match="was not compiled for"):
        check_library(library, variant)


REFUSED = {
    "16 channels": (SPECK, 4, {"latent_channels": 16}, "is of Stable Diffusion 3"),
    "4 channels": (GRAIN, 16, {"latent_channels": 4}, "take taesd3"),
    "bilinear": (SPECK, 4, {"upsample_fn": "bilinear"}, "only nearest is compiled"),
    "a factor of 4": (SPECK, 4, {"upsampling_scaling_factor": 4}, "another size"),
    "three levels": (
        SPECK, 4, {"decoder_block_out_channels": [8, 8, 8]}, "as many as the family's"
    ),
    "an activation": (SPECK, 4, {"act_fn": "mish"}, "only relu, silu and gelu"),
    "no scale": (SPECK, 4, {"scaling_factor": 0}, "expected a positive number"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_what_to_take(name, tmp_path):
    family, channels, keys, hint = REFUSED[name]
    folder = save_taesd(tmp_path / "taesd", 2 if family is GRAIN else 1, channels)
    change(folder / "config.json", **keys)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(random_checkpoint(family, 0), family, vae=folder)
    (key,) = keys
    assert caught.value.message.startswith(f"taesd/config.json: {key} is ")
    assert hint in caught.value.hint


@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd35-medium"])
def test_the_published_ones_are_as_the_families_have_them(family):
    """The configurations of madebyollin/taesd and taesd3, as their files have them."""
    component = FAMILIES[family].component("vae_decoder")
    (published,) = component.alternatives
    channels = 16 if family.startswith("sd35") else 4
    expected = {
        "encoder_block_out_channels": [64, 64, 64, 64],
        "decoder_block_out_channels": [64, 64, 64, 64],
        "num_encoder_blocks": [1, 3, 3, 3],
        "num_decoder_blocks": [3, 3, 3, 1],
        "latent_channels": channels,
        "act_fn": "relu",
        "scaling_factor": 1.0,
    }
    assert {k: json.loads(json.dumps(published.config[k])) for k in expected} == expected
    # Nothing but the channels of latents is other than diffusers' class has it.
    assert dict(published.config) == {
        key: value
        for key, value in AutoencoderTiny(latent_channels=channels).config.items()
        if key in published.config
    }


def test_weights_that_are_missing_are_named(speck, tmp_path):
    folder = save_taesd(tmp_path / "taesd")
    tensors = load_file(folder / FILE)
    del tensors["decoder.layers.0.bias"]
    save_file(tensors, folder / FILE)
    with pytest.raises(CheckpointError, match=r"tensor decoder\.layers\.0\.bias is missing"):
        open_checkpoint(speck, SPECK, vae=folder)
    (folder / FILE).unlink()
    with pytest.raises(CheckpointError, match="taesd"):
        open_checkpoint(speck, SPECK, vae=folder)


def test_keys_of_the_other_class_are_ignored_as_diffusers_does(speck, tmp_path, caplog):
    folder = save_taesd(tmp_path / "taesd")
    change(folder / "config.json", use_quant_conv=True, shift_factor=0.5)
    open_checkpoint(speck, SPECK, vae=folder)
    assert "use_quant_conv is True: AutoencoderTiny does not have this key" in caplog.text
    assert "shift_factor is 0.5: diffusers' Stable Diffusion pipelines ignore it" in caplog.text


def test_random_weights_have_contrast():
    opened = open_checkpoint(random_checkpoint(TINY_VAE, 0), TWO_LEVELS)
    assert opened.family.component("vae_decoder").class_name == "AutoencoderTiny"
    vae = load_pipeline(opened).vae
    with torch.no_grad():
        image = vae.decode(torch.randn(1, 4, 16, 16)).sample.clamp(-1, 1)
    assert image.std() > 0.2


def test_the_reference_encodes_and_decodes_it_in_tiles():
    """Tiles as large as the picture change nothing; smaller ones change it near their edges."""
    vae = load_pipeline(open_checkpoint(random_checkpoint(TINY_VAE, 0), TWO_LEVELS)).vae
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        encoded, decoded = vae.encode(image).latents, vae.decode(image[:, [0, 1, 2, 0]]).sample
        use_tiles(vae, 48, 2, 0.5)
        tiled, shown = vae.encode(image), vae.decode(image[:, [0, 1, 2, 0]]).sample
        (alone,) = vae.encode(image, return_dict=False)
    assert torch.equal(tiled.latents, alone)
    for whole, parts in ((encoded, tiled.latents), (decoded, shown)):
        assert whole.shape == parts.shape
        assert not torch.equal(whole, parts)
        # The middle of the first tile, of which no other tile has a part.
        corner = (..., slice(0, 8), slice(0, 8))
        torch.testing.assert_close(parts[corner], whole[corner], rtol=1e-4, atol=1e-4)
