"""Configurations with any key changed: each is refused, or computes what diffusers computes."""

import copy
import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config_oracle import FAMILIES, as_saved, component_of, compute_both
from wsd.checkpoint.config_comparison import compare_pipeline, effective_config
from wsd.errors import CheckpointError

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
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )


@pytest.mark.parametrize(("label", "name"), PLACES)
def test_no_configuration_computes_something_else_in_silence(label, name):
    accepted = []

    @fuzz(25)
    @given(data=st.data())
    def run(data):
        accepted.append(check(label, name, data))

    run()
    # Otherwise nothing would have been compared.
    assert any(accepted)


@pytest.mark.full
@pytest.mark.parametrize(("label", "name"), PLACES)
@fuzz(1500)
@given(data=st.data())
def test_no_configuration_of_many_computes_something_else_in_silence(label, name, data):
    check(label, name, data)


INDEX_KEYS = (
    "_class_name", "unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "scheduler",
    "safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker",
    "force_zeros_for_empty_prompt", "add_watermarker", "requires_aesthetics_score", "unheard_of",
)  # fmt: skip
INDEX_VALUES = SCALARS | st.sampled_from(
    (
        [None, None], ["diffusers", "UNet2DConditionModel"], ["diffusers", "AutoencoderKL"],
        ["transformers", "CLIPTextModel"], ["transformers", "CLIPTokenizer"], ["mine", "Model"],
        ["diffusers", "DDIMScheduler"], "StableDiffusionPipeline", "StableDiffusionXLPipeline",
    )
)  # fmt: skip


@pytest.mark.parametrize("label", FAMILIES)
@fuzz(150)
@given(changes=st.dictionaries(st.sampled_from(INDEX_KEYS), INDEX_VALUES, max_size=3))
def test_a_pipelines_words_are_understood_or_refused(label, changes):
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
    if label == "sdxl":
        zeros = found.get("force_zeros_for_empty_prompt", True)
        assert said.empty_negative == ("zeros" if zeros else "encode")
    understood = {*index, "tokenizer", "scheduler", "force_zeros_for_empty_prompt"}
    for key in set(changes) - understood:
        harmless = key in ("safety_checker", "feature_extractor", "image_encoder",
                           "requires_safety_checker", "add_watermarker",
                           "requires_aesthetics_score")  # fmt: skip
        assert harmless or any(key in note for note in said.notes)
