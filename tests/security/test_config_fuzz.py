"""Configurations with any key changed: each is refused, or computes what diffusers computes."""

import copy
import functools
import json
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config_oracle import FAMILIES, as_saved, component_of, compute_both
from wsd.checkpoint.config_comparison import compare_pipeline, effective_config
from wsd.checkpoint.tokenizer import load_tokenizer
from wsd.errors import CheckpointError
from wsd.models.instantiate import build_module
from wsd.models.schedulers import build_scheduler

# A component of each class, and the VAE in both pipelines.
PLACES = (
    ("sd", "text_encoder"), ("sdxl", "text_encoder_2"), ("sdxl", "unet"), ("sdxl", "vae"),
    ("sd", "vae"),
)  # fmt: skip
# Keys that files have besides those of the class, and one that no class has.
EXTRAS = {
    "unet": ("_class_name", "_use_default_values", "quantization_config", "unheard_of"),
    "vae": ("_class_name", "_use_default_values", "quantization_config", "unheard_of"),
    "text_encoder": (
        "model_type", "dropout", "torch_dtype", "use_attention_mask", "use_cache", "is_causal",
        "tie_word_embeddings", "output_attentions", "attn_implementation", "_attn_implementation",
        "_attn_implementation_internal", "text_config", "pruned_heads", "max_length",
        "quantization_config", "unheard_of", "name_or_path", "num_labels", "sliding_window",
    ),
}  # fmt: skip
EXTRAS["text_encoder_2"] = EXTRAS["text_encoder"]
WORDS = (
    "silu", "swish", "gelu", "relu", "quick_gelu", "default", "scale_shift", "text", "timestep",
    "gated", "group_norm", "positional", "fourier", "eager", "sdpa", "DownBlock2D", "UpBlock2D",
    "CrossAttnDownBlock2D", "UNetMidBlock2D", "DownEncoderBlock2D", "UpDecoderBlock2D",
    "float16", "16", "",
)  # fmt: skip
NUMBERS = st.sampled_from(
    (0, 1, 2, 3, 4, 7, 8, 16, 32, 77, 719, 720, 725, -1, 0.0, 1.0, 2.0, 0.5, 1e-5, 1e-3, 8.0, -0.5)
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(WORDS)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.lists(NUMBERS, min_size=4, max_size=4)


def near(value):
    """Return values that somebody may mean in the place of another."""
    if isinstance(value, bool):
        return st.sampled_from((not value, int(value), None))
    if isinstance(value, int | float):
        return st.sampled_from((value, value + 1, 2 * value, value / 2, -value, float(value),
                                [value], [value, value], str(value)))  # fmt: skip
    if isinstance(value, list):
        return st.sampled_from((value, value[:1], [*value, *value[-1:]], value[::-1], None))
    return SCALARS


@st.composite
def changed(draw, saved, keys, base):
    """Return a configuration with one to three keys added, dropped or changed."""
    found = copy.deepcopy(saved)
    for key in draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True)):
        if draw(st.integers(0, 4)) == 0:
            found.pop(key, None)
        else:
            found[key] = draw(VALUES | near(base.get(key)))
    return found


def check(label, name, data):
    """Draw a configuration; it is refused, or both sides compute the same."""
    family = FAMILIES[label]
    component = component_of(family, name)
    base = effective_config(component, component.config)
    keys = sorted({*base, *EXTRAS[name]})
    # Files have all keys, or those that were known when they were written.
    saved = json.loads(json.dumps(as_saved(component), default=str))
    start = data.draw(st.sampled_from((saved, json.loads(json.dumps(dict(component.config))))))
    found = data.draw(changed(start, keys, base))
    # A module that only holds the file is no part of a configuration.
    given_file = copy.deepcopy(found)
    try:
        ours, theirs = compute_both(family, name, found)
    except CheckpointError as refused:
        assert refused.message.startswith("config.json: ")
        assert refused.hint
        return False
    assert found == given_file
    for one, other in zip(ours, theirs, strict=True):
        # Absurd values overflow, in diffusers too.
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, equal_nan=True)
    return True


def fuzz(examples):
    """Return settings for so many examples; `nox -s security` tries more, and always new ones."""
    more = int(os.environ.get("WSD_FUZZ", "0"))
    return settings(
        max_examples=max(examples, more), deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("label", "name"), PLACES)
def test_no_configuration_computes_something_else_in_silence(label, name):
    accepted = []

    @fuzz(10)
    @given(data=st.data())
    def run(data):
        accepted.append(check(label, name, data))

    run()
    # Otherwise nothing would have been compared.
    assert any(accepted)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("label", "name"), PLACES)
@fuzz(1500)
@given(data=st.data())
def test_no_configuration_of_many_computes_something_else_in_silence(label, name, data):
    check(label, name, data)


INDEX_KEYS = (
    "_class_name", "unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "scheduler",
    "safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker",
    "force_zeros_for_empty_prompt", "add_watermarker", "requires_aesthetics_score", "unheard_of",
    "_use_default_values",
)  # fmt: skip
INDEX_VALUES = SCALARS | st.sampled_from(
    (
        [None, None], ["diffusers", "UNet2DConditionModel"], ["diffusers", "AutoencoderKL"],
        ["transformers", "CLIPTextModel"], ["transformers", "CLIPTokenizer"], ["mine", "Model"],
        ["diffusers", "DDIMScheduler"], "StableDiffusionPipeline", "StableDiffusionXLPipeline",
        ["force_zeros_for_empty_prompt"],
    )
)  # fmt: skip
# What diffusers reads and WSD leaves out, and options that only others of its pipelines read.
LEFT_OUT = {
    "safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker",
    "add_watermarker", "requires_aesthetics_score",
}  # fmt: skip


@functools.cache
def members_of(label):
    """Return the modules and tokenizers of a family, as its pipeline takes them."""
    family = FAMILIES[label]
    torch.manual_seed(0)
    members = {component.id: build_module(component) for component in family.components}
    for entry in family.tokenizers:
        members[entry.name] = load_tokenizer(entry.kind, entry.fallback, entry.pad_token)
    return {**members, "scheduler": build_scheduler(family.scheduler)}


def read_index(label, found):
    """Return diffusers' own pipeline, made with the options that it reads of an index.

    As ``DiffusionPipeline.from_pretrained`` reads it. Members are the family's, and optional ones
    are left out.
    """
    family = FAMILIES[label]
    kind = family.architecture.pipeline_class()
    _, optional = kind._get_signature_keys(kind)
    read, unused, _ = kind.extract_init_dict(copy.deepcopy(found))
    options = {key: read[key] for key in optional if key in read}
    missing = dict.fromkeys(kind._optional_components)
    return kind(**{**missing, **members_of(label), **options}), set(unused)


@functools.cache
def negative_features(label, options):
    """Return the features of an empty negative prompt in diffusers' pipeline with some options."""
    pipeline, _ = read_index(label, json.loads(options))
    with torch.no_grad():
        encoded = pipeline.encode_prompt("red", device="cpu", num_images_per_prompt=1,
                                         do_classifier_free_guidance=True)  # fmt: skip
    return encoded[1]


@pytest.mark.slow
@pytest.mark.parametrize("label", FAMILIES)
@fuzz(40)
@given(changes=st.dictionaries(st.sampled_from(INDEX_KEYS), INDEX_VALUES, max_size=3))
def test_a_pipelines_words_are_understood_or_refused(label, changes):
    """Where the index is accepted, WSD conditions as diffusers' pipeline with its options does."""
    family = FAMILIES[label]
    index = {
        "_class_name": family.architecture.diffusers_pipeline,
        **{c.id: [c.library, c.class_name] for c in family.components},
    }
    found = {**index, **changes}
    try:
        said = compare_pipeline(family, found, "model_index.json")
    except CheckpointError as refused:
        assert any(key in refused.message for key in changes)
        return
    assert found["_class_name"] == family.architecture.diffusers_pipeline
    for component in family.components:
        assert found[component.id] == index[component.id]
    theirs, unused = read_index(label, found)
    # What decides the features of an empty negative prompt: those of each text are computed once.
    options = {key: found[key] for key in theirs.config if key in found and key not in index}
    options["_use_default_values"] = found.get("_use_default_values", [])
    features = negative_features(label, json.dumps(options, sort_keys=True))
    assert (said.empty_negative == "zeros") == (float(features.abs().max()) == 0)
    if label == "sdxl":
        assert said.empty_negative is not None
        assert theirs.watermark is None
        size = family.sizes[0]
        given_ids = theirs._get_add_time_ids(
            size[::-1], (0, 0), size[::-1], torch.float32,
            family.text_encoders()[-1].config["projection_dim"],
        )  # fmt: skip
        assert (
            given_ids[0].tolist() == family.architecture.constant_inputs(family, size)["time_ids"]
        )
    # Every key that diffusers does not read is said, and no other one.
    noted = {key for key in changes if any(f": {key} is " in note for note in said.notes)}
    public = {key for key in unused if not key.startswith("_")}
    assert noted == public - LEFT_OUT
