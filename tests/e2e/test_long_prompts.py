"""Prompts of several chunks, and layers that are left out: what diffusers draws with the same."""

from dataclasses import replace

import numpy as np
import pytest

from compel_chunks import encode_by_compel
from speck import LONG, LONG_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import relative_error
from wsd.evaluate.weighted_prompts import encode_prompt, weighted_arguments
from wsd.runtime.driver import page_options
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.spec.tolerances import LATENTS_TOLERANCE, PEAK_MEMORY_MARGIN
from wsd.util.progress import Quiet

ERROR = 1e-4
WORDS = "a large red circle left of a small blue square, "
TWO = WORDS * 10
THREE = f"{WORDS * 9} BREAK two green stars BREAK on a white background"
REQUEST = GenerationRequest(
    "", steps=2, seed=3, guidance_scale=4.0, scheduler="euler", prompt_syntax="a1111"
)


@pytest.fixture(scope="module")
def model(request, open_model, tmp_path_factory):
    """Return a checkpoint, diffusers' pipeline, the bundle's manifest, and a page with it."""
    family = request.param
    checkpoint = open_checkpoint(choose_checkpoint(family, None, 0), family)
    library = compile_library(family, family.sizes, "f32", Quiet())
    bundle = build_bundle(checkpoint, library, tmp_path_factory.mktemp("bundle") / "long", Quiet())
    manifest = read_manifest(find_manifest(bundle, None))
    with open_model(bundle) as renderer:
        yield checkpoint, load_pipeline(checkpoint), manifest, renderer


of_both = pytest.mark.parametrize(
    "model",
    [
        pytest.param(LONG, id="sd15", marks=pytest.mark.exhaustive),
        pytest.param(LONG_XL, id="sdxl", marks=pytest.mark.exhaustive),
    ],
    indirect=True,
)


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@of_both
def test_the_manifest_says_what_the_model_takes(model):
    checkpoint, _, manifest, _ = model
    assert manifest.prompt_chunks == 3
    family = checkpoint.family
    assert manifest.max_clip_skip == family.architecture.max_clip_skip(family)
    assert manifest.max_clip_skip == (2 if family.name == "long" else 1)


@of_both
def test_short_prompts_cost_nothing(model):
    """They run the functions of plain ones, and nothing of long ones is compiled or allocated."""
    _, _, _, renderer = model
    short = replace(REQUEST, prompt="a large red circle", negative_prompt="blue")
    plain = renderer.draw(replace(short, prompt_syntax="plain"))
    before = renderer.usage()
    drawn = renderer.draw(short)
    assert np.array_equal(drawn.latents, plain.latents)
    after = renderer.usage()
    for name in ("pipelines", "gpuBytes", "peakGpuBytes"):
        assert after[name] == before[name]
    # This is the first test of the page.
    renderer.draw(replace(short, prompt=TWO))
    assert renderer.usage()["pipelines"] > after["pipelines"]


@of_both
def test_the_planned_memory_is_kept_with_prompts_of_several_lengths(model):
    """The workspaces of the denoisers of one, two and three chunks are not there together.

    Embeddings of every prompt of a call wait on the GPU, with and without the prompt: much beside
    this model, which has a megabyte, and nothing beside a whole one.
    """
    _, pipeline, manifest, renderer = model
    options = {"promptSyntax": "a1111", "numInferenceSteps": 2, "clipSkip": 1}
    chunks = 1 + 2 + 3 + 1
    renderer.draw_with(["a star", TWO, WORDS * 40, "a star"], options)
    planned = manifest.peak(manifest.defaults.size, offload=False, tiling=False)
    waiting = 2 * 4 * chunks * 77 * pipeline.unet.config.cross_attention_dim
    assert renderer.usage()["peakGpuBytes"] <= PEAK_MEMORY_MARGIN * planned + waiting
    # Nor are those of steps with guidance and of steps without it.
    inside = {"guidanceStart": 0.5, "numInferenceSteps": 4}
    renderer.draw_with(["a star", TWO, WORDS * 40, "a star"], options | inside)
    assert renderer.usage()["peakGpuBytes"] <= PEAK_MEMORY_MARGIN * planned + waiting


@of_both
@pytest.mark.parametrize("count", [75, 76, 225])
def test_chunks_are_those_of_compel(model, count):
    """compel is another program's reading of long prompts; each word is one token."""
    checkpoint, pipeline, _, renderer = model
    text = " ".join((["red", "large", "blue", "circle", "star"] * 45)[:count])
    found = renderer.encode_text(text, None, "a1111")["text_embeddings"]
    theirs = encode_by_compel(pipeline, checkpoint.family.conditioning, text)
    assert theirs.shape[1] == {75: 77, 76: 2 * 77, 225: 3 * 77}[count]
    assert relative_error(found, theirs.numpy()) < ERROR


# (prompt, negative prompt, chunks of both)
PROMPTS = {
    "two and none": (TWO, None, 2),
    "three and one": (THREE, "blue", 3),
    "one and two": ("a star", TWO, 2),
    "too many": (WORDS * 40, THREE, 3),
}


@of_both
@pytest.mark.parametrize("case", PROMPTS)
def test_long_prompts_are_joined(model, case):
    checkpoint, pipeline, _, renderer = model
    prompt, negative, chunks = PROMPTS[case]
    request = replace(REQUEST, prompt=prompt, negative_prompt=negative)
    arguments = weighted_arguments(pipeline, checkpoint.family, request)
    ours = renderer.encode_prompt(prompt, negative, {"promptSyntax": "a1111"})
    assert ours.pop("promptChunks") == chunks
    for name, values in ours.items():
        theirs = next((value for key, value in arguments.items() if camel(key) == name), None)
        if theirs is None:
            # diffusers makes zeros of its own for SDXL without a negative prompt.
            assert not np.any(values)
            continue
        if "ooled" not in name:
            assert theirs.shape[1] == 77 * chunks
        assert relative_error(values, theirs.numpy()) < ERROR, name
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    drawn = renderer.draw(request)
    assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
    # The embeddings that a program is given draw the same.
    options = {"numInferenceSteps": 2, "seed": 3, "guidanceScale": 4.0, "scheduler": "euler"}
    again = renderer.draw_with(None, {**ours, "promptChunks": chunks, **options})
    assert np.array_equal(again.latents, drawn.latents)
    # What a plain text has beyond one chunk is cut.
    plain = renderer.draw(replace(request, prompt_syntax="plain"))
    assert relative_error(plain.latents, latents) > 10 * LATENTS_TOLERANCE


@of_both
def test_an_interval_of_guidance(model):
    """Prompts of one, two and three chunks, each with the functions of its own."""
    checkpoint, pipeline, _, renderer = model
    interval = GuidanceInterval(0.3, 0.7)
    request = replace(REQUEST, steps=4, negative_prompt="blue", guidance_interval=interval)
    for prompt in (TWO, THREE):
        one = replace(request, prompt=prompt)
        _, latents = draw_reference(checkpoint, pipeline, one, Quiet())
        assert relative_error(renderer.draw(one).latents, latents) < LATENTS_TOLERANCE
        whole = renderer.draw(replace(one, guidance_interval=GuidanceInterval())).latents
        assert relative_error(whole, latents) > 5 * LATENTS_TOLERANCE
    prompts = ["a star", TWO, THREE]
    options = page_options(request)
    together = renderer.draw_with(prompts, options).latents.reshape(len(prompts), -1)
    for index, latents in enumerate(together):
        alone = renderer.draw_with(prompts, {**options, "imageIndex": index}).latents
        np.testing.assert_array_equal(alone, latents)


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", [LONG_XL], indirect=True, ids=["sdxl"])
def test_weights_and_second_prompts_of_several_chunks(model):
    """The states of SDXL have a mean, which weighing brings back for each chunk."""
    checkpoint, pipeline, _, renderer = model
    request = replace(
        REQUEST, prompt=f"(red:1.4) {TWO} [star]", prompt2="a (blue:0.6) BREAK (two:1.2) BREAK b",
        negative_prompt=f"(green:1.3) {TWO}", guidance_rescale=0.5,
    )  # fmt: skip
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    drawn = renderer.draw(request)
    error = relative_error(drawn.latents, latents)
    assert error < LATENTS_TOLERANCE
    # Random weights draw much the same with other prompts.
    unweighted = renderer.draw(replace(request, prompt=f"red {TWO} star"))
    assert relative_error(unweighted.latents, latents) > 10 * error


@of_both
@pytest.mark.parametrize("syntax", ["plain", "a1111"])
@pytest.mark.parametrize("negative", [None, "blue"])
def test_layers_are_left_out(model, syntax, negative):
    """As diffusers does for plain prompts, and as the web UI does for the negative one too."""
    checkpoint, pipeline, manifest, renderer = model
    found = []
    for skip in range(manifest.max_clip_skip + 1):
        request = replace(
            REQUEST, prompt="a star", negative_prompt=negative, prompt_syntax=syntax, clip_skip=skip
        )
        conditioning = checkpoint.family.conditioning
        encoded = encode_prompt(pipeline, conditioning, ("a star", "a star"), clip_skip=skip)
        states = renderer.encode_text("a star", None, syntax, skip)
        expected = encoded.embeddings.numpy()
        assert relative_error(states["text_embeddings"], expected) < ERROR
        if encoded.pooled is not None:
            assert relative_error(states["pooled_text"], encoded.pooled.numpy()) < ERROR
        _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
        drawn = renderer.draw(request)
        assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
        assert (f"Clip skip: {skip + 1}" in drawn.settings[0]) == (skip > 0)
        found.append(drawn.latents)
    for other in found[1:]:
        assert relative_error(other, found[0]) > LATENTS_TOLERANCE


@of_both
def test_long_prompts_with_layers_left_out(model):
    checkpoint, pipeline, _, renderer = model
    request = replace(REQUEST, prompt=TWO, negative_prompt="blue", clip_skip=1)
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    assert relative_error(renderer.draw(request).latents, latents) < LATENTS_TOLERANCE


@of_both
def test_what_the_model_cannot_do_is_refused(model):
    _, _, manifest, renderer = model
    skip = manifest.max_clip_skip + 1
    with pytest.raises(UsageError, match="clipSkip is"):
        renderer.draw(replace(REQUEST, prompt="a", clip_skip=skip))
    with pytest.raises(UsageError, match="promptChunks is 4"):
        renderer.draw_with(None, {"promptEmbeds": np.zeros(4, np.float32), "promptChunks": 4})
