"""Forms in which the same weights are stored: the same shards, or the tensor is named."""

import json
import re
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from marks import some_of
from original_layout import to_original
from rewritten import (
    add,
    cast,
    fp8_with_scales,
    rename,
    rewrite,
    save_copies,
    save_shards,
    shard_digests,
    weights_of,
)
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.leftovers import check_leftovers
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError
from wsd.models.registry import find_family
from wsd.models.stable_diffusion.known_tensors import IGNORABLE
from wsd.models.stable_diffusion.single_file import keys_of

OLD_ATTENTION = rename(
    ("attentions.0.to_q.", "attentions.0.query."),
    ("attentions.0.to_k.", "attentions.0.key."),
    ("attentions.0.to_v.", "attentions.0.value."),
    ("attentions.0.to_out.0.", "attentions.0.proj_attn."),
)
NOTHING = torch.zeros(0)
SOME = torch.ones(2, 2)


def as_convolutions(tensors):
    return {
        name: value[:, :, None, None] if "attentions.0.to_" in name and value.ndim == 2 else value
        for name, value in tensors.items()
    }


def with_text_level(tensors):
    return {f"text_model.{name.removeprefix('text_model.')}": v for name, v in tensors.items()}


def without_text_level(tensors):
    return {name.removeprefix("text_model."): value for name, value in tensors.items()}


def whole_clip(tensors):
    """Return the tensors of a whole CLIP model, as openai/clip-vit-large-patch14 has them."""
    more = {
        "logit_scale": torch.tensor(4.6),
        "text_projection.weight": SOME,
        "visual_projection.weight": SOME,
        "vision_model.embeddings.class_embedding": SOME,
        "vision_model.embeddings.position_ids": torch.arange(4),
        "text_model.embeddings.position_ids": torch.arange(77)[None],
    }
    return {**with_text_level(tensors), **more}


@pytest.fixture
def copy(checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    return folder


@pytest.fixture(scope="module")
def plain(checkpoint, family, tmp_path_factory):
    """Return a function that gives the shards of the shipped checkpoint's component."""
    found = {}

    def get(component):
        if component not in found:
            folder = tmp_path_factory.mktemp("plain")
            found[component] = shard_digests(checkpoint, family, folder, component)
        return found[component]

    return get


@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "change"),
    some_of([
        ("vae", OLD_ATTENTION),
        ("vae", lambda tensors: OLD_ATTENTION(as_convolutions(tensors))),
        ("vae", as_convolutions),
        ("vae", cast(torch.float64)),
        ("vae", cast(torch.float32)),
        ("text_encoder", with_text_level),
        ("text_encoder", without_text_level),
        ("text_encoder", whole_clip),
        ("text_encoder", add(embeddings__position_ids=torch.arange(77)[None])),
        ("unet", cast(torch.float64)),
    ], 3),
    ids=[
        "old attention", "old attention of 1x1", "attention of 1x1", "vae float64", "vae float32",
        "text_model", "no text_model", "whole CLIP", "position_ids", "unet float64",
    ],
)  # fmt: skip
def test_the_same_weights_give_the_same_shards(copy, family, plain, tmp_path, component, change):
    rewrite(copy, component, change)
    assert shard_digests(copy, family, tmp_path, component) == plain(component)


@pytest.mark.slow
def test_old_attention_in_shards_is_corrected_too(copy, family, plain, tmp_path):
    path = weights_of(copy, "vae")
    tensors = OLD_ATTENTION(load_file(path))
    path.unlink()
    save_shards(tensors, copy / "vae", "diffusion_pytorch_model")
    assert shard_digests(copy, family, tmp_path, "vae") == plain("vae")


@pytest.mark.slow
def test_old_attention_is_read_as_diffusers_reads_it(copy, family):
    """diffusers' own loader gives the same weights, with names that it corrects itself."""
    rewrite(copy, "vae", OLD_ATTENTION)
    theirs = diffusers.AutoencoderKL.from_pretrained(copy / "vae").state_dict()
    checkpoint, component = open_checkpoint(copy, family), family.component("vae_decoder")
    names = list_names(component)
    for name, value in zip(
        names.shapes, checkpoint.source.tensors(component, names.shapes), strict=True
    ):
        assert torch.equal(value, theirs[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("change", [with_text_level, without_text_level, whole_clip])
def test_a_text_encoder_is_read_as_transformers_reads_it(copy, family, change):
    rewrite(copy, "text_encoder", change)
    theirs = transformers.CLIPTextModel.from_pretrained(copy / "text_encoder").state_dict()
    ours = open_checkpoint(copy, family).load(family.component("text_encoder")).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("level", [with_text_level, without_text_level])
def test_layers_that_the_configuration_does_not_ask_for_are_not_read(
    copy, family, caplog, count, level
):
    """A clip skip that is baked in by the configuration alone, as transformers reads it."""
    rewrite(copy, "text_encoder", level)
    path = copy / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": count}))
    theirs = transformers.CLIPTextModel.from_pretrained(copy / "text_encoder").state_dict()
    opened = open_checkpoint(copy, family)
    ours = opened.load(opened.family.component("text_encoder")).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert f"num_hidden_layers is {count}, so {16 * (4 - count)} tensors of later" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", some_of([torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2], 3)
)
def test_short_floats_are_what_they_stand_for(copy, family, tmp_path, dtype):
    meant = {n: v.to(dtype).float() for n, v in load_file(weights_of(copy, "unet")).items()}
    rewrite(copy, "unet", cast(dtype))
    found = shard_digests(copy, family, tmp_path)
    save_file(meant, weights_of(copy, "unet"))
    assert found == shard_digests(copy, family, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "per_channel", "dtype", "more"),
    some_of(
        [
            ("scale_weight", False, torch.float8_e4m3fn, {"scaled_fp8": torch.zeros(2)}),
            ("scale_weight", False, torch.float8_e5m2, {"scaled_fp8": NOTHING}),
            ("weight_scale", False, torch.float8_e4m3fn, {}),
            ("weight_scale", True, torch.float8_e4m3fn, {}),
        ],
        4,
    ),
)
def test_scaled_fp8_is_scaled(copy, family, tmp_path, suffix, per_channel, dtype, more):
    tensors = load_file(weights_of(copy, "unet"))
    stored, meant = fp8_with_scales(tensors, suffix, per_channel, dtype)
    some = next(n for n in stored if stored[n].dtype == dtype).removesuffix(".weight")
    marker = json.dumps({"format": "float8_e4m3fn"}).encode()
    more = {
        **more,
        f"{some}.scale_input": torch.tensor(2.0),
        f"{some}.input_scale": torch.tensor(2.0),
        f"{some}.comfy_quant": torch.tensor(list(marker), dtype=torch.uint8),
    }
    save_file({**stored, **more}, weights_of(copy, "unet"))
    found = shard_digests(copy, family, tmp_path)
    save_file(meant, weights_of(copy, "unet"))
    assert found == shard_digests(copy, family, tmp_path)


def quantized(tensors, dtype, *scales):
    """Return tensors with one matrix as integers, and what lies beside it."""
    name = "mid_block.attentions.0.proj_in.weight"
    more = {scale.format(name): torch.ones(4) for scale in scales}
    return {**tensors, name: tensors[name].to(dtype), **more}


LAYER = "mid_block.attentions.0.proj_in"
FOREIGN = {
    "LCM's guidance embedding": (
        "unet", add(time_embedding__cond_proj__weight=torch.ones(64, 32)),
        r"tensor time_embedding.cond_proj.weight is not read by unet",
    ),
    "a class embedding": ("unet", add(class_embedding__weight=SOME), "class_embedding.weight is"),
    "an IP-Adapter": ("unet", add(encoder_hid_proj__weight=SOME), "encoder_hid_proj.weight is"),
    "a LoRA": ("unet", add(conv_in__lora_A__weight=SOME), "conv_in.lora_A.weight is not read"),
    "a ControlNet": (
        "unet", add(controlnet_mid_block__weight=SOME), "controlnet_mid_block.weight is not read"
    ),
    "bitsandbytes 8-bit": (
        "unet", lambda t: quantized(t, torch.int8, f"{LAYER}.SCB"),
        f"{LAYER}.weight holds I8 numbers, which bitsandbytes quantised to 8 bits",
    ),
    "bitsandbytes 4-bit": (
        "unet", lambda t: quantized(t, torch.uint8, "{}.absmax", "{}.quant_map"),
        f"{LAYER}.weight holds U8 numbers, which bitsandbytes quantised to 4 bits",
    ),
    "integers": ("unet", lambda t: quantized(t, torch.int32), "weight holds I32 numbers"),
    "scales without fp8": (
        "unet", lambda t: quantized(t, torch.float16, LAYER + ".weight_scale"),
        f"{LAYER}.weight_scale is not read",
    ),
    "scales of blocks": (
        "unet",
        lambda t: {**quantized(t, torch.float8_e4m3fn), LAYER + ".weight_scale": torch.ones(3, 3)},
        f"{LAYER}.weight_scale holds F32 scales of shape",
    ),
    "two scales": (
        "unet",
        lambda t: {
            **quantized(t, torch.float8_e4m3fn),
            f"{LAYER}.weight_scale": torch.ones(1),
            f"{LAYER}.scale_weight": torch.ones(1),
        },
        "scale_weight and .*weight_scale are two scales of one weight",
    ),
    "inverse scales": (
        "unet",
        lambda t: {**quantized(t, torch.float8_e4m3fn), LAYER + ".weight_scale_inv": SOME},
        f"{LAYER}.weight_scale_inv is not read",
    ),
    "a VAE of two attentions": (
        "vae", add(decoder__mid_block__attentions__1__to_q__weight=SOME), "attentions.1.to_q"
    ),
    "another copy of a tensor": (
        "text_encoder", lambda t: {**with_text_level(t), **without_text_level(t)},
        "is not read by text_encoder",
    ),
    "a layer of another name": (
        "text_encoder", add(encoder__layers__x__mlp__fc1__bias=SOME), "layers.x.mlp.fc1.bias is not"
    ),
    "a part that no layer has": (
        "text_encoder", add(encoder__layers__0__adapter__weight=SOME), "layers.0.adapter.weight is"
    ),
    "an unknown tensor": ("text_encoder", add(soft_prompt=SOME), "tensor soft_prompt is not read"),
    "an unknown marker": ("unet", add(some_marker=NOTHING), "tensor some_marker is not read"),
    "another shape": (
        "vae", lambda t: {**t, "encoder.conv_in.weight": torch.ones(3, 3)},
        r"encoder.conv_in.weight has shape \[3, 3\], expected \[32, 3, 3, 3\]",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(FOREIGN, 3))
def test_what_nobody_reads_is_named(copy, family, name):
    component, change, message = FOREIGN[name]
    rewrite(copy, component, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(copy, family)
    assert caught.value.hint


# Tensor that is left over → what the hint says, and what it must not say.
HINTS = {
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.query.weight": ("remove", "UNet alone"),
    "coloration.weight": ("remove", "LoRA"),
    "conv_in.lora_A.weight": ("LoRA", "remove"),
    "to_q_lora.down.weight": ("LoRA", "remove"),
    "mid_block.hada_w1_a": ("LoRA", "remove"),
    "mid_block.attentions.0.proj_in.lokr_w1": ("LoRA", "remove"),
    "time_embedding.cond_proj.weight": ("time_cond_proj_dim", "remove"),
}


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_speaks_of_the_tensor_that_is_left_over(family, name):
    said, unsaid = HINTS[name]
    tensor = StoredTensor(name, Path("unet"), "F32", (2, 2), lambda: SOME)
    with pytest.raises(CheckpointError) as caught:
        check_leftovers([tensor], family, "unet")
    assert said in caught.value.hint
    assert unsaid not in caught.value.hint


@pytest.mark.parametrize(
    ("component", "said"), [("unet", "UNet"), ("vae", "--vae"), ("text_encoder", "text encoder")]
)
def test_a_file_of_one_component_is_told(checkpoint, family, component, said):
    with pytest.raises(CheckpointError, match="not in it") as caught:
        open_checkpoint(weights_of(checkpoint, component), family)
    assert said in caught.value.hint
    assert "alone" in caught.value.hint


def test_a_folder_of_one_component_is_told(checkpoint, family):
    with pytest.raises(CheckpointError, match="unet has no folder text_encoder") as caught:
        open_checkpoint(checkpoint / "unet", family)
    assert "text_encoder, unet, vae" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("component", some_of(["text_encoder", "unet", "vae"], 3))
def test_a_tensor_of_any_other_name_is_refused(copy, family, component):
    """No name slips through: each tensor's own, with one letter more, is refused."""
    tensors = load_file(weights_of(copy, component))
    for name in list(tensors)[:: max(1, len(tensors) // 5)]:
        save_file({**tensors, name + "s": tensors[name].clone()}, weights_of(copy, component))
        with pytest.raises(CheckpointError, match=f"tensor {name}s is not read"):
            open_checkpoint(copy, family)


@pytest.fixture(
    scope="module", params=["tiny-sd15", pytest.param("tiny-sdxl", marks=pytest.mark.full)]
)
def single(request, tmp_path_factory):
    """Return (family, its diffusers folder, the same as a single file)."""
    family = find_family(request.param)
    path = tmp_path_factory.mktemp("single") / "model.safetensors"
    to_original(family.weights, family, path)
    return family, family.weights, path


def changed(single, tmp_path, change, name="changed.safetensors"):
    other = tmp_path / name
    save_copies(change(load_file(single[2])), other)
    return other


HARMLESS = {
    "model_ema.decay": torch.tensor(0.99),
    "model_ema.diffusion_modelinput_blocks00weight": SOME,
    "alphas_cumprod": torch.ones(1000),
    "sqrt_one_minus_alphas_cumprod": torch.ones(1000),
    "posterior_mean_coef1": torch.ones(1000),
    "betas": torch.ones(1000),
    "denoiser.sigmas": torch.ones(1000),
    "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    "conditioner.embedders.1.model.logit_scale": torch.tensor(4.6),
    "conditioner.embedders.1.model.attn_mask": torch.ones(77, 77),
    "cond_stage_model.model.visual.proj": SOME,
    "cond_stage_model.transformer.vision_model.post_layernorm.weight": SOME,
    "first_stage_model.loss.logvar": torch.tensor(0.0),
    "first_stage_model.loss.discriminator.main.0.weight": SOME,
    "embedding_manager.embedder.weight": SOME,
    "safety_checker.concept_embeds": SOME,
}


@pytest.mark.slow
@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_what_a_single_file_may_hold_besides(single, tmp_path, component):
    family, folder, _ = single
    other = changed(single, tmp_path, lambda tensors: {**tensors, **HARMLESS}, "X.SAFETENSORS")
    options = {"tokenizer": folder / "tokenizer"}
    found = shard_digests(other, family, tmp_path, component, **options)
    assert found == shard_digests(folder, family, tmp_path, component)


def test_every_ignorable_pattern_has_a_reason_and_an_example():
    seen = {p.pattern for p in IGNORABLE for name in HARMLESS if re.fullmatch(p.pattern, name)}
    elsewhere = {p.pattern for p in IGNORABLE if "projection" in p.pattern}
    assert seen | elsewhere == {p.pattern for p in IGNORABLE}
    assert all(p.text for p in IGNORABLE)


@pytest.mark.slow
@pytest.mark.parametrize("markers", [(), ("v_pred",), ("v_pred", "ztsnr")])
def test_markers_are_told(single, tmp_path, markers):
    family, _, _ = single
    other = changed(single, tmp_path, lambda t: {**t, **dict.fromkeys(markers, NOTHING)})
    assert open_checkpoint(other, family).source.markers == frozenset(markers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.time_embedding.cond_proj.weight",
        "model.diffusion_model.label_emb.0.4.weight",
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
        "control_model.zero_convs.0.0.weight",
        "edm_mean",
        "edm_vpred.sigma_max",
        "first_stage_model.encoder.mid.attn_1.q.scale",
        "conditioner.embedders.2.model.ln_final.weight",
        "cond_stage_model.1.transformer.text_model.final_layer_norm.weight",
        "some_marker",
        "unet.conv_in.weight",
    ],
)
def test_what_a_single_file_may_not_hold(single, tmp_path, name):
    family, _, _ = single
    other = changed(single, tmp_path, lambda tensors: {**tensors, name: SOME})
    with pytest.raises(CheckpointError, match=f"tensor {name} is not read by") as caught:
        open_checkpoint(other, family)
    assert caught.value.hint


@pytest.mark.slow
def test_of_two_vaes_in_a_file_diffusers_reads_the_second(single, tmp_path):
    family = single[0]

    def twice(tensors):
        more = {
            name.replace("first_stage_model.", "vae."): value + 1
            for name, value in tensors.items()
            if name.startswith("first_stage_model.")
        }
        return {**tensors, **more}

    other = changed(single, tmp_path, twice)
    component = family.component("vae_decoder")
    theirs = keys_of(family, component).convert(load_file(other))
    ours = open_checkpoint(other, family).load(component).state_dict()
    read = list_names(component).required
    assert all(torch.equal(ours[name], theirs[name].float()) for name in read)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "first_stage_model."])
def test_a_single_file_without_a_component_says_which(single, tmp_path, prefix):
    family, _, _ = single
    other = changed(
        single, tmp_path,
        lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(prefix)},
    )  # fmt: skip
    component = "unet" if prefix.startswith("model") else "vae"
    with pytest.raises(CheckpointError, match=f"{component} not in it") as caught:
        open_checkpoint(other, family)
    assert ("--vae" in caught.value.hint) == (component == "vae")


def test_a_lora_as_a_checkpoint(family, tmp_path):
    path = tmp_path / "lora.safetensors"
    save_file({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": SOME}, path)
    with pytest.raises(CheckpointError, match="not in it") as caught:
        open_checkpoint(path, family)
    assert "LoRA" in caught.value.hint


@pytest.mark.slow
def test_a_single_file_of_short_floats(single, tmp_path):
    """OpenCLIP's fused matrices are split, and the VAE's attention flattened, after the cast."""
    family, dtype = single[0], torch.float8_e4m3fn
    short = changed(single, tmp_path, cast(dtype), "short.safetensors")
    long = changed(
        single, tmp_path, lambda t: {n: v.to(dtype).float() for n, v in t.items()}, "l.safetensors"
    )
    for component in (c for c in family.components if c.id != "unet"):
        found = shard_digests(short, family, tmp_path, component.id)
        assert found == shard_digests(long, family, tmp_path, component.id)
