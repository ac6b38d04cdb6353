"""Adapters of Stable Diffusion 3.5: the weights, a step and a picture with them, and refusals."""

import json
import re

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file, save_file

import sd35_adapter_names
from adapters_data import ALPHA, RANK, write_adapter
from fused_adapters import (
    compare_all,
    fused_by_diffusers,
    fused_by_peft,
    merged_by_lycoris,
    merged_weights,
    own_weights,
)
from grain import GRAIN
from original_sd35 import original_transformer
from sd35_adapters import (
    OF_THE_ORIGINAL,
    SD35_FORMATS,
    SD35_READ_BY_DIFFUSERS,
    make_sd35_adapter,
    write_sd35_adapter,
)
from speck import SPECK, SPECK_XL
from wsd.bundle.adapter_bundle import write_adapter_bundle
from wsd.checkpoint.adapters.adapter import open_adapter
from wsd.checkpoint.adapters.arithmetic import LowRank, Pieces
from wsd.checkpoint.adapters.layer_keys import split_key
from wsd.checkpoint.adapters.names import LayerTable, Target
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import CheckpointError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.progress import Quiet

SCALE = 0.75
# Compared where there is time: what differs from another format in little.
RARE = ("peft-rslora", "peft-dora", "onetrainer", "kohya-loha", "kohya-lokr", "original")
BY_DIFFUSERS, BY_OTHERS = (
    [
        pytest.param(form, marks=pytest.mark.full if form in RARE else ())
        for form in SD35_FORMATS
        if (form in SD35_READ_BY_DIFFUSERS) == is_read
    ]
    for is_read in (True, False)
)
ENCODERS = {"text_encoder": "te1", "text_encoder_2": "te2", "text_encoder_3": "te3"}
QKV = "lora_unet_joint_blocks_1_x_block_attn_qkv"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", BY_DIFFUSERS)
def test_weights_are_those_that_diffusers_fuses(form, tmp_path):
    path = write_sd35_adapter(tmp_path / "a.safetensors", GRAIN, form)
    found, base = merged_weights(GRAIN, (path, SCALE))
    expected = fused_by_diffusers(GRAIN, path, SCALE, base)
    if form == "peft-dora":
        # transformers' load_adapter leaves the lengths out, and says so.
        checkpoint = open_checkpoint(random_checkpoint(GRAIN, 0), GRAIN)
        for encoder in GRAIN.text_encoders()[:2]:
            module = fused_by_peft(checkpoint.load(encoder), encoder.id, path, SCALE)
            expected[encoder.id] = own_weights(module, base[encoder.id])
    assert compare_all(found, expected, base) == open_adapter(path, GRAIN).count


def changed(form, tensors, name, weight, bias, scale):
    """Return weight and bias of a layer with an adapter's change, without WSD's code."""
    kind = SD35_FORMATS[form][1]
    if not any(key.startswith(f"{name}.") for key in tensors):
        return weight, bias
    if kind == "peft":
        up, down = (tensors[f"{name}.{part}.weight"] for part in ("lora_B", "lora_A"))
        return weight + up @ down * (scale * ALPHA / RANK), bias
    return merged_by_lycoris(kind, tensors, name, weight, bias, scale)


def in_the_original(form, tensors, scale):
    """Return diffusers' weights of the transformer, with an adapter of original names.

    The adapter changes the original code's layers, which diffusers' converter then takes apart.
    """
    prefix, point = OF_THE_ORIGINAL[SD35_FORMATS[form][0]]
    weights = original_transformer(random_checkpoint(GRAIN, 0))
    for key in [key for key in weights if key.endswith(".weight") and weights[key].ndim > 1]:
        layer = key.removesuffix(".weight")
        name = prefix + layer.replace(".", point)
        both = (weights[key], weights[f"{layer}.bias"])
        weights[key], weights[f"{layer}.bias"] = changed(form, tensors, name, *both, scale)
    return convert_sd3_transformer_checkpoint_to_diffusers(weights)


def expected_weights(form, path, base, scale):
    """Return component id → name → weight, by LyCORIS and diffusers' converter."""
    tensors = load_file(path)
    found = {component: dict(weights) for component, weights in base.items()}
    if SD35_FORMATS[form][0] in OF_THE_ORIGINAL:
        found["transformer"] |= in_the_original(form, tensors, scale)
    for component, weights in base.items():
        if component == "transformer" and SD35_FORMATS[form][0] in OF_THE_ORIGINAL:
            continue
        for parameter, weight in weights.items():
            module, _, kind = parameter.rpartition(".")
            plain = module.removeprefix("text_model.")
            if component == "transformer":
                prefix = "lycoris_" if form == "simpletuner-lokr" else "lora_transformer_"
                full = module
            else:
                prefix = f"lora_{ENCODERS[component]}_"
                full = plain if component == "text_encoder_3" else f"text_model.{plain}"
            if kind == "weight" and weight.ndim > 1:
                name = prefix + full.replace(".", "_")
                bias = weights.get(f"{module}.bias")
                both = changed(form, tensors, name, weight, bias, scale)
                found[component][parameter] = both[0]
                if bias is not None and component == "transformer":
                    found[component][f"{module}.bias"] = both[1]
    return {component: {n: found[component][n] for n in base[component]} for component in base}


@pytest.mark.parametrize("form", BY_OTHERS)
def test_weights_are_those_of_the_original_code_or_of_lycoris(form, tmp_path):
    """Queries, keys and values that are one matrix, and scales before shifts, are taken apart."""
    path = write_sd35_adapter(tmp_path / "a.safetensors", GRAIN, form)
    found, base = merged_weights(GRAIN, (path, SCALE))
    expected = expected_weights(form, path, base, SCALE)
    assert compare_all(found, expected, base) == open_adapter(path, GRAIN).count


def test_every_spelling_means_what_diffusers_converter_makes_of_it():
    """Of the published size, in a fixture that the tests of the page read too."""
    kept = sd35_adapter_names.FIXTURE.read_text(encoding="utf-8")
    assert sd35_adapter_names.render_fixture() == kept
    table = LayerTable(find_family("sd35-medium"))
    for names in json.loads(kept)["keys"].values():
        assert len(names) >= 30
        for key, expected in names.items():
            places = table.find(split_key(key).layer)
            found = [[p.rows.module, p.rows.pieces, list(p.rows.order)] for p in places]
            assert sorted(found) == sorted(expected), key
            assert {place.target for place in places} == {
                Target("transformer", module) for module, _, _ in expected
            }


def test_a_step_is_that_of_diffusers_own_class(tmp_path):
    """With kohya's names, against the original code's weights that diffusers converts."""
    path = write_sd35_adapter(tmp_path / "a.safetensors", GRAIN, "kohya")
    folder = random_checkpoint(GRAIN, 0)
    component = GRAIN.component("denoiser")
    plain = open_checkpoint(folder, GRAIN).load(component)
    merged = open_checkpoint(folder, GRAIN, adapters=[(path, SCALE)]).load(component)
    own = SD3Transformer2DModel.from_config(dict(plain.config)).eval()
    own.load_state_dict(in_the_original("kohya", load_file(path), SCALE))
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(size, generator=draw) for size in ((1, 16, 8, 12), (1, 101, 48), (1, 32))]
    with torch.no_grad():
        expected, found, without = (
            model(*inputs, torch.tensor([640.5]), return_dict=False)[0]
            for model in (own, merged, plain)
        )
    assert relative_error(found.numpy(), expected.numpy()) < 1e-5
    assert relative_error(without.numpy(), expected.numpy()) > 0.1


def test_a_picture_is_that_of_diffusers_with_the_adapter_loaded(tmp_path):
    path = write_sd35_adapter(tmp_path / "a.safetensors", GRAIN, "peft")
    folder = random_checkpoint(GRAIN, 0)
    wanted = GenerationRequest("a large red circle", seed=3, steps=3, size=GRAIN.sizes[0])
    drawn = []
    for adapters in ([(path, SCALE)], [], []):
        checkpoint = open_checkpoint(folder, GRAIN, adapters=adapters)
        pipeline = load_pipeline(checkpoint)
        if len(drawn) == 1:
            pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
            pipeline.fuse_lora(lora_scale=SCALE)
        images, latents = draw_reference(checkpoint, pipeline, wanted, Quiet())
        drawn.append((images[0], latents))
    (picture, latents), (theirs, their_latents), (_, without) = drawn
    assert relative_error(latents, their_latents) < LATENTS_TOLERANCE
    assert psnr(picture, theirs) > PICTURE_PSNR
    assert relative_error(without, their_latents) > 10 * LATENTS_TOLERANCE


def test_blocks_of_rows_may_begin_anywhere():
    draw = torch.Generator().manual_seed(0)
    whole = LowRank(torch.randn(12, 2, generator=draw), torch.randn(2, 5, generator=draw))
    pieces = Pieces(whole, 4, (2, 0))
    rows = torch.cat([whole.rows(8, 12), whole.rows(0, 4)])
    for start in range(8):
        for stop in range(start + 1, 9):
            assert torch.equal(pieces.rows(start, stop), rows[start:stop])


def refusal(path, family):
    with pytest.raises(CheckpointError) as caught:
        open_adapter(path, family)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return f"{caught.value.message} {caught.value.hint}"


def cut(tensors, part, rows):
    key = next(key for key in tensors if key.startswith(QKV) and part in key)
    tensors[key] = tensors[key][:rows].contiguous()


def write_twice(tensors):
    for part in ("down", "up"):
        key = f"lora_transformer_transformer_blocks_1_attn_to_k.lora_{part}.weight"
        tensors[key] = tensors[f"{QKV}.lora_{part}.weight"].clone()


def measure_inputs(tensors):
    tensors[f"{QKV}.dora_scale"] = torch.ones(1, 16)


FAULTS = {
    "rows of one head": (lambda t: cut(t, "lora_up", 16), "changes a weight of 16 x 16 values"),
    "another rank": (lambda t: cut(t, "lora_down", 3), "has rank 3"),
    "a joined layer and one of its heads": (write_twice, "is there twice"),
    "a length for each input of three layers": (measure_inputs, "cannot be told apart"),
    "a block that is not there": (
        lambda t: t.update({f"{QKV.replace('blocks_1', 'blocks_3')}.alpha": torch.ones(())}),
        "mean no layer of grain",
    ),
    "FLUX": (
        lambda t: t.update({"lora_unet_double_blocks_0_img_attn_qkv.alpha": torch.ones(())}),
        "adapter for FLUX",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_by_name(fault, tmp_path):
    damage, words = FAULTS[fault]
    tensors, _ = make_sd35_adapter(GRAIN, "kohya")
    damage(tensors)
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    assert words in refusal(path, GRAIN)


@pytest.mark.parametrize("family", [SPECK, SPECK_XL], ids=lambda family: family.name)
def test_adapters_of_unets_and_of_transformers_are_refused_for_each_other(family, tmp_path):
    path = write_adapter(tmp_path / "unet.safetensors", family, "lora")
    assert "is an adapter for a UNet; the model is grain" in refusal(path, GRAIN)
    for form in ("peft", "kohya", "onetrainer", "simpletuner-lokr"):
        path = write_sd35_adapter(tmp_path / f"{form}.safetensors", GRAIN, form)
        expected = f"is an adapter for a diffusion transformer; the model is {family.name}"
        assert expected in refusal(path, family)


def test_an_adapter_of_t5_is_refused_where_there_is_no_t5(tmp_path):
    path = write_sd35_adapter(tmp_path / "a.safetensors", GRAIN, "kohya")
    words = refusal(path, GRAIN.choose_encoders(wanted=False))
    assert "lora_te3_" in words
    assert "changes the third text encoder, which the model has not" in words


def write_layer(path, name, inputs):
    rows = 3 * inputs if "qkv" in name else inputs
    save_file(
        {f"{name}.lora_down.weight": torch.ones(4, inputs),
         f"{name}.lora_up.weight": torch.ones(rows, 4)}, path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(("model", "name", "inputs", "made", "own"), [
    ("sd35-medium", "transformer.transformer_blocks.0.attn.to_q", 2432,
     "Stable Diffusion 3.5 Large, whose transformer reads 2432 features",
     "sd35-medium (Stable Diffusion 3 or 3.5 Medium), whose transformer reads 1536"),
    ("sd35-medium", QKV, 2432, "Stable Diffusion 3.5 Large", "sd35-medium"),
    ("sd35-medium", "transformer.transformer_blocks.0.attn.to_q", 3072,
     "another diffusion transformer, whose transformer reads 3072", "sd35-medium"),
    ("sd35-medium", "transformer.single_transformer_blocks.0.attn.to_q", 3072, "FLUX", "Medium"),
    ("sd35-medium", "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 768,
     "Stable Diffusion 1.x", "sd35-medium (Stable Diffusion 3 or 3.5 Medium)"),
    ("sd35-medium", "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 2048,
     "Stable Diffusion XL", "sd35-medium"),
    ("sd15", QKV, 1536, "Stable Diffusion 3 or 3.5 Medium", "sd15 (Stable Diffusion 1.x)"),
    ("sdxl", "transformer.transformer_blocks.0.attn2.to_k", 1536,
     "Stable Diffusion 3 or 3.5 Medium", "sdxl (Stable Diffusion XL)"),
])  # fmt: skip
def test_published_models_are_named(model, name, inputs, made, own, tmp_path):
    path = write_layer(tmp_path / "a.safetensors", name, inputs)
    words = refusal(path, find_family(model))
    assert f"it is an adapter for {made}" in words
    assert re.search(rf"the model is .*{re.escape(own)}", words)


def test_an_adapter_of_medium_fits_medium(tmp_path):
    path = write_layer(tmp_path / "a.safetensors", QKV, 1536)
    layers = open_adapter(path, find_family("sd35-medium")).layers["transformer"]
    names = [f"transformer_blocks.1.attn.to_{head}.weight" for head in "qkv"]
    assert list(layers) == names


def test_an_adapters_bundle_is_made_for_it(tmp_path):
    tiny = find_family("tiny-sd35")
    path = write_sd35_adapter(tmp_path / "a.safetensors", tiny, "kohya")
    # The first model that it fits is found without its name.
    for number, family in enumerate((tiny, None)):
        described = write_adapter_bundle(path, tmp_path / str(number), family, None)
        assert "tiny-sd35" in str((described / "adapter.json").read_text(encoding="utf-8"))
