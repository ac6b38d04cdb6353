"""Drawing from a picture in the browser, against diffusers' pipelines for pictures and for masks.

Every scheduler and strength with one model, then each architecture and precision with a few. All
random numbers are of seeds 2 and 3, in the order in which diffusers draws them.
"""

import numpy as np
import pytest

from masked import MASKED, MASKED_XL
from paged import assert_drawn, open_in_page
from scheduling import DISCRETE
from speck import BROAD, LEVELS, SPECK, SPECK_XL
from wsd.errors import RenderError, UsageError
from wsd.evaluate.metrics import relative_error
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest

PROMPT = "a large red circle"
MODELS = {
    "speck-f32": (SPECK, "f32"),
    "masked-f32": (MASKED, "f32"),
    "speck-w8a16": (SPECK, "w8a16"),
    "broad-f16": (BROAD, "f16"),
    "levels-f32": (LEVELS, "f32"),
    "speck-xl-f32": (SPECK_XL, "f32"),
    "speck-xl-w8a16": (SPECK_XL, "w8a16"),
    "masked-xl-f32": (MASKED_XL, "f32"),
    "masked-w8a16": (MASKED, "w8a16"),
}
# Share of the steps that are run → number of steps; one step of twenty is run with the first.
STRENGTHS = {0.05: 20, 0.3: 10, 0.75: 8, 1.0: 5}
OFFERED = [name for name, known in DISCRETE.items() if known.offered]
# Without noise of its own, with it, of two evaluations in a step, and of several steps.
SOME = ("ddim", "euler_a", "heun", "dpmpp_2m")
# In every run of the tests.
BRIEF = {
    ("speck-f32", "dpmpp_2m", 0.3, False),
    ("speck-f32", "euler_a", 0.75, True),
}


@pytest.fixture(scope="module")
def model(request, open_model, tmp_path_factory):
    opened = request.getfixturevalue("speck_renderer") if request.param == "speck-f32" else None
    folder = tmp_path_factory.mktemp("bundle")
    with open_in_page(*MODELS[request.param], PROMPT, folder, open_model, opened) as found:
        yield found


def make_picture(model, strength, *, masked, seed=0):
    """Return soft colours with noise, and a mask whose edges are no multiple of a latent's."""
    width, height = model.library.sizes[0]
    draw = np.random.default_rng(seed)
    slope = np.linspace(40, 215, width)[None, :, None] + np.zeros((height, 1, 3))
    image = (slope + draw.integers(-40, 41, (height, width, 3))).astype(np.uint8)
    mask = draw.integers(0, 128, (height, width), np.uint8)
    mask[height // 4 + 1 :, : width // 2 + 1] = draw.integers(128, 256)
    return GivenPicture(image, strength, mask if masked else None)


def cases():
    """Yield a model, a scheduler, a strength, and whether there is a mask."""
    for name, (family, _) in MODELS.items():
        whole = [False] if family not in (MASKED, MASKED_XL) else []
        # The coefficients of a start are those of every scheduler in tests/unit/test_schedulers.py.
        # One model shows that the GPU follows all of them, the others take one of each kind.
        every = name == "speck-f32"
        for scheduler in OFFERED if every else SOME:
            for strength in STRENGTHS if every else (0.3, 1.0):
                for masked in [*whole, True]:
                    case = (name, scheduler, strength, masked)
                    chosen = choose_mark(scheduler, strength, masked, every=every)
                    marks = () if case in BRIEF else chosen
                    kind = "masked" if masked else "whole"
                    named = f"{name}-{scheduler}-{strength}-{kind}"
                    yield pytest.param(*case, marks=marks, id=named)


def choose_mark(scheduler, strength, masked, *, every):
    """Return the mark of a case that is not in every run.

    `full` takes a few schedulers, with a mask or without one.
    """
    number = OFFERED.index(scheduler)
    part = every and strength == (1.0 if masked else 0.3) and number % 16 == 4 * masked
    return pytest.mark.full if part else pytest.mark.exhaustive


@pytest.mark.parametrize(
    ("model", "scheduler", "strength", "masked"), [*cases()], indirect=["model"]
)
def test_it_is_drawn_as_diffusers_draws(model, scheduler, strength, masked):
    request = GenerationRequest(
        PROMPT,
        seed=2 + OFFERED.index(scheduler) % 2,
        steps=STRENGTHS[strength],
        scheduler=scheduler,
        guidance_scale=3.0,
    )
    assert_drawn(model, request, make_picture(model, strength, masked=masked))


VARIED = {
    "several pictures": {"images": 3, "scheduler": "euler_a"},
    "without guidance": {"guidance_scale": 1.0},
    "a negative prompt": {"negative_prompt": "blue"},
    "ddim with noise": {"scheduler": "ddim", "eta": 0.8},
    "a seed of 64 bits": {"seed": 2**64 - 1},
}
# Of these, what the full tests draw.
OFTEN = ("several pictures", "ddim with noise")


@pytest.mark.full
@pytest.mark.parametrize(
    "varied",
    [pytest.param(name, marks=() if name in OFTEN else pytest.mark.exhaustive) for name in VARIED],
)
@pytest.mark.parametrize(
    ("model", "masked"),
    [
        pytest.param("speck-f32", True),
        *(
            pytest.param(*case, marks=pytest.mark.exhaustive)
            for case in [
                ("speck-f32", False),
                ("speck-xl-f32", False),
                ("speck-xl-f32", True),
                ("masked-f32", True),
                ("masked-xl-f32", True),
            ]
        ),
    ],
    indirect=["model"],
)
def test_other_options_go_with_a_picture(model, varied, masked):
    options = {"seed": 2, "steps": 5, "guidance_scale": 3.0, **VARIED[varied]}
    drawn = assert_drawn(
        model, GenerationRequest(PROMPT, **options), make_picture(model, 0.7, masked=masked)
    )
    if len(drawn.images) > 1:
        assert relative_error(drawn.images[0], drawn.images[1]) > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["speck-f32"], indirect=True)
def test_picture_strength_and_mask_matter(model):
    request = GenerationRequest(PROMPT, seed=2, steps=5)
    latents = [
        model.renderer.draw(request, picture=picture).latents
        for picture in (
            make_picture(model, 0.6, masked=False),
            make_picture(model, 0.6, masked=False, seed=1),
            make_picture(model, 0.8, masked=False),
            make_picture(model, 0.6, masked=True),
        )
    ]
    for other in latents[1:]:
        assert relative_error(other, latents[0]) > 1e-2
    again = model.renderer.draw(request, picture=make_picture(model, 0.6, masked=False)).latents
    np.testing.assert_array_equal(again, latents[0])


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["masked-f32"], indirect=True)
def test_a_model_for_masks_says_what_it_needs(model):
    request = GenerationRequest(PROMPT, seed=2, steps=2)
    with pytest.raises(UsageError):
        model.renderer.draw(request)
    with pytest.raises(UsageError):
        model.renderer.draw(request, picture=make_picture(model, 0.6, masked=False))


@pytest.mark.exhaustive
def test_a_bundle_without_encoder_draws_from_text(speck_renderer, open_model, tmp_path):
    """As bundles of earlier versions do; it draws the same to the bit, and takes no picture."""
    family = SPECK.without_parts()
    with open_in_page(family, "f32", PROMPT, tmp_path, open_model) as text:
        request = GenerationRequest(PROMPT, seed=2, steps=3)
        drawn = text.renderer.draw(request)
        same = speck_renderer.draw(request)
        np.testing.assert_array_equal(drawn.latents, same.latents)
        np.testing.assert_array_equal(drawn.images, same.images)
        with pytest.raises(RenderError, match="UnsupportedError"):
            text.renderer.draw(request, picture=make_picture(text, 0.5, masked=False))
        # The refusal costs nothing: it draws as before.
        np.testing.assert_array_equal(text.renderer.draw(request).latents, drawn.latents)
