"""Every rule for a configuration's key: what the compiled function does with each value.

A variant computes what diffusers computes for the same file, and something else than the family. A
harmless value changes nothing at diffusers either. What is refused is named with both values.
"""

import json
import re
from pathlib import Path

import pytest
import torch

from config_oracle import FAMILIES, as_saved, component_of, compute_both, find_variant
from toy.family import FAMILY as TOY
from wsd.checkpoint.config_comparison import (
    TRANSFORMERS_EXTRAS,
    compare_config,
    compare_pipeline,
)
from wsd.errors import CheckpointError
from wsd.models.conditioning import Conditioning
from wsd.models.config_rules import ConfigRules, KeyRule, find_config_rules
from wsd.models.registry import FAMILIES as REGISTERED
from wsd.models.stable_diffusion.config_rules import RULES

# No family has it unless somebody names one.
CHECKER = "StableDiffusionSafetyChecker"
# Class → key → values that select a variant of the smallest models.
VARIANTS = {
    "UNet2DConditionModel": {
        "act_fn": ["swish"],
        "attention_head_dim": [1, 4, [8]],
        "use_linear_projection": [False],
        "time_cond_proj_dim": [4, 32],
        "norm_eps": [1e-3],
        "norm_num_groups": [2, 16],
        "flip_sin_to_cos": [False],
        "freq_shift": [1, 0.5],
        "center_input_sample": [True],
        "mid_block_scale_factor": [2, 1.5],
    },
    "AutoencoderKL": {
        "act_fn": ["swish"],
        "norm_num_groups": [2, 8],
        "scaling_factor": [0.5, 1],
        "latents_mean": [[0.5, -1.0, 2.0, 0.0]],
        "latents_std": [[8.5, 5.9, 6.5, 5.2]],
        "use_quant_conv": [False],
        "use_post_quant_conv": [False],
        "mid_block_add_attention": [False],
    },
    "AutoencoderTiny": {
        "act_fn": ["silu", "swish", "gelu"],
        "scaling_factor": [0.5, 2],
        "encoder_block_out_channels": [[4, 4]],
        "decoder_block_out_channels": [[16, 16]],
        "num_encoder_blocks": [[0, 1], [2, 3]],
        "num_decoder_blocks": [[0, 0], [1, 2]],
    },
    "CLIPTextModel": {
        "vocab_size": [725, 1000],
        "num_hidden_layers": [1, 3],
        "hidden_act": ["gelu"],
        "intermediate_size": [8, 48],
        "num_attention_heads": [1, 8],
        "layer_norm_eps": [1e-2],
    },
}
VARIANTS["CLIPTextModelWithProjection"] = {
    **VARIANTS["CLIPTextModel"],
    "hidden_act": ["quick_gelu"],
}
# Values that change no picture, each one other than the smallest models have.
HARMLESS = {
    "UNet2DConditionModel": {
        "sample_size": [64, [8, 8], None],
        "dropout": [0.5],
        "upcast_attention": [True, None],
        "addition_embed_type_num_heads": [8],
        "mid_block_only_cross_attention": [True, False],
    },
    "AutoencoderKL": {
        "sample_size": [512],
        "force_upcast": [False],
        "shift_factor": [0.25],
    },
    "AutoencoderTiny": {
        "latent_magnitude": [1, 4.5],
        "latent_shift": [0.0],
        "force_upcast": [True, None],
        "shift_factor": [0.25],
        "block_out_channels": [[64, 32]],
    },
    "CLIPTextModel": {
        "architectures": [["CLIPTextModelWithProjection"], ["CLIPModel"]],
        "transformers_version": ["4.21.0"],
        "dtype": ["float16"],
        "id2label": [{"0": "a"}],
        "label2id": [{"a": 0}],
        "problem_type": ["regression"],
        "initializer_range": [1.0],
        "initializer_factor": [2.0],
        "chunk_size_feed_forward": [3],
        "is_encoder_decoder": [True],
        "pad_token_id": [1],
        "bos_token_id": [0, 49406],
        "attention_dropout": [0.5],
        "output_hidden_states": [True],
        "eos_token_id": [2],
        "projection_dim": [512, None],
    },
}
HARMLESS["CLIPTextModelWithProjection"] = {
    key: values for key, values in HARMLESS["CLIPTextModel"].items() if key != "projection_dim"
}
# Values that the smallest models are refused for.
REFUSED = {
    "UNet2DConditionModel": {
        "in_channels": [9, 4.0],
        "block_out_channels": [[32]],
        "cross_attention_dim": [1024],
        "timestep_post_act": ["silu"],
        "time_embedding_act_fn": ["silu"],
        "resnet_time_scale_shift": ["scale_shift"],
        "class_embed_type": ["timestep"],
        "num_class_embeds": [3],
        "encoder_hid_dim": [8],
        "only_cross_attention": [True],
        "dual_cross_attention": [True],
        "conv_in_kernel": [1],
        "time_embedding_dim": [32],
        "num_attention_heads": [2],
        "attention_type": ["gated"],
        "mid_block_type": [None, "UNetMidBlock2D"],
        "layers_per_block": [2, 1.0],
        "act_fn": ["gelu", None],
        "attention_head_dim": [3, 0, "8", [2, 2]],
        "time_cond_proj_dim": [0, 2, 32.0, 10**30],
        "norm_num_groups": [None, 3],
        "sample_size": ["64"],
        "down_block_types": [None],
        "dropout": [2, None],
        "quantization_config": [{"quant_method": "bitsandbytes"}],
        "_class_name": ["UNet2DModel"],
    },
    "AutoencoderKL": {
        "latent_channels": [16],
        "block_out_channels": [None, [4], "8"],
        "layers_per_block": [[1]],
        "sample_size": [None, 0.5],
        "scaling_factor": [0, -1.0, "1", None],
        "act_fn": ["relu"],
        "use_post_quant_conv": ["no"],
    },
    "AutoencoderTiny": {
        "latent_channels": [16, 4.0],
        "in_channels": [1],
        "out_channels": [4],
        "encoder_block_out_channels": [[8, 16], [8], [8, 8, 8], None, [8.0, 8.0]],
        "decoder_block_out_channels": [[16, 8], [10**9, 10**9], "8"],
        "num_encoder_blocks": [[1], [1, -1], [1, 10**6], 2],
        "num_decoder_blocks": [[2, 1, 1], [True, 1]],
        "act_fn": ["mish", None],
        "upsample_fn": ["bilinear"],
        "upsampling_scaling_factor": [4, 2.0],
        "scaling_factor": [0, "1", None],
        "shift_factor": [None],
        "latent_magnitude": ["3"],
        "block_out_channels": [[64, 64, 64, 64], None],
        "_class_name": ["AsymmetricAutoencoderKL"],
    },
    "CLIPTextModel": {
        "hidden_size": [32],
        "max_position_embeddings": [248],
        "hidden_act": ["relu"],
        "num_hidden_layers": [0, 10**6],
        "intermediate_size": [10**12],
        "return_dict": [False],
        "dtype": ["int8", False],
        "initializer_factor": [None],
        "eos_token_id": [None, [719, 2]],
        "attention_dropout": [-1.0, None],
        "use_attention_mask": [True, 1],
        "model_type": ["bert"],
        "_attn_implementation": ["flash_attention_2"],
        "unheard_of": [1],
        "vocab_size": ["many", 10**12],
    },
}


# One component of each class; SDXL's has every part that SD 1.5's has.
PLACES = (
    ("sd", "text_encoder"), ("sdxl", "text_encoder_2"), ("sdxl", "unet"), ("sdxl", "vae"),
    ("taesd", "vae"),
)  # fmt: skip
# What the two pipelines read differently of a VAE.
BY_PIPELINE = ("latents_mean", "latents_std", "scaling_factor", "shift_factor")


def cases(table, places=PLACES, seldom=()):
    """Return a case for each component, key and value of a table.

    Every second one has the marks of what is seldom tested.
    """
    found = [
        (label, name, key, value)
        for label, name in places
        for key, values in table[component_of(FAMILIES[label], name).class_name].items()
        for value in values
    ]
    found += [
        ("sd", "vae", key, value)
        for key in BY_PIPELINE
        for value in table["AutoencoderKL"].get(key, ())
        if ("sdxl", "vae") in places
    ]
    return [
        pytest.param(*case, id="{}-{}-{}={}".format(*case), marks=seldom if number % 2 else ())
        for number, case in enumerate(found)
    ]


def ignores(label, key):
    """Return whether diffusers' pipeline does not read a key of the VAE."""
    return label == "sd" and key in ("latents_mean", "latents_std")


def complete(found):
    """Return the configuration with both of a VAE's moments: SDXL's pipeline reads both or none."""
    mean, std = (found.get(key) for key in ("latents_mean", "latents_std"))
    if (mean is None) == (std is None):
        return found
    return {**found, "latents_mean": mean or [1.0, 0, 0, 0], "latents_std": std or [2.0, 1, 1, 1]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "name", "key", "value"), cases(VARIANTS, seldom=pytest.mark.full)
)
def test_a_variant_computes_what_diffusers_computes(label, name, key, value):
    family = FAMILIES[label]
    found = complete({**as_saved(component_of(family, name)), key: value})
    variant = component_of(find_variant(family, name, found), name)
    if not ignores(label, key):
        assert variant.config[key] == value
    ours, theirs = compute_both(family, name, found)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("label", "name", "key", "value"), cases(HARMLESS, seldom=pytest.mark.full)
)
def test_a_harmless_value_changes_nothing_at_diffusers_either(label, name, key, value):
    family = FAMILIES[label]
    component = component_of(family, name)
    found = {**as_saved(component), key: value}
    assert find_variant(family, name, found) == family
    ours, theirs = compute_both(family, name, found)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("label", "name", "key", "value"),
    cases(REFUSED, [("sd", "text_encoder"), ("sd", "unet"), ("sd", "vae"), ("taesd", "vae")]),
)
def test_what_is_refused_is_named_with_both_values(label, name, key, value):
    family = FAMILIES[label]
    found = {**as_saved(component_of(family, name)), key: value}
    with pytest.raises(CheckpointError) as caught:
        find_variant(family, name, found)
    message = caught.value.message
    assert message.startswith("config.json: ")
    assert key in message or key in ("_class_name", "vocab_size")
    assert caught.value.hint


HINTS = [
    ("sd", "text_encoder", {"vocab_size": 0}, "from 1 to"),
    ("sd", "text_encoder", {"vocab_size": 10**12}, "from 1 to"),
    ("sd", "text_encoder", {"eos_token_id": None}, "expected the id of the end token"),
    ("sdxl", "text_encoder_2", {"eos_token_id": 5}, "must be 719, or 2 stand for it"),
    ("sdxl", "text_encoder_2", {"vocab_size": 730, "eos_token_id": 2}, "set eos_token_id to"),
    ("sdxl", "text_encoder_2", {"vocab_size": 100}, "smaller vocabulary"),
    ("sd", "text_encoder", {"output_hidden_states": "yes"}, "expected true, false or null"),
    ("sd", "text_encoder", {"output_attentions": True}, "set it to false"),
    ("sd", "text_encoder", {"_attn_implementation": "paged"}, "delete the key"),
    ("sd", "unet", {"upcast_attention": 1}, "expected true, false or null"),
    ("sd", "unet", {"addition_embed_type_num_heads": 0}, "from 1 to"),
    ("sd", "unet", {"norm_num_groups": 7}, "divides the channels"),
    ("sd", "unet", {"layers_per_block": "two"}, "or the file was changed"),
    ("sd", "vae", {"force_upcast": "no"}, "expected true, false or null"),
    ("taesd", "vae", {"latent_channels": 16}, "this tiny autoencoder is of Stable Diffusion 3"),
    ("taesd", "vae", {"upsample_fn": "bicubic"}, "only nearest is compiled"),
    ("taesd", "vae", {"block_out_channels": [8]}, "as many entries as decoder_block_out_channels"),
    ("sdxl", "vae", {"latents_std": [1.0, 1.0, 0.0, 1.0]}, "a positive number for each channel"),
]


@pytest.mark.parametrize(("label", "name", "changes", "said"), HINTS)
def test_a_hint_speaks_of_the_value_that_is_refused(label, name, changes, said):
    found = {**as_saved(component_of(FAMILIES[label], name)), **changes}
    with pytest.raises(CheckpointError) as caught:
        find_variant(FAMILIES[label], name, found)
    assert said in caught.value.hint


def test_a_rule_that_refuses_values_says_what_is_expected():
    """Otherwise the hint would be that the checkpoint is of another family."""
    for rules in (TRANSFORMERS_EXTRAS, *RULES.values()):
        for key, rule in rules.items():
            assert rule.why or rule.accepts is KeyRule("harmless").accepts, key


def test_every_rule_has_a_value_here():
    for class_name, rules in RULES.items():
        if class_name == CHECKER:
            continue  # tests/unit/test_safety_checker_component.py has its values
        listed = {*VARIANTS[class_name], *HARMLESS[class_name]}
        # A refusal that has a reason of its own.
        listed |= {key for key, rule in rules.items() if rule.kind == "architecture"}
        assert set(rules) <= listed, set(rules) - listed


def test_every_key_of_a_variant_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| it selects a variant")]
    keys = {k for rules in RULES.values() for k, rule in rules.items() if rule.kind == "variant"}
    assert keys == set(re.findall(r"`(\w+)`", row))


def test_a_key_without_a_rule_is_architecture(monkeypatch):
    """Also one that a later version of diffusers brings."""
    family = FAMILIES["sd"]
    found = {**as_saved(component_of(family, "unet")), "dropout": 0.5}
    assert find_variant(family, "unet", found) == family
    rules = {key: rule for key, rule in RULES["UNet2DConditionModel"].items() if key != "dropout"}
    monkeypatch.setitem(RULES, "UNet2DConditionModel", rules)
    with pytest.raises(CheckpointError, match=r"dropout is 0\.5, but speck has 0\.0"):
        find_variant(family, "unet", found)


def test_an_architecture_without_rules_lets_no_key_differ():
    """Its package has no module of rules, and nothing outside has to name it."""
    assert find_config_rules(TOY.architecture) == ConfigRules()
    component = TOY.components[0]
    found = {**component.config, "hidden_size": 3}
    with pytest.raises(CheckpointError, match="hidden_size is 3, but toy has"):
        compare_config(TOY, component, found, "config.json")


@pytest.mark.slow
@pytest.mark.parametrize("label", FAMILIES)
def test_keys_that_are_left_out_have_the_defaults_of_their_class(label):
    """A file with the family's keys alone, and one with all, mean the same."""
    family = FAMILIES[label]
    for component in family.components:
        for found in (dict(component.config), as_saved(component)):
            jsonable = json.loads(json.dumps(found, default=str))
            assert find_variant(family, component.id, jsonable) == family
        widths = [key for key in component.config if key.endswith("block_out_channels")]
        missing = {k: v for k, v in as_saved(component).items() if k not in widths}
        if widths:
            with pytest.raises(CheckpointError, match="block_out_channels is"):
                find_variant(family, component.id, missing)


def test_one_number_for_all_blocks_and_one_for_each_are_the_same():
    family = REGISTERED["sd15"]
    unet = dict(component_of(family, "unet").config)
    for value in (8, [8, 8, 8, 8]):
        assert find_variant(family, "unet", {**unet, "attention_head_dim": value}) == family


def test_private_keys_are_thrown_away_as_diffusers_does():
    family = FAMILIES["sd"]
    found = {**as_saved(component_of(family, "unet")), "_diffusers_version": "9.9", "_private": 1}
    assert find_variant(family, "unet", found) == family


def test_keys_that_diffusers_would_replace_by_its_defaults_count_as_the_defaults():
    """``_use_default_values`` in a file makes diffusers forget the values of the keys it lists."""
    family = FAMILIES["sd"]
    found = {**as_saved(component_of(family, "unet")), "_use_default_values": ["norm_num_groups"]}
    with pytest.raises(CheckpointError, match="norm_num_groups is 32, but speck has 4"):
        find_variant(family, "unet", found)


def test_a_key_that_diffusers_ignores_is_said(caplog):
    family = FAMILIES["sd"]
    found = {**as_saved(component_of(family, "unet")), "shiny": True}
    findings = compare_config(family, component_of(family, "unet"), found, "unet/config.json")
    assert findings.changes == {}
    [note] = findings.notes
    assert "unet/config.json: shiny is True" in note
    assert "diffusers ignores it" in note
    assert not caplog.records


def test_a_text_encoders_part_of_a_whole_clip_model_is_read():
    """As transformers' from_pretrained does."""
    family = FAMILIES["sd"]
    text = as_saved(component_of(family, "text_encoder"))
    whole = {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 3}
    found = {**whole, "text_config": {**text, "num_hidden_layers": 3}}
    variant = find_variant(family, "text_encoder", found)
    assert component_of(variant, "text_encoder").config["num_hidden_layers"] == 3
    ours, theirs = compute_both(family, "text_encoder", found)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("eos", [2, 719])
def test_added_tokens_are_pooled_where_diffusers_pools(eos):
    """With eos_token_id 2 transformers pools at the highest id, which would be an added token."""
    family = FAMILIES["sdxl"]
    saved = as_saved(component_of(family, "text_encoder_2"))
    found = {**saved, "vocab_size": 730, "eos_token_id": eos}
    if eos == 2:
        with pytest.raises(CheckpointError, match="vocab_size is 730, but speck-xl has 720"):
            find_variant(family, "text_encoder_2", found)
    else:
        ours, theirs = compute_both(family, "text_encoder_2", found)
        torch.testing.assert_close(ours, theirs)


INDEX = {
    "sd15": {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
    },
    "sdxl": {
        "_class_name": "StableDiffusionXLPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    },
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        # The same models, which diffusers' pipeline draws from a picture with.
        ("sd15", {"_class_name": "StableDiffusionImg2ImgPipeline"}),
        ("sd15", {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}),
        ("sd15", {"safety_checker": [None, None], "requires_safety_checker": True}),
        ("sd15", {"feature_extractor": ["transformers", "CLIPFeatureExtractor"]}),
        ("sd15", {"feature_extractor": [None, None], "image_encoder": [None, None]}),
        ("sd15", {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}),
        ("sd15", {"tokenizer": ["transformers", "CLIPTokenizerFast"]}),
        ("sd15", {"tokenizer": [None, None]}),
        ("sd15", {"_class_name": "LatentConsistencyModelPipeline"}),
        ("sdxl", {"add_watermarker": None}),
        ("sdxl", {"add_watermarker": False}),
    ],
)
def test_what_changes_nothing_of_a_pipeline(name, changes):
    found = compare_pipeline(REGISTERED[name], {**INDEX[name], **changes}, "model_index.json")
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("sd15", {"_class_name": "StableDiffusionInpaintPipeline"},
         "for inpainting: pass --model sd15-inpaint"),
        ("sdxl", {"_class_name": "StableDiffusionXLInpaintPipeline"},
         "for inpainting: pass --model sdxl-inpaint"),
        ("sdxl", {"_class_name": "StableDiffusionXLImg2ImgPipeline"}, "SDXL's refiner"),
        ("sd15", {"_class_name": "StableDiffusionInstructPix2PixPipeline"}, "editing pictures"),
        ("sd15", {"_class_name": "StableDiffusionXLPipeline"}, "pass --model tiny-sdxl or sdxl"),
        ("sd15", {"_class_name": "StableDiffusion3Pipeline"},
         "pass --model tiny-sd35 or sd35-medium"),
        ("sd15", {"_class_name": "FluxPipeline"}, "write its name there"),
        ("sd15", {"_class_name": ["mine", "Pipeline"]}, "mine.Pipeline"),
        ("sd15", {"unet": [None, None]}, "unet is None, but sd15 has UNet2DConditionModel"),
        ("sd15", {"unet": ["mine", "UNet2DConditionModel"]}, "unet is mine.UNet2DConditionModel"),
        ("sd15", {"text_encoder": ["transformers", "CLIPTextModelWithProjection"]},
         "text_encoder is CLIPTextModelWithProjection, but sd15 has CLIPTextModel"),
        ("sd15", {"tokenizer": ["transformers", "T5Tokenizer"]}, "tokenizer is T5Tokenizer"),
        ("sdxl", {"add_watermarker": True}, "add_watermarker is True"),
        # It is no member of the folder, so this is a list that is not empty: Python's true.
        ("sdxl", {"add_watermarker": [None, None]}, "add_watermarker is [None, None]"),
        ("sdxl", {"force_zeros_for_empty_prompt": "yes"}, "force_zeros_for_empty_prompt is 'yes'"),
        ("sdxl", {"requires_aesthetics_score": True}, "aesthetic"),
    ],
)  # fmt: skip
def test_a_pipeline_that_draws_something_else_is_refused(name, changes, said):
    with pytest.raises(CheckpointError) as caught:
        compare_pipeline(REGISTERED[name], {**INDEX[name], **changes}, "model_index.json")
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("value", "empty"), [(True, "zeros"), (False, "encode"), (None, "encode"), ("absent", "zeros")]
)
def test_what_an_empty_negative_prompt_stands_for_is_the_checkpoints(value, empty):
    """Where the file does not say, diffusers' pipeline says."""
    index = {**INDEX["sdxl"], "force_zeros_for_empty_prompt": value}
    if value == "absent":
        del index["force_zeros_for_empty_prompt"]
    assert compare_pipeline(REGISTERED["sdxl"], index, "").empty_negative == empty
    assert Conditioning((), empty_negative=empty).empty_negative == empty


def test_a_key_that_the_pipeline_ignores_is_said():
    index = {**INDEX["sd15"], "force_zeros_for_empty_prompt": True}
    found = compare_pipeline(REGISTERED["sd15"], index, "model_index.json")
    assert found.empty_negative is None
    [note] = found.notes
    assert "force_zeros_for_empty_prompt is True: StableDiffusionPipeline does not have" in note
