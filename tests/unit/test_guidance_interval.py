"""The interval of guidance: which predictions it guides, and pictures by diffusers' own guiders.

diffusers' pipelines have no interval. Its guiders have one, so the reference's latents are compared
with those of a loop that is written here, whose guidance is ``ClassifierFreeGuidance``.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import ClassifierFreeGuidance

from commands import wsd
from grain import GRAIN
from speck import SPECK, SPECK_XL
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import begin_at_first_step, draw_reference, load_pipeline
from wsd.models.schedulers import build_scheduler
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest, GuidanceInterval, SkipLayerGuidance
from wsd.runtime.validation import check_conditioning
from wsd.util.progress import Quiet

# Sixty steps times 0.05 are 3, and 100 times 0.29 are 28.999999999999996 in float64.
SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.29, 0.3, 1 / 3, 0.5, 0.57, 0.58, 2 / 3, 0.7, 0.99, 1.0)
INTERVALS = [(start, stop) for start in SHARES for stop in SHARES if start <= stop and start < 1]
COUNTS = [1, 2, 3, 4, 5, 7, 10, 19, 20, 25, 28, 30, 39, 50, 60, 99, 100]


@pytest.mark.slow
def test_the_predictions_that_are_guided_are_those_of_diffusers_and_of_the_page(javascript):
    found = javascript({"call": "guided_at", "intervals": INTERVALS, "counts": COUNTS})
    for (start, stop), of_page in zip(INTERVALS, found, strict=True):
        guider = ClassifierFreeGuidance(start=start, stop=stop)
        interval = GuidanceInterval(start, stop)
        for count, page in zip(COUNTS, of_page, strict=True):
            guided = []
            for index in range(count):
                guider.set_state(step=index, num_inference_steps=count, timestep=torch.tensor(0))
                guided.append(guider.num_conditions == 2)
            assert [index in interval.guided(count) for index in range(count)] == guided
            assert page == guided, (start, stop, count)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "predictions"), [("heun", 39), ("dpmpp_sde", 39), ("pndm", 21), ("euler", 20)]
)
def test_schedulers_that_predict_more_often_are_why_predictions_are_counted(scheduler, predictions):
    """diffusers' guiders compare a prediction's number with the steps: their end is unguided."""
    checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK)
    made = build_scheduler(checkpoint.scheduler, scheduler)
    made.set_timesteps(20)
    assert len(made.timesteps) == predictions
    guider = ClassifierFreeGuidance()
    guided = []
    for index, timestep in enumerate(made.timesteps):
        guider.set_state(step=index, num_inference_steps=20, timestep=timestep)
        guided.append(guider.num_conditions == 2)
    assert guided == [True] * 20 + [False] * (predictions - 20)
    assert list(GuidanceInterval().guided(predictions)) == list(range(predictions))


@pytest.mark.parametrize(
    "values",
    [(0.6, 0.5), (-0.1, 0.5), (0.2, 1.1), (1.0, 1.0), (float("nan"), 1), (0, float("nan"))],
)
def test_no_interval_is_refused(values):
    with pytest.raises(UsageError) as raised:
        GuidanceInterval(*values)
    assert str(raised.value) == f"guidance starts at {values[0]} and stops at {values[1]}"
    assert "shares of the steps" in raised.value.hint
    with pytest.raises(ValueError, match="Expected `sto?[ap]r?t?p?`"):
        ClassifierFreeGuidance(start=values[0], stop=values[1])


def load(family):
    """Return a checkpoint of random weights, and diffusers' pipeline of it."""
    checkpoint = open_checkpoint(random_checkpoint(family, 0), family)
    return checkpoint, load_pipeline(checkpoint)


@pytest.fixture(
    scope="module",
    params=[SPECK, pytest.param(SPECK_XL, marks=pytest.mark.exhaustive)],
    ids=lambda family: family.name,
)
def model(request):
    return load(request.param)


@pytest.fixture(scope="module")
def grain():
    return load(GRAIN)


REQUEST = GenerationRequest("a star", "blue", steps=5, guidance_scale=6.0, seed=1)


def by_guider(checkpoint, pipeline, request):
    """Draw a request's latents with diffusers' modules, scheduler and guider; count predictions."""
    family = checkpoint.family
    scheduler = build_scheduler(checkpoint.scheduler, request.scheduler)
    begin_at_first_step(scheduler)
    scheduler.set_timesteps(request.steps)
    interval = request.guidance_interval
    guider = ClassifierFreeGuidance(
        guidance_scale=request.guidance_scale,
        guidance_rescale=request.guidance_rescale,
        start=interval.start,
        stop=interval.stop,
    )
    is_flow = hasattr(pipeline, "transformer")
    arguments = (
        {"prompt_2": None, "prompt_3": None, **family.architecture.call_options(family)}
        if is_flow
        else {}
    )
    encoded = pipeline.encode_prompt(
        request.prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
        negative_prompt=request.negative_prompt, **arguments,
    )  # fmt: skip
    width, height = family.sizes[0]
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
    calls = 0

    def predict(sample, timestep, side):
        nonlocal calls
        calls += 1
        if is_flow:
            text, pooled = encoded[side], encoded[2 + side]
            return pipeline.transformer(sample, text, pooled, timestep[None]).sample
        added = {"text_embeds": encoded[2 + side], "time_ids": sizes} if len(encoded) > 2 else None
        return pipeline.unet(sample, timestep, encoded[side], added_cond_kwargs=added).sample

    noise = torch.Generator().manual_seed(request.seed)
    latents = torch.randn(family.latent_space.shape((width, height)), generator=noise)
    # Schedulers of flow matching scale neither the noise nor what the transformer takes.
    latents = latents * (1 if is_flow else scheduler.init_noise_sigma)
    count = len(scheduler.timesteps)
    with torch.no_grad():
        for index, timestep in enumerate(scheduler.timesteps):
            guider.set_state(step=index, num_inference_steps=count, timestep=timestep)
            sample = latents if is_flow else scheduler.scale_model_input(latents, timestep)
            prompted = predict(sample, timestep, 0)
            without = predict(sample, timestep, 1) if guider.num_conditions == 2 else None
            guided = guider.forward(prompted, without).pred
            latents = scheduler.step(guided, timestep, latents).prev_sample
    return latents.numpy().ravel(), calls, count


SHARES_OF_TESTS = [(0.0, 1.0), (0.2, 0.8), (0.0, 0.5), (0.5, 0.5)]


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["euler", "heun", "pndm", "dpmpp_2m", "ddim"])
@pytest.mark.parametrize("shares", SHARES_OF_TESTS, ids=str)
def test_the_reference_is_diffusers_guider(model, scheduler, shares):
    compare_with_guider(*model, scheduler, shares)


@pytest.mark.full
def test_the_reference_of_sdxl_is_diffusers_guider():
    """Of one scheduler and interval; the others are exhaustive."""
    compare_with_guider(*load(SPECK_XL), "euler", (0.2, 0.8))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["flow_euler", "flow_heun"])
@pytest.mark.parametrize("shares", SHARES_OF_TESTS, ids=str)
def test_the_reference_of_sd35_is_diffusers_guider(grain, scheduler, shares):
    compare_with_guider(*grain, scheduler, shares)


def compare_with_guider(checkpoint, pipeline, scheduler, shares):
    """Compare the reference's latents with those of a loop around diffusers' guider."""
    rescales = (0.0, 0.7) if checkpoint.family is SPECK_XL else (0.0,)
    for rescale in rescales:
        wanted = replace(
            REQUEST,
            scheduler=scheduler,
            guidance_rescale=rescale,
            guidance_interval=GuidanceInterval(*shares),
        )
        expected, calls, count = by_guider(checkpoint, pipeline, wanted)
        assert calls == count + len(wanted.guidance_interval.guided(count))
        _, latents = draw_reference(checkpoint, pipeline, wanted, Quiet())
        np.testing.assert_allclose(latents, expected, rtol=1e-4, atol=1e-4)
        _, plain = draw_reference(
            checkpoint, pipeline, replace(wanted, guidance_interval=GuidanceInterval()), Quiet()
        )
        assert (np.abs(latents - plain).max() > 1e-2) == (shares != (0.0, 1.0))


@pytest.mark.slow
def test_without_guidance_the_interval_changes_nothing(model):
    checkpoint, pipeline = model
    unguided = replace(REQUEST, guidance_scale=1.0)
    never = GuidanceInterval(0.3, 0.3)
    drawn = [
        draw_reference(checkpoint, pipeline, each, Quiet())[1]
        for each in (
            unguided,
            replace(unguided, guidance_interval=GuidanceInterval(0.2, 0.8)),
            replace(REQUEST, guidance_interval=never),
        )
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    # It has the prompt's prediction out of a batch of two.
    np.testing.assert_allclose(drawn[2], drawn[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_with_a_picture_the_steps_that_are_run_count(model):
    """Of four steps the last two are run, and the first of those is guided."""
    checkpoint, pipeline = model
    width, height = checkpoint.family.sizes[0]
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    picture = GivenPicture(pixels, 0.5)

    def drawn(start, stop):
        interval = GuidanceInterval(start, stop)
        wanted = replace(REQUEST, steps=4, guidance_interval=interval, scheduler="euler")
        return draw_reference(checkpoint, pipeline, wanted, Quiet(), picture=picture)[1]

    half = drawn(0.0, 0.5)
    np.testing.assert_array_equal(half, drawn(0.0, 0.9))
    for other in (drawn(0.0, 1.0), drawn(0.0, 0.4), drawn(0.5, 1.0)):
        assert np.abs(other - half).max() > 1e-3


@pytest.mark.slow
def test_each_picture_of_a_call_has_the_interval(model):
    checkpoint, pipeline = model
    wanted = replace(REQUEST, scheduler="euler", guidance_interval=GuidanceInterval(0.2, 0.8))
    _, one = draw_reference(checkpoint, pipeline, wanted, Quiet())
    _, two = draw_reference(checkpoint, pipeline, replace(wanted, images=2), Quiet())
    np.testing.assert_allclose(two[: len(one)], one, rtol=1e-4, atol=1e-4)
    assert np.abs(two[len(one) :] - one).max() > 1e-2


@pytest.mark.slow
def test_skip_layer_guidance_is_a_part_of_guidance(grain):
    """Outside of the interval the prediction with the prompt is taken alone.

    That is what diffusers' pipeline has for a guidance scale of 1. Its guider goes on there.
    """
    checkpoint, pipeline = grain

    def drawn(interval, skip):
        wanted = GenerationRequest("a star", "blue", steps=4, seed=1, skip_layers=skip,
                                   guidance_interval=interval)  # fmt: skip
        return draw_reference(checkpoint, pipeline, wanted, Quiet())[1]

    early, late = GuidanceInterval(0.0, 0.5), GuidanceInterval(0.5, 1.0)
    # It guides the predictions 1 and 2, of which the one is early and the other late.
    skip = SkipLayerGuidance((0, 1), 2.0, 0.0, 0.75)
    first, second = replace(skip, stop=0.5), replace(skip, start=0.3)
    np.testing.assert_allclose(drawn(early, skip), drawn(early, first), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(drawn(late, skip), drawn(late, second), rtol=1e-5, atol=1e-5)
    assert np.abs(drawn(late, skip) - drawn(late, None)).max() > 1e-3
    assert np.abs(drawn(early, skip) - drawn(early, None)).max() > 1e-3


@pytest.mark.parametrize(
    ("interval", "skip", "said"),
    [
        ((0.2, 1.0), (0.01, 0.2), "is from 0.01 to 0.2 of the steps, and guidance from 0.2 to 1.0"),
        ((0.0, 0.1), (0.1, 0.2), "is from 0.1 to 0.2 of the steps, and guidance from 0.0 to 0.1"),
        ((0.1, 0.1), (0.1, 0.2), "guidance from 0.1 to 0.1"),
    ],
)
def test_skip_layer_guidance_beside_the_interval_is_refused(interval, skip, said):
    """It would have no effect, which nobody would see."""
    wanted = {"prompt": "a", "skip_layers": SkipLayerGuidance((7,), 2.8, *skip)}
    with pytest.raises(UsageError, match="skip-layer guidance is from") as raised:
        GenerationRequest(**wanted, guidance_interval=GuidanceInterval(*interval))
    assert said in str(raised.value)
    assert "overlap" in raised.value.hint
    GenerationRequest(**wanted, guidance_interval=GuidanceInterval(0.05, 0.15))


def test_a_model_that_guides_itself_takes_none():
    wanted = replace(REQUEST, guidance_interval=GuidanceInterval(0.0, 0.5))
    known = {"has_picture": False, "max_clip_skip": 0, "prompt_chunks": 1, "blocks": 0}
    inputs = ("latents", "timestep_cond")
    with pytest.raises(UsageError, match="lcm guides itself, and takes no guidance start"):
        check_conditioning(wanted, "lcm", 1, "encode", inputs=inputs, **known)
    check_conditioning(wanted, "other", 1, "encode", inputs=("latents",), **known)
    check_conditioning(REQUEST, "lcm", 1, "encode", inputs=inputs, **known)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--guidance-start", 0.6, "--guidance-stop", 0.5), "starts at 0.6 and stops at 0.5"),
        (("--guidance-stop", "nan"), "starts at 0.0 and stops at nan"),
        (("--guidance-start", -1), "starts at -1.0"),
        (("--guidance-stop", "half"), "'half' is not a valid float"),
    ],
)
def test_the_command_refuses_what_is_no_interval(options, said, tmp_path, capsys):
    out = tmp_path / "out.png"
    code, _ = wsd("reference", "--model", "speck", "--prompt", "a", *options, "--out", out)
    assert code == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert said in message
    assert hint.startswith("hint: ")
    assert not out.exists()
