"""Settings that Python writes into PNGs are the text that the page writes."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from commands import wsd
from wsd.models.schedulers import SCHEDULERS
from wsd.runtime.driver import page_options
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.infotext import format_settings
from wsd.runtime.request import (
    GenerationRequest,
    GuidanceInterval,
    SizeConditions,
    SkipLayerGuidance,
)
from wsd.spec.picture import FITS

REQUEST = GenerationRequest(
    "a star", steps=20, guidance_scale=7.5, seed=2, size=(512, 768), scheduler="euler", eta=0.0
)
PIXELS = np.zeros((768, 512, 3), np.uint8)
MASK = np.full((768, 512), 255, np.uint8)


def of_the_page(javascript, request, model, picture, index):
    """Return the text that the page writes."""
    of_picture = {}
    if picture is not None:
        of_picture = {"strength": picture.strength, "fit": picture.fit, "given": ["image"]}
        if picture.mask is not None:
            of_picture |= {"maskBlur": 0, "maskedContent": "original", "onlyMasked": False,
                           "given": ["image", "mask"]}  # fmt: skip
    width, height = request.size
    negative = request.negative_prompt
    settings = {
        "prompt": request.prompt,
        **({} if negative is None else {"negativePrompt": negative}),
        "steps": request.steps,
        "scheduler": request.scheduler,
        "guidanceScale": request.guidance_scale,
        "seed": str(request.seed),
        "width": width,
        "height": height,
        "model": model,
        "eta": request.eta,
        "numImages": request.images,
        "imageIndex": index,
        **of_prompt(request),
        **of_picture,
    }
    return javascript({"call": "format", "settings": settings})


def of_prompt(request):
    """Return what the page's settings have of a request's prompts beside the usual."""
    camel = {
        name: "".join(word.capitalize() if at else word for at, word in enumerate(name.split("_")))
        for name in request.conditions.given()
    }
    values = {
        "promptSyntax": request.prompt_syntax,
        "prompt2": request.prompt2,
        "negativePrompt2": request.negative_prompt2,
        "prompt3": request.prompt3,
        "negativePrompt3": request.negative_prompt3,
        "guidanceRescale": request.guidance_rescale,
        "clipSkip": request.clip_skip,
        **{
            name: value
            for name, value in page_options(request).items()
            if name.startswith("skip") or name in ("guidanceStart", "guidanceStop", "cacheInterval")
        },
        "conditions": {camel[name]: pair for name, pair in request.conditions.given().items()},
    }
    return {name: value for name, value in values.items() if value is not None}


CHANGES = {
    "plain": {},
    "several": {"images": 3},
    "negative": {"negative_prompt": "blue, green: red"},
    "empty negative": {"negative_prompt": ""},
    "lines": {"prompt": "one\ntwo, 你好"},
    "numbers": {"guidance_scale": 12.125, "eta": 0.8, "seed": 2**64 - 1},
    "weights": {"prompt": "a (star:1.2)", "prompt_syntax": "a1111"},
    "brackets in a plain prompt": {"prompt": "a (star:1.2)"},
    "a plain prompt with AND": {"prompt": "a star AND a moon"},
    "second prompts": {"prompt2": "two, three", "negative_prompt": "", "negative_prompt2": ""},
    "odd second prompts": {"prompt2": ' "quoted', "negative_prompt2": "[a]"},
    "third prompts": {"prompt3": "two, (three:1.2)", "negative_prompt3": ""},
    "sizes": {"conditions": SizeConditions((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12))},
    "rescale": {"guidance_rescale": 0.7},
    "an interval": {"guidance_interval": GuidanceInterval(0.0, 1 / 3)},
    "a cache": {"cache_interval": 3},
    "a later interval": {"guidance_interval": GuidanceInterval(0.2, 1.0)},
    "skipped layers": {"clip_skip": 1},
    "skip-layer guidance": {"skip_layers": SkipLayerGuidance((7, 8, 9), 3.0, 0.0, 1 / 3)},
    "whole numbers": {"guidance_scale": 8.0, "eta": 1.0, "seed": -5},
    **{name: {"scheduler": name} for name in SCHEDULERS},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("model", ["sd15", 'a "model", of: mine'])
def test_it_is_the_pages_text(javascript, changes, model):
    request = dataclasses.replace(REQUEST, **changes)
    found = format_settings(request, model)
    assert len(found) == request.images
    for index, text in enumerate(found):
        assert text == of_the_page(javascript, request, model, None, index)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("strength", [0.05, 0.3, 0.75, 1.0, 1 / 3])
def test_a_picture_is_written_in_the_web_uis_words(javascript, strength, mask):
    for fit in FITS:
        picture = GivenPicture(PIXELS, strength, mask, fit)
        [text] = format_settings(REQUEST, "sd15", picture)
        assert text == of_the_page(javascript, REQUEST, "sd15", picture, 0)
        assert "Denoising strength: " in text
        assert f"Fit: {fit}, " in text
        assert ("Inpaint area: Whole picture" in text) == (mask is not None)


@pytest.mark.parametrize("left", ["steps", "guidance_scale", "size", "scheduler", "eta"])
def test_what_is_left_to_the_model_is_not_guessed(left):
    with pytest.raises(ValueError, match="left to the model"):
        format_settings(dataclasses.replace(REQUEST, **{left: None}), "sd15")


@pytest.mark.slow
def test_the_reference_writes_them(tmp_path):
    image = tmp_path / "image.png"
    Image.new("RGB", (60, 20), "red").save(image)
    out = tmp_path / "out.png"
    code, _ = wsd(
        "reference", "--model", "speck", "--random-weights", 0, "--prompt", "a star", "--steps", 2,
        "--image", image, "--strength", 0.5, "--fit", "contain", "--size", "16x16", "--images", 2,
        "--out", out,
    )  # fmt: skip
    assert code == 0
    text = Image.open(tmp_path / "out-2.png").text["parameters"]
    assert text.startswith("a star\nSteps: 2, Sampler: ")
    assert "CFG scale: 3, Seed: 0, Size: 16x16, Model: speck, RNG: CPU" in text
    assert "Picture: 2 of 2, Denoising strength: 0.5, Fit: contain, Given: image" in text
