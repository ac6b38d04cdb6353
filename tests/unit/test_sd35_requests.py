"""What Stable Diffusion 3.5 draws besides: skip-layer guidance and third prompts, and what is not.

The reference draws with the small model in this process; what is refused is refused before that.
"""

from dataclasses import replace

import numpy as np
import pytest

from commands import wsd
from grain import GRAIN
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.runtime.request import GenerationRequest, SkipLayerGuidance
from wsd.util.progress import Quiet

REQUEST = GenerationRequest("a star", "blue", steps=4, seed=1)


@pytest.fixture(scope="module")
def drawn():
    """Return what draws the latents of a request with diffusers."""
    checkpoint = open_checkpoint(random_checkpoint(GRAIN, 0), GRAIN)
    pipeline = load_pipeline(checkpoint)

    def draw(request):
        return draw_reference(checkpoint, pipeline, request, Quiet())[1]

    return draw


@pytest.mark.slow
def test_blocks_that_are_left_out_change_the_steps_that_they_guide(drawn):
    plain = drawn(REQUEST)
    skip = SkipLayerGuidance((0, 1), 2.0, 0.0, 1.0)
    guided = drawn(replace(REQUEST, skip_layers=skip))
    assert np.abs(guided - plain).max() > 1e-3
    # It guides the steps between 4 * 0.8 and 4 * 0.9: there is none.
    none = drawn(replace(REQUEST, skip_layers=replace(skip, start=0.8, stop=0.9)))
    np.testing.assert_array_equal(none, plain)
    unguided = replace(REQUEST, guidance_scale=1.0)
    np.testing.assert_array_equal(drawn(replace(unguided, skip_layers=skip)), drawn(unguided))


@pytest.mark.slow
@pytest.mark.parametrize("syntax", ["plain", "a1111"])
def test_third_prompts_are_those_of_t5(drawn, syntax):
    plain = replace(REQUEST, prompt_syntax=syntax)
    latents = drawn(plain)
    for name in ("prompt3", "negative_prompt3"):
        assert np.abs(drawn(replace(plain, **{name: "two hearts"})) - latents).max() > 1e-3
        np.testing.assert_array_equal(drawn(replace(plain, **{name: ""})), latents)
    same = replace(plain, prompt3=plain.prompt, negative_prompt3=plain.negative_prompt)
    np.testing.assert_array_equal(drawn(same), latents)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (((),), "skip guidance layers is ''"),
        (((1, 1),), "skip guidance layers is '1,1'"),
        (((-1,),), "skip guidance layers is '-1'"),
        (((1,), 51.0), "skip layer guidance scale is 51.0"),
        (((1,), float("nan")), "skip layer guidance scale is nan"),
        (((1,), 1.0, 0.2, 0.2), "starts at 0.2 and stops at 0.2"),
        (((1,), 1.0, -0.1, 0.2), "starts at -0.1"),
        (((1,), 1.0, 0.0, 1.1), "stops at 1.1"),
    ],
)
def test_values_out_of_range_are_refused(values, said):
    with pytest.raises(UsageError) as raised:
        SkipLayerGuidance(*values)
    assert said in str(raised.value)
    assert raised.value.hint


LAYERS = ("--skip-guidance-layers", "1,2")


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("tiny-sd35", ("--skip-guidance-layers", "3,4"), "skip guidance layers has 4"),
        ("tiny-sd35", ("--skip-guidance-layers", "a"), "'a' are not numbers of layers"),
        ("tiny-sd35", ("--skip-layer-guidance-stop", 0.3), "without --skip-guidance-layers"),
        ("tiny-sd15", LAYERS, "tiny-sd15 takes no skip guidance layers"),
        ("tiny-sdxl", LAYERS, "tiny-sdxl takes no skip guidance layers"),
        ("tiny-sdxl", ("--third-prompt", "a"), "tiny-sdxl has no third text encoder"),
        ("tiny-sd15", ("--third-negative", "a"), "tiny-sd15 has no third text encoder"),
        ("tiny-sd35", ("--no-text-encoder-3", "--third-prompt", "a"), "no third text encoder"),
    ],
)
@pytest.mark.slow
def test_the_reference_refuses_what_a_model_does_not_take(model, options, said, tmp_path, capsys):
    out = tmp_path / "out.png"
    code, _ = wsd("reference", "--model", model, "--prompt", "a", *options, "--out", out)
    assert code == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert said in message
    assert hint.startswith("hint: ")
    assert not out.exists()
