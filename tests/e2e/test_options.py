"""What the page's ``generate`` takes and gives: the same as diffusers for the same arguments."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from pages import browser_program
from speck import SPECK, SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.evaluate.weighted_prompts import weighted_arguments
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest, GuidanceInterval, SizeConditions
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.progress import Quiet

PROMPTS = ["a large red circle", "Two small blue squares, left of a star!"]
NEGATIVES = ["blue, green", ""]


@pytest.fixture(scope="module")
def model(request, speck, open_model, tmp_path_factory):
    """Return a model's checkpoint, diffusers' pipeline, and the page that has it."""
    if request.param == "speck":
        _, checkpoint = speck
        yield checkpoint, load_pipeline(checkpoint), request.getfixturevalue("speck_renderer")
        return
    if request.param == "tiny-sd15-f32":
        yield tuple(request.getfixturevalue(name) for name in ("shipped", "pipeline", "renderer"))
        return
    checkpoint = open_checkpoint(choose_checkpoint(SPECK_XL, None, 0), SPECK_XL)
    library = compile_library(SPECK_XL, SPECK_XL.sizes, "f32", Quiet())
    bundle = build_bundle(checkpoint, library, tmp_path_factory.mktemp("bundle") / "xl", Quiet())
    with open_model(bundle) as renderer:
        yield checkpoint, load_pipeline(checkpoint), renderer


# The code of the two models differs in their text encoders alone.
of_both = pytest.mark.parametrize(
    "model", ["speck", pytest.param("speck-xl", marks=pytest.mark.exhaustive)], indirect=True
)


def seldom(*values):
    """Return values of a test that differs little from another one."""
    return pytest.param(*values, marks=pytest.mark.exhaustive)


def noise(pipeline, count):
    """Return initial latents of the default size that no seed of a request draws."""
    side = SPECK.sizes[0][0] // pipeline.vae_scale_factor
    shape = (count, pipeline.unet.config.in_channels, side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(99))


@dataclass(frozen=True)
class Case:
    """A request as the page takes it and as diffusers takes it.

    Attributes:
        name: of the case.
        request: what both draw; the prompt counts where ``prompt`` is not given.
        prompt: the page's prompt.
        options: further options of the page.
        given: arguments of diffusers' pipeline in place of the request's.
    """

    name: str
    request: GenerationRequest
    prompt: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)


def several(scheduler, images=1, **options):
    return GenerationRequest("", seed=5, steps=2, scheduler=scheduler, images=images, **options)


CASES = [
    # One generator draws the noise of the whole batch, in every step of these schedulers.
    Case(
        "lists-of-prompts",
        several("euler_a", images=2),
        PROMPTS,
        {"negativePrompt": NEGATIVES},
        {"prompt": PROMPTS, "negative_prompt": NEGATIVES},
    ),
    Case(
        "one-negative-prompt-for-all",
        several("dpmpp_sde"),
        PROMPTS,
        {"negativePrompt": NEGATIVES[0]},
        {"prompt": PROMPTS, "negative_prompt": [NEGATIVES[0]] * 2},
    ),
    Case("no-negative-prompt", several("euler"), PROMPTS, {}, {"prompt": PROMPTS}),
    Case("a-list-of-one", several("dpmpp_2m"), PROMPTS[:1], {}, {"prompt": PROMPTS[:1]}),
    Case(
        "no-guidance",
        several("euler", guidance_scale=1.0),
        PROMPTS,
        {"negativePrompt": NEGATIVES},
        {"prompt": PROMPTS, "negative_prompt": NEGATIVES},
    ),
]


@pytest.mark.exhaustive
@of_both
@pytest.mark.parametrize("case", [CASES[0], *map(seldom, CASES[1:])], ids=lambda case: case.name)
def test_lists_of_prompts(model, case):
    checkpoint, pipeline, renderer = model
    compare(checkpoint, pipeline, renderer, case)


def compare(checkpoint, pipeline, renderer, case):
    """Draw a case with both, and compare latents and pictures."""
    images, latents = draw_reference(checkpoint, pipeline, case.request, Quiet(), **case.given)
    request = case.request
    options = {
        "seed": request.seed, "numInferenceSteps": request.steps, "numImages": request.images,
        "scheduler": request.scheduler, **case.options,
    }  # fmt: skip
    if request.guidance_scale is not None:
        options["guidanceScale"] = request.guidance_scale
    drawn = renderer.draw_with(case.prompt, options)
    index = options.get("imageIndex")
    if index is not None:
        latents = latents.reshape(len(images), -1)[index]
        images = images[index : index + 1]
    assert drawn.images.shape == images.shape
    assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
    assert min(map(psnr, drawn.images, images)) > PICTURE_PSNR
    return drawn


@pytest.mark.full
@of_both
@pytest.mark.parametrize("scheduler", ["euler_a", seldom("dpmpp_2m_sde")])
def test_given_latents(model, scheduler):
    """The generator begins with the first step's noise, because nobody drew the latents from it."""
    checkpoint, pipeline, renderer = model
    given = noise(pipeline, 2)
    request = several(scheduler, images=2)
    case = Case(
        "latents", request, PROMPTS[0], {"latents": given.numpy()},
        {"prompt": PROMPTS[0], "latents": given},
    )  # fmt: skip
    drawn = compare(checkpoint, pipeline, renderer, case)
    assert "Given: latents" in drawn.settings[0]


@of_both
@pytest.mark.parametrize("index", [seldom(0), 2, seldom(3)])
def test_one_picture_of_a_batch(model, index):
    """It is the picture that it is among the others, in noise that every step draws."""
    checkpoint, pipeline, renderer = model
    case = Case(
        "one", several("euler_a", images=2), PROMPTS, {"imageIndex": index}, {"prompt": PROMPTS}
    )
    drawn = compare(checkpoint, pipeline, renderer, case)
    (text,) = drawn.settings
    assert text.startswith(PROMPTS[index // 2])
    assert f"Batch size: 4, Batch pos: {index}, Picture: {index + 1} of 4" in text


def encoded(pipeline, prompt, negative):
    """Return diffusers' embeddings by the names of its arguments; SDXL's are four."""
    with torch.no_grad():
        found = pipeline.encode_prompt(
            prompt=prompt, device="cpu", num_images_per_prompt=1,
            do_classifier_free_guidance=True, negative_prompt=negative,
        )  # fmt: skip
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds",
             "negative_pooled_prompt_embeds"]  # fmt: skip
    return dict(zip(names, found, strict=False))


def camel(name):
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@of_both
@pytest.mark.parametrize(
    ("prompt", "negative"), [seldom(PROMPTS[0], None), (PROMPTS, NEGATIVES)], ids=["one", "several"]
)
def test_embeddings(model, prompt, negative):
    """encodePrompt gives what encode_prompt gives, and both pipelines draw with it."""
    checkpoint, pipeline, renderer = model
    theirs = encoded(pipeline, prompt, negative)
    ours = renderer.encode_prompt(prompt, negative)
    assert ours.keys() == {camel(name) for name in theirs}
    for name, tensor in theirs.items():
        # Zeros stand for no negative prompt of SDXL.
        exact = tensor.abs().max() == 0
        error = relative_error(ours[camel(name)], tensor.numpy()) if not exact else 0
        assert error < 1e-4, name
        assert not exact or not ours[camel(name)].any(), name
    # Scaled, so that the embeddings and not the prompt decide.
    theirs = {name: tensor * 0.7 for name, tensor in theirs.items()}
    given = {camel(name): tensor.numpy() for name, tensor in theirs.items()}
    case = Case("embeddings", several("euler_a", images=2), None, given, {"prompt": None, **theirs})
    compare(checkpoint, pipeline, renderer, case)


@pytest.mark.exhaustive
@of_both
@pytest.mark.parametrize("negative", [NEGATIVES, seldom(None)], ids=["given", "none"])
def test_a_negative_prompt_beside_embeddings(model, negative):
    checkpoint, pipeline, renderer = model
    positive = {
        name: tensor
        for name, tensor in encoded(pipeline, PROMPTS, None).items()
        if not name.startswith("negative")
    }
    given = {camel(name): tensor.numpy() for name, tensor in positive.items()}
    options = given if negative is None else {**given, "negativePrompt": negative}
    arguments = {"prompt": None, "negative_prompt": negative, **positive}
    case = Case("embeddings", several("euler"), None, options, arguments)
    compare(checkpoint, pipeline, renderer, case)


@pytest.mark.full
@pytest.mark.parametrize("model", ["speck"], indirect=True)
def test_a_class_of_diffusers_is_a_scheduler(model):
    checkpoint, pipeline, renderer = model
    options = {"scheduler": "EulerAncestralDiscreteScheduler"}
    case = Case("class", several("euler_a"), PROMPTS[0], options, {"prompt": PROMPTS[0]})
    compare(checkpoint, pipeline, renderer, case)


@pytest.mark.parametrize("model", ["speck"], indirect=True)
@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (None, {}, "there is no prompt"),
        ({"prompt": "a"}, {}, "prompt is an object"),
        (["a", 5], {}, r"prompt\[1\] is 5"),
        ("a", {"steps": 2}, 'no option "steps"'),
        ("a", {"promptSyntax": "compel"}, 'promptSyntax is "compel"'),
        ("a AND b", {"promptSyntax": "a1111"}, "joins prompts by AND"),
        ("a", {"negativePrompt": "a BREAK b", "promptSyntax": "a1111"}, "negativePrompt has BREAK"),
        ("a", {"prompt2": "b"}, "has 1 text encoder"),
        ("a", {"originalSize": [64, 64]}, "takes no originalSize"),
        ("a", {"originalSize": [0, 64]}, "originalSize is a list"),
        ("a", {"guidanceRescale": 2}, "guidanceRescale is 2"),
        ("a", {"scheduler": "toString"}, "toString"),
        ("a", {"negativePrompt": 5}, "negativePrompt is 5"),
        ("a", {"latents": np.zeros(7, np.float32)}, "latents has 7 values"),
        (None, {"promptEmbeds": np.zeros(7, np.float32)}, "promptEmbeds has 7 values"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_drawn(model, prompt, options, message):
    *_, renderer = model
    with pytest.raises(UsageError, match=message) as caught:
        renderer.draw_with(prompt, options)
    assert caught.value.hint


WEIGHTED = ["a (large:1.4) [red] circle", r"((two)) small \(blue\) squares, (left:0.5) of [[a star"]
AGAINST = ["(blue:1.3), green", "[yellow]"]


@pytest.mark.exhaustive
# Random weights leave a mean of 0 behind a layer norm, which cannot be brought back: the states of
# SD 1.5 are taken behind one, and SDXL's are not.
@pytest.mark.parametrize("model", ["tiny-sd15-f32", "speck-xl"], indirect=True)
@pytest.mark.parametrize("index", [0, seldom(1)])
def test_prompts_with_weights(model, index):
    """The page weighs as the reference does, and draws with it."""
    checkpoint, pipeline, renderer = model
    request = several(
        "euler", prompt_syntax="a1111", guidance_scale=4.0, negative_prompt=AGAINST[index]
    )
    request = replace(request, prompt=WEIGHTED[index])
    arguments = weighted_arguments(pipeline, checkpoint.family, request)
    options = {"promptSyntax": "a1111"}
    ours = renderer.encode_prompt(WEIGHTED[index], AGAINST[index], options)
    plain = renderer.encode_prompt(WEIGHTED[index], AGAINST[index])
    for name, values in ours.items():
        theirs = next(value for key, value in arguments.items() if camel(key) == name)
        assert relative_error(values, theirs.numpy()) < 1e-4, name
        assert relative_error(plain[name], theirs.numpy()) > 1e-2, name
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    drawn = renderer.draw(request)
    assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
    assert "Prompt syntax: a1111" in drawn.settings[0]


@pytest.mark.full
@of_both
@pytest.mark.parametrize("rescale", [0.7, seldom(1.0)])
def test_guidance_rescale(model, rescale):
    checkpoint, pipeline, renderer = model
    request = several("euler", guidance_scale=9.0, guidance_rescale=rescale)
    request = replace(request, prompt=PROMPTS[0])
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    drawn = renderer.draw(request)
    assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
    other = renderer.draw(replace(request, guidance_rescale=0.0))
    assert relative_error(other.latents, latents) > 5 * LATENTS_TOLERANCE
    assert f"CFG rescale: {rescale:g}" in drawn.settings[0]


@pytest.mark.full
@of_both
@pytest.mark.parametrize("scheduler", ["heun", seldom("pndm")])
def test_an_interval_of_guidance(model, scheduler):
    """It is counted by predictions, those that are run of a picture's, and with other guidance."""
    checkpoint, pipeline, renderer = model
    interval = GuidanceInterval(0.2, 0.7)
    request = several(scheduler, guidance_scale=9.0, guidance_interval=interval)
    request = replace(request, prompt=PROMPTS[0], steps=4)
    width, height = SPECK.sizes[0]
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    for wanted, picture in (
        (request, None),
        (replace(request, guidance_rescale=0.7), None),
        (replace(request, images=2), GivenPicture(pixels, 0.75)),
    ):
        _, latents = draw_reference(checkpoint, pipeline, wanted, Quiet(), picture=picture)
        drawn = renderer.draw(wanted, picture=picture)
        assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
        whole = replace(wanted, guidance_interval=GuidanceInterval())
        other = renderer.draw(whole, picture=picture)
        assert relative_error(other.latents, latents) > 5 * LATENTS_TOLERANCE
        assert "Guidance start: 0.2, Guidance stop: 0.7" in drawn.settings[0]
        assert "Guidance st" not in other.settings[0]


SDXL_CASES = {
    "prompt2": {"prompt2": PROMPTS[1]},
    "an empty prompt2": {"prompt2": ""},
    "negative prompt2": {"negative_prompt": "blue", "negative_prompt2": PROMPTS[1]},
    "weights in both": {
        "prompt_syntax": "a1111", "prompt2": WEIGHTED[1], "negative_prompt": AGAINST[0],
        "negative_prompt2": AGAINST[1],
    },
    "sizes": {"conditions": SizeConditions((300, 200), (5, 9), (40, 50))},
    "negative sizes": {
        "conditions": SizeConditions(
            negative_original_size=(8, 4), negative_crop_top_left=(3, 1),
            negative_target_size=(900, 1000),
        )
    },
}  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["speck-xl"], indirect=True)
@pytest.mark.parametrize("case", SDXL_CASES)
def test_what_sdxl_takes_besides(model, case):
    checkpoint, pipeline, renderer = model
    request = replace(several("euler", guidance_scale=4.0), prompt=PROMPTS[0], **SDXL_CASES[case])
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    drawn = renderer.draw(request)
    assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
    plain = renderer.draw(replace(several("euler", guidance_scale=4.0), prompt=PROMPTS[0]))
    changes = case != "an empty prompt2"
    assert (relative_error(drawn.latents, plain.latents) > 10 * LATENTS_TOLERANCE) == changes


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["speck-xl"], indirect=True)
def test_sizes_with_a_picture(model):
    """diffusers has other defaults there: the prompt's crop is that of the negative prompt too."""
    checkpoint, pipeline, renderer = model
    width, height = SPECK_XL.sizes[0]
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    picture = GivenPicture(pixels, 0.9)
    for conditions in (
        SizeConditions((300, 200), (5, 9)),
        SizeConditions(crop_top_left=(7, 3), negative_original_size=(9, 5)),
    ):
        request = several("euler", guidance_scale=4.0, conditions=conditions)
        request = replace(request, prompt=PROMPTS[0], guidance_rescale=0.5)
        _, latents = draw_reference(checkpoint, pipeline, request, Quiet(), picture=picture)
        drawn = renderer.draw(request, picture=picture)
        assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE


@pytest.mark.exhaustive
def test_every_form_of_output(page, origin):
    """Files carry the settings of their picture, by which each is drawn again alone."""
    page.goto(origin)
    page.evaluate(f"() => {{ {browser_program('options')} }}")
    found = page.evaluate("manifest => wsdOptions(manifest)", "/models/speck/manifest.json")
    pixels = np.array(found["pixels"])
    assert pixels.shape == (2, 16 * 16 * 4)
    assert len({picture.tobytes() for picture in pixels}) == 2
    for form in ("decoded", "bitmaps", "again"):
        np.testing.assert_array_equal(found[form], pixels, err_msg=form)
    assert found["sameFiles"] == [True] * 2
    random = found["random"]
    assert 0 <= int(random["seed"]) < 2**32
    assert random["first"] == random["second"] != random["other"]
    assert found["refused"]["name"] == "OptionError"
    assert "did you mean onProgress?" in found["refused"]["hint"]
