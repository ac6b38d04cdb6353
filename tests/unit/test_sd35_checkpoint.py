"""Checkpoints of Stable Diffusion 3.5: with T5 and without, and those of other models."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from safetensors.torch import load_file, save_file

from grain import GRAIN
from traced import cached_trace
from wsd.bundle.builder import build_bundle, describe_conditioning, describe_latent_space
from wsd.bundle.plan import describe_plan
from wsd.bundle.self_test import select_stages, write_fixtures
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.cli.options import CheckpointChoice
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.weighted_prompts import encode_prompt
from wsd.models.registry import FAMILIES, find_family
from wsd.runtime.request import GenerationRequest
from wsd.runtime.text_encoder_choice import choose_encoders
from wsd.spec.manifest import Manifest
from wsd.util.progress import Quiet

T5 = "text_encoder_3"
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
TABLE = "pos_embed.pos_embed"
WITHOUT = GRAIN.choose_encoders(wanted=False)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder():
    return random_checkpoint(GRAIN, 0)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def change(path, **keys):
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def component_of(checkpoint, name):
    return next(each for each in checkpoint.family.components if each.id == name)


def test_the_family_is_registered():
    family = find_family("sd35-medium")
    assert family.license == "stabilityai-ai-community"
    assert describe_conditioning(family).optional == (T5,)
    assert describe_latent_space(family).shift_factor == 0.0609
    assert describe_conditioning(find_family("sdxl")).optional is None


def test_positions_become_two_tables(folder):
    checkpoint = open_checkpoint(folder, GRAIN)
    table = load_file(folder / TRANSFORMER)[TABLE].reshape(12, 12, -1)
    loaded = checkpoint.load(component_of(checkpoint, "transformer"))
    half = table.shape[-1] // 2
    assert torch.equal(loaded.pos_embed.columns, table[5, :, :half])
    assert torch.equal(loaded.pos_embed.rows, table[:, 5, half:])


def test_positions_that_were_trained_are_refused(copy):
    tensors = load_file(copy / TRANSFORMER)
    tensors[TABLE][0, 17, 3] += 1e-3
    save_file(tensors, copy / TRANSFORMER)
    checkpoint = open_checkpoint(copy, GRAIN)
    with pytest.raises(CheckpointError, match="pos_embed.pos_embed holds positions"):
        checkpoint.load(component_of(checkpoint, "transformer"))


@pytest.mark.parametrize("names", [("encoder.embed_tokens",), ("shared", "encoder.embed_tokens")])
def test_either_name_of_t5s_table_is_read(folder, copy, names):
    path = copy / T5 / "model.safetensors"
    tensors = load_file(path)
    table = tensors.pop("shared.weight")
    save_file({**tensors, **{f"{name}.weight": table.clone() for name in names}}, path)
    checkpoint = open_checkpoint(copy, GRAIN)
    loaded = checkpoint.load(component_of(checkpoint, T5))
    assert torch.equal(loaded.shared.weight, table)
    assert loaded.encoder.embed_tokens.weight is loaded.shared.weight
    assert "encoder.embed_tokens.weight" not in list_names(component_of(checkpoint, T5)).shapes
    own = load_file(folder / T5 / "model.safetensors")["shared.weight"]
    assert torch.equal(loaded.shared.weight, own)


@pytest.mark.parametrize("with_t5", [True, False])
@pytest.mark.parametrize(
    "size",
    [
        GRAIN.sizes[0],
        *(pytest.param(size, marks=pytest.mark.full) for size in GRAIN.sizes[1:]),
    ],
)
def test_the_reference_is_diffusers_own_pipeline(folder, with_t5, size):
    """diffusers loads the folder itself, with its own transformer."""
    family = GRAIN if with_t5 else WITHOUT
    checkpoint = open_checkpoint(folder, family)
    gone = {} if with_t5 else {T5: None, "tokenizer_3": None}
    theirs = StableDiffusion3Pipeline.from_pretrained(folder, **gone)
    theirs.set_progress_bar_config(disable=True)
    theirs.tokenizer_max_length = 77
    request = GenerationRequest("a red circle", "blue", steps=3, guidance_scale=4.0, size=size)
    images, latents = draw_reference(checkpoint, load_pipeline(checkpoint), request, Quiet())
    kept = {}
    drawn = theirs(
        "a red circle", negative_prompt="blue", num_inference_steps=3, guidance_scale=4.0,
        width=size[0], height=size[1], max_sequence_length=GRAIN.conditioning.room,
        generator=torch.Generator().manual_seed(0), output_type="np",
        callback_on_step_end=lambda _, __, ___, tensors: kept.update(tensors) or tensors,
    )  # fmt: skip
    np.testing.assert_allclose(latents, kept["latents"].numpy().ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(images / 255, drawn.images, atol=0.51 / 255)


@pytest.mark.exhaustive
def test_a_plan_says_what_the_transformer_predicts():
    lines = describe_plan(WITHOUT, cached_trace(WITHOUT), WITHOUT.scheduler)
    [scheduler] = [line for line in lines if line.startswith("scheduler")]
    assert scheduler.split(maxsplit=1)[1] == "flow_euler, predicts flow_prediction"


def test_a_plain_prompt_weighs_nothing(folder):
    """The reference of weighted prompts joins states as diffusers' pipeline does."""
    for family in (GRAIN, WITHOUT):
        pipeline = load_pipeline(open_checkpoint(folder, family))
        texts = ("a red circle", "blue", "two stars")
        found = encode_prompt(pipeline, family.conditioning, texts, syntax="plain")
        with torch.no_grad():
            expected = pipeline.encode_prompt(
                *texts, device="cpu", do_classifier_free_guidance=False,
                max_sequence_length=family.conditioning.room,
            )  # fmt: skip
        torch.testing.assert_close(found.embeddings, expected[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.pooled, expected[2], rtol=1e-5, atol=1e-6)


def leave_out(copy, how):
    if how != "folder":
        change(copy / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    else:
        index = json.loads((copy / "model_index.json").read_text())
        del index[T5], index["tokenizer_3"]
        (copy / "model_index.json").write_text(json.dumps(index))
    if how != "index":
        shutil.rmtree(copy / T5)
        shutil.rmtree(copy / "tokenizer_3")


@pytest.mark.parametrize("how", ["index", "folder", "both"])
def test_a_checkpoint_without_t5_is_one_of_clip_alone(copy, how, caplog):
    leave_out(copy, how)
    with caplog.at_level(logging.WARNING):
        checkpoint = open_checkpoint(copy, GRAIN)
    assert checkpoint.family == WITHOUT
    assert "copy has no text_encoder_3 (T5EncoderModel)" in caplog.text
    caplog.clear()
    assert open_checkpoint(copy, WITHOUT).family == WITHOUT
    assert not caplog.records


def test_t5_that_is_asked_for_must_be_there(folder, copy):
    asked = GRAIN.choose_encoders(wanted=True)
    assert open_checkpoint(folder, asked).family.text_encoders()[2].id == T5
    leave_out(copy, "both")
    with pytest.raises(CheckpointError, match="copy has no text_encoder_3 .* asked for") as raised:
        open_checkpoint(copy, asked)
    assert "--text-encoder-3" in raised.value.hint


def test_t5_that_is_there_can_be_left_out(folder):
    checkpoint = open_checkpoint(folder, WITHOUT)
    assert [each.id for each in checkpoint.family.text_encoders()] == [
        "text_encoder", "text_encoder_2"
    ]  # fmt: skip
    assert len(checkpoint.family.tokenizers) == 2
    assert checkpoint.family.conditioning.room == GRAIN.conditioning.room


def test_t5_that_only_its_folder_lacks_is_an_error(copy):
    shutil.rmtree(copy / T5)
    with pytest.raises(CheckpointError, match="has no folder text_encoder_3") as raised:
        open_checkpoint(copy, GRAIN)
    assert "--no-text-encoder-3" in raised.value.hint
    assert open_checkpoint(copy, WITHOUT).family == WITHOUT
    shutil.rmtree(copy / "text_encoder")
    with pytest.raises(CheckpointError, match="has no folder text_encoder") as raised:
        open_checkpoint(copy, WITHOUT)
    assert "--no-text-encoder-3" not in raised.value.hint


def test_nothing_is_said_of_encoders_that_every_picture_needs():
    with pytest.raises(UsageError, match="tiny-sdxl has no text encoder that can be left out"):
        CheckpointChoice("tiny-sdxl", text_encoder_3=False).family()


def test_the_option_chooses(folder, monkeypatch):
    monkeypatch.setitem(FAMILIES, "grain", GRAIN)
    choice = CheckpointChoice("grain", text_encoder_3=False)
    assert choice.family() == WITHOUT
    assert not choice.is_given
    named = replace(choice, weights=str(folder))
    assert named.open().family == WITHOUT
    assert named.compile_options().endswith(" --no-text-encoder-3")


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"pos_embed_max_size": 192, "qk_norm": None}, "this is Stable Diffusion 3 Medium"),
        ({"num_layers": 38, "pos_embed_max_size": 192}, "this is Stable Diffusion 3.5 Large"),
        ({"num_layers": 4}, "another family"),
    ],
)
def test_other_models_of_the_pipeline_are_named(copy, changes, hint):
    change(copy / "transformer" / "config.json", **changes)
    key = next(iter(changes))
    with pytest.raises(CheckpointError, match=f"transformer/config.json: {key} is") as raised:
        open_checkpoint(copy, GRAIN)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("vae/config.json", {"shift_factor": None}, "shift_factor is None"),
        (f"{T5}/config.json", {"is_gated_act": False}, "is_gated_act is False"),
        (f"{T5}/config.json", {"d_model": 64}, "d_model is 64"),
        (f"{T5}/config.json", {"is_decoder": True}, "is_decoder is True"),
        ("transformer/config.json", {"sample_size": None}, "sample_size is None"),
        ("model_index.json", {"_class_name": "FluxPipeline"}, "_class_name is FluxPipeline"),
    ],
)
def test_what_would_draw_other_pictures_is_refused(copy, file, changes, said):
    change(copy / file, **changes)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(copy, GRAIN)


def test_a_variant_has_the_checkpoints_own_values(copy):
    change(copy / "vae" / "config.json", shift_factor=0.5, scaling_factor=2.0)
    change(copy / T5 / "config.json", tie_word_embeddings=False, output_past=True)
    space = open_checkpoint(copy, GRAIN).family.latent_space
    assert (space.shift_factor, space.scaling_factor) == (0.5, 2.0)


@pytest.mark.exhaustive
def test_a_self_test_of_the_whole_model_serves_the_bundle_without_t5(folder, tmp_path):
    size = GRAIN.sizes[0]
    whole = open_checkpoint(folder, GRAIN)
    path = write_fixtures(whole, size, "a red circle", tmp_path / "self-test.json", Quiet())
    found = []
    for family in (GRAIN, WITHOUT):
        chosen = select_stages(path, open_checkpoint(folder, family), cached_trace(family))
        found.append({stage.entry_point for stage in chosen.stages})
    assert found[0] - found[1] == {T5}
    assert len(found[1]) == len(found[0]) - 1


@pytest.fixture(scope="module")
def manifests(folder, tmp_path_factory):
    """Return the manifests of a bundle with T5 and of one without it."""
    found = []
    for family in (GRAIN, WITHOUT):
        out = tmp_path_factory.mktemp("bundle") / "grain"
        build_bundle(open_checkpoint(folder, family), cached_trace(family), out, Quiet())
        assert list(verify_bundle(out)) == []
        found.append(json.loads((out / "models" / "grain" / "manifest.json").read_text()))
    return found


@pytest.mark.full
def test_a_bundle_has_what_each_encoder_needs(manifests):
    whole, without = manifests
    assert whole["conditioning"] == {
        "encoders": ["text_encoder", "text_encoder_2", T5], "join": "sequence",
        "empty_negative": "encode", "optional": [T5],
    }  # fmt: skip
    assert set(whole["tokenizers"]) == set(whole["conditioning"]["encoders"])
    assert "bos_token_id" not in whole["tokenizers"][T5]
    assert whole["noise_schedule"]["kind"] == "flow"
    assert whole["schedulers"]["default"] == "flow_euler"
    assert whole["latent_space"]["shift_factor"] == 0.0609
    assert [len(row) for row in whole["preview"]["weights"]] == [16] * 3
    assert set(whole["components"]) - set(without["components"]) == {T5}


@pytest.mark.full
def test_the_page_leaves_out_what_a_bundle_without_t5_lacks(manifests, javascript):
    """So that what it says of memory and downloads is right."""
    whole, without = manifests
    chosen = javascript({"call": "choose_encoders", "manifest": whole, "wanted": False})
    # Only what names the build differs. The manifests serve other tests too, so none is changed.
    names_the_build = {"model", "library", "toolchain"}
    kept, left = (
        {name: value for name, value in manifest.items() if name not in names_the_build}
        for manifest in (chosen, without)
    )
    assert kept == left


@pytest.mark.full
def test_the_commands_leave_out_the_same(manifests, javascript):
    whole, without = manifests

    def read(found):
        return Manifest.model_validate_json(json.dumps(found))

    chosen = choose_encoders(read(whole), wanted=False)
    page = javascript({"call": "choose_encoders", "manifest": whole, "wanted": False})
    # What it requires of a GPU is for the page alone.
    requires = {"requires": chosen.requires}
    assert chosen == read(page).model_copy(update=requires)
    assert chosen.conditioning == read(without).conditioning
    assert list(chosen.find_inconsistencies()) == []
    assert choose_encoders(chosen, wanted=False) is chosen
    with pytest.raises(UsageError, match="has no third text encoder"):
        choose_encoders(chosen, wanted=True)
    for wanted in (True, None):
        assert choose_encoders(manifest := read(whole), wanted) is manifest


@pytest.mark.full
def test_the_page_takes_what_there_is(manifests, javascript):
    whole, _ = manifests
    for wanted in (True, None):
        asked = {"call": "choose_encoders", "manifest": whole, "wanted": wanted}
        assert javascript(asked) == whole
