"""Bundles with the VAE's encoder and without it: parameters apart, nothing needed for text."""

import json
import logging
import re
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from commands import exit_code, wsd
from masked import MASKED
from speck import SPECK, SPECK_XL
from traced import cached_trace
from wsd.bundle.builder import build_bundle, describe_latent_space
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.plan import describe_plan
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.cache import library_key
from wsd.compiler.library import architecture
from wsd.compiler.memory import image_peaks, parameter_bytes, peaks
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.diffusers_reference import check_drawing, draw_reference, load_pipeline
from wsd.models.registry import find_family
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.spec.manifest import Manifest, PeakMemory
from wsd.util.progress import Quiet

OF_ENCODER = ("encoder.", "quant_conv.")


@pytest.fixture(scope="module")
def folder():
    return random_checkpoint(SPECK, 0)


@pytest.fixture(scope="module")
def without_encoder(folder, tmp_path_factory):
    """Return a checkpoint whose VAE has a decoder alone."""
    return copy_without_encoder(folder, tmp_path_factory.mktemp("checkpoint") / "text-only")


def copy_without_encoder(folder, copy):
    copy.mkdir()
    for entry in folder.iterdir():
        if entry.is_file():
            shutil.copyfile(entry, copy / entry.name)
        elif entry.name != "vae":
            shutil.copytree(entry, copy / entry.name)
    (copy / "vae").mkdir()
    shutil.copyfile(folder / "vae" / "config.json", copy / "vae" / "config.json")
    [weights] = (folder / "vae").glob("*.safetensors")
    kept = {k: v for k, v in load_file(weights).items() if not k.startswith(OF_ENCODER)}
    save_file(kept, copy / "vae" / weights.name)
    return copy


def build(folder, library, out):
    checkpoint = open_checkpoint(folder, SPECK)
    build_bundle(checkpoint, library, out, Quiet())
    assert list(verify_bundle(out)) == []
    return read_manifest(find_manifest(out, None))


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Return the manifest of a bundle with the encoder."""
    return build(folder, cached_trace(SPECK), tmp_path_factory.mktemp("bundles") / "whole")


@pytest.fixture(scope="module")
def both(whole, folder, tmp_path_factory):
    """Return the manifests of a bundle with the encoder, and of one without it."""
    text = cached_trace(SPECK.without_parts())
    return whole, build(folder, text, tmp_path_factory.mktemp("bundles") / "text")


def roles(manifest):
    return {entry.role for entry in manifest.entry_points}


@pytest.mark.full
@pytest.mark.slow
def test_the_encoders_parameters_have_shards_of_their_own(both):
    whole, text = both
    entry = whole.components["vae_encoder"]
    assert (entry.folder, entry.role) == ("vae", "vae_encoder")
    assert all(record.name.startswith(OF_ENCODER) for record in entry.records)
    assert not any(r.name.startswith(OF_ENCODER) for r in whole.components["vae"].records)
    assert all(shard.file.startswith("vae_encoder-") for shard in entry.shards)
    # What a visitor who draws from text fetches is the same to the byte.
    assert {k: v for k, v in whole.components.items() if k != "vae_encoder"} == text.components
    assert list(whole.find_inconsistencies()) == list(text.find_inconsistencies()) == []


@pytest.mark.full
def test_the_functions_of_the_encoder(both):
    whole, text = both
    assert roles(whole) - roles(text) == {
        "vae_encoder",
        "vae_encoder_tile",
        "rgba_to_image",
        "masked_blend",
    }
    encoders = [e for e in whole.entry_points if e.role.startswith("vae_encoder")]
    assert {entry.component for entry in encoders} == {"vae_encoder"}
    assert [e for e in whole.entry_points if e.role in roles(text)] == list(text.entry_points)


@pytest.mark.full
def test_text_needs_no_more_than_before(both):
    whole, text = both
    assert whole.requires == text.requires
    assert whole.peak_bytes == text.peak_bytes
    assert text.image_peak_bytes is None
    assert [(p.size, p.offload, p.tiling) for p in whole.image_peak_bytes] == [
        (p.size, p.offload, p.tiling) for p in whole.peak_bytes
    ]


def test_a_picture_takes_the_encoders_memory(whole):
    library = cached_trace(SPECK)
    encoder = parameter_bytes(library, "vae_encoder")
    [first, *_] = peaks(library)
    [with_picture, *_] = image_peaks(library)
    assert (first.offload, first.tiling) == (False, False)
    assert with_picture.bytes == first.bytes + encoder
    size = with_picture.size
    assert whole.peak(size, offload=False, tiling=False, image=True) == with_picture.bytes
    assert whole.peak(size, offload=False, tiling=False) == first.bytes


def test_stored_weights_are_named_by_the_components_that_diffusers_has(whole):
    assert "vae_encoder" not in whole.storages()
    assert {"encoder.conv_in.weight", "decoder.conv_in.weight"} <= set(whole.storages()["vae"])


def test_both_are_libraries_of_one_architecture():
    families = (SPECK, SPECK.without_parts())
    assert architecture(families[0]) == architecture(families[1])
    keys = {library_key(family, family.sizes, "f32").digest for family in families}
    assert len(keys) == 2


@pytest.mark.full
@pytest.mark.slow
def test_a_plan_counts_the_encoder_apart():
    library = cached_trace(SPECK)
    lines = list(describe_plan(SPECK, library, SPECK.scheduler))
    [more] = (line for line in lines if line.startswith("with a picture"))
    assert f"{parameter_bytes(library, 'vae_encoder') / 1024:.2f} KiB" in more
    family = SPECK.without_parts()
    lines_of_text = list(describe_plan(family, cached_trace(family), SPECK.scheduler))
    assert not [line for line in lines_of_text if "picture" in line]
    [download, other] = (
        next(line for line in found if line.startswith("download"))
        for found in (lines, lines_of_text)
    )
    assert download == other


@pytest.mark.full
@pytest.mark.slow
def test_a_plan_of_a_model_that_needs_a_picture_counts_the_encoder_with_all_else():
    library = cached_trace(MASKED)
    lines = list(describe_plan(MASKED, library, MASKED.scheduler))
    assert not [line for line in lines if line.startswith("with a picture")]
    [download] = (line for line in lines if line.startswith("download"))
    total = sum(parameter_bytes(library, name) for name in library.parameters)
    assert read_bytes(download) == pytest.approx(total + library.wasm.stat().st_size, rel=5e-3)
    planned = [peak.bytes for peak in image_peaks(library)]
    assert [read_bytes(line) for line in lines[-len(planned) :]] == pytest.approx(planned, rel=5e-3)
    for text, picture in zip(peaks(library), planned, strict=True):
        assert picture > 1.01 * text.bytes or text.offload


def read_bytes(line):
    """Return the first number of bytes that a line of a plan names, which has two decimals."""
    number, unit = re.search(r"([\d.]+) ([KMG]iB)", line).groups()
    return float(number) * 1024 ** (1 + "KMG".index(unit[0]))


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_checkpoint_without_an_encoder_draws_from_text(without_encoder, folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        checkpoint = open_checkpoint(without_encoder, SPECK)
    assert "no picture can be given to it" in caplog.text
    assert "encoder.conv_in.weight" in caplog.text
    assert checkpoint.family == SPECK.without_parts()
    manifest = build(without_encoder, cached_trace(checkpoint.family), tmp_path / "bundle")
    assert "vae_encoder" not in manifest.components
    request = GenerationRequest("a star", seed=2, steps=2)
    drawn = [
        draw_reference(opened, load_pipeline(opened), request, Quiet())[0]
        for opened in (checkpoint, open_checkpoint(folder, SPECK))
    ]
    assert (drawn[0] == drawn[1]).all()


@pytest.mark.slow
def test_a_model_that_needs_a_picture_needs_the_encoder(tmp_path):
    copy = copy_without_encoder(random_checkpoint(MASKED, 0), tmp_path / "text-only")
    with pytest.raises(
        CheckpointError, match="text-only lacks encoder.* the picture that it needs"
    ):
        open_checkpoint(copy, MASKED)


@pytest.mark.parametrize("command", ["compile", "build"])
def test_the_encoder_is_not_left_out_of_a_model_that_needs_a_picture(command, tmp_path, capsys):
    words = (command, "--model", "sd15-inpaint", "--text-to-image-only", "--out", tmp_path / "out")
    assert exit_code(*words) == 2
    assert "nothing from text alone\nhint: leave --text-to-image-only" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError):
        MASKED.without_parts()


def test_a_library_with_an_encoder_wants_a_checkpoint_with_one(without_encoder, tmp_path):
    checkpoint = open_checkpoint(without_encoder, SPECK)
    with pytest.raises(UsageError, match="compiled with vae_encoder, which the checkpoint lacks"):
        build_bundle(checkpoint, cached_trace(SPECK), tmp_path / "out", Quiet())


@pytest.mark.slow
def test_a_picture_wants_a_checkpoint_with_an_encoder(without_encoder):
    checkpoint = open_checkpoint(without_encoder, SPECK)
    picture = GivenPicture(torch.zeros(16, 16, 3, dtype=torch.uint8).numpy(), 0.5)
    request = GenerationRequest("a star")
    with pytest.raises(UsageError, match="has no encoder for a picture that is given"):
        check_drawing(checkpoint, request, picture)
    with pytest.raises(UsageError, match="has no encoder for a picture that is given"):
        draw_reference(checkpoint, load_pipeline(checkpoint), request, Quiet(), picture=picture)


def test_the_checkpoints_own_encoder_is_loaded(folder):
    checkpoint = open_checkpoint(folder, SPECK)
    vae = checkpoint.load(SPECK.component("vae_decoder"))
    [weights] = (folder / "vae").glob("*.safetensors")
    stored = load_file(weights)["encoder.conv_in.weight"]
    assert torch.equal(dict(vae.named_parameters())["encoder.conv_in.weight"], stored)


def test_a_mask_is_refused_where_the_vae_normalises_latents(folder):
    """As `wsd render` refuses it; diffusers would leave the means out without a word."""
    checkpoint = open_checkpoint(folder, SPECK)
    family = SPECK_XL  # pipelines of SD 1.5 ignore the means
    means = {"latents_mean": [0.3, -1.2, 0.1, 2.0], "latents_std": [0.5, 1.5, 3.0, 0.8]}
    components = tuple(
        replace(c, config={**c.config, **means}) if c.role == "vae_decoder" else c
        for c in family.components
    )
    normalised = replace(checkpoint, family=replace(family, components=components))
    image = torch.zeros(16, 16, 3, dtype=torch.uint8).numpy()
    mask = torch.full((16, 16), 255, dtype=torch.uint8).numpy()
    request = GenerationRequest("a star")
    with pytest.raises(UsageError, match="has normalised latents"):
        check_drawing(normalised, request, GivenPicture(image, 0.5, mask))
    check_drawing(normalised, request, GivenPicture(image, 0.5))


def test_normalised_channels_are_in_the_manifest():
    family = find_family("tiny-sdxl")
    means = {"latents_mean": [0.3, -1.2, 0.1, 2.0], "latents_std": [0.5, 1.5, 3.0, 0.8]}
    components = tuple(
        replace(c, config={**c.config, **means}) if c.role == "vae_decoder" else c
        for c in family.components
    )
    space = describe_latent_space(replace(family, components=components))
    assert space.mean == (0.3, -1.2, 0.1, 2.0)
    assert space.std == (0.5, 1.5, 3.0, 0.8)
    plain = describe_latent_space(family)
    assert plain.model_dump() == {
        "channels": 4, "scale_factor": 8, "scaling_factor": 0.13025, "shift_factor": 0.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda m: {
                "entry_points": tuple(e for e in m.entry_points if e.role != "rgba_to_image")
            },
            "entry_points: vae_encoder and rgba_to_image are there together, or neither",
        ),
        (lambda _: {"image_peak_bytes": None}, "image_peak_bytes: nothing is planned for 16x16"),
        (
            lambda _: {"image_peak_bytes": (PeakMemory((32, 32), False, False, 1),)},
            "image_peak_bytes: nothing is planned for 16x16",
        ),
        (
            lambda m: {
                "pipeline": "inpainting",
                "entry_points": tuple(e for e in m.entry_points if "enco" not in e.role),
            },
            "entry_points: none has the role vae_encoder",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself(whole, change, fault):
    assert fault in list(whole.model_copy(update=change(whole)).find_inconsistencies())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.0] * 3, "std": [1.0] * 4}, "mean has 3 values for 4 channels"),
        ({"mean": [0.0] * 4}, "mean and std are there together"),
        ({"mean": [0.0] * 4, "std": [0.0] * 4}, "greater than 0"),
    ],
)
def test_means_that_do_not_fit_are_refused(whole, change, message):
    table = whole.model_dump(mode="json")
    table["latent_space"] |= change
    with pytest.raises(ValueError, match=message):
        Manifest.model_validate_json(json.dumps(table))


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--text-to-image-only",)])
def test_the_option_leaves_the_encoder_out(options, tmp_path, monkeypatch):
    """What compiles is replaced by what traces; which functions there are is the same."""
    monkeypatch.setattr(
        "wsd.compiler.driver.compile_library", lambda family, *_: cached_trace(family)
    )
    common = ("--model", "speck", *options)
    compiled, bundle, again = (tmp_path / name for name in ("compiled", "bundle", "again"))
    assert wsd("compile", *common, "--out", compiled)[0] == 0
    weights = ("--random-weights", 0)
    assert wsd("build", *common, *weights, "--out", bundle)[0] == 0
    with_library = ("--model", "speck", *weights, "--library", compiled)
    assert wsd("build", *with_library, "--out", again)[0] == 0
    code, plan = wsd("build", *common, *weights, "--plan")
    assert code == 0
    assert any("with a picture" in line for line in plan) == (not options)
    for folder in (bundle, again):
        manifest = read_manifest(find_manifest(folder, None))
        assert ("vae_encoder" in roles(manifest)) == (not options)
        assert ("vae_encoder" in manifest.components) == (not options)


def test_a_library_says_itself_what_it_takes(tmp_path, capsys):
    words = (
        "build",
        "--model",
        "speck",
        "--library",
        tmp_path,
        "--text-to-image-only",
        "--out",
        "x",
    )
    assert exit_code(*words) == 2
    assert "--text-to-image-only" in capsys.readouterr().err
