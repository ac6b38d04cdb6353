"""The browser's schedulers of flow matching against diffusers', with a known denoiser."""

import dataclasses

import numpy as np
import pytest
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

from scheduling import Begin, by_diffusers, float32_noise, follow  # noqa: F401
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.error_growth import weigh_predictions
from wsd.models.schedule_options import ScheduleOptions, compose_denoising
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    default_scheduler,
    describe_noise_schedule,
    describe_scheduler,
    describe_schedulers,
    dynamic_shift,
    max_steps,
    min_steps,
)
from wsd.spec.manifest import NoiseSchedule, SchedulerConfig

EULER, HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
# As stabilityai/stable-diffusion-3.5-medium has it.
PUBLISHED = {"_class_name": EULER, "num_train_timesteps": 1000, "shift": 3.0}
DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
SHIFTS = (1.0, 3.0, 6.0, 0.3)
COUNTS = (1, 2, 3, 5, 14, 28, 50, 100)
NAMES = [name for name, known in SCHEDULERS.items() if known.kind == "flow"]
# Options of a checkpoint's own scheduler, and the tokens of a picture.
OPTIONS = [
    ({"use_karras_sigmas": True}, 0),
    ({"use_karras_sigmas": True, "sigma_min": 0.01, "sigma_max": 0.9}, 0),
    ({"use_exponential_sigmas": True}, 0),
    ({"use_beta_sigmas": True}, 0),
    ({"stochastic_sampling": True}, 0),
    ({"shift_terminal": 0.02}, 0),
    ({"shift_terminal": 0.1, "use_beta_sigmas": True, "stochastic_sampling": True}, 0),
    ({"num_train_timesteps": 300, "shift": 1.7}, 0),
    (DYNAMIC, 256),
    (DYNAMIC, 4096),
    (DYNAMIC, 8100),
    ({**DYNAMIC, "time_shift_type": "linear"}, 1024),
    ({**DYNAMIC, "shift_terminal": 0.02, "use_exponential_sigmas": True}, 1024),
    ({**DYNAMIC, "base_shift": 0.9, "max_shift": 0.2, "base_image_seq_len": 100}, 1024),
]


def offered(name):
    return SCHEDULERS[name].offered


def assert_same(found, expected):
    """Compare (timesteps, latents)."""
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6, atol=1e-5)
    assert np.isfinite(expected[1]).all()
    assert np.linalg.norm(found[1] - expected[1]) < 1e-5 * np.linalg.norm(expected[1])


def compare(javascript, config, name, count, begin=None, tokens=0):
    """Compare a trajectory of a model's scheduler with diffusers'."""
    noise = describe_noise_schedule(config, name)
    described = describe_scheduler(config, name, noise.alphas_cumprod)
    # What is written is what is read.
    noise = NoiseSchedule.model_validate_json(noise.model_dump_json())
    described = SchedulerConfig.model_validate_json(described.model_dump_json())
    scheduler = build_scheduler(config, name)
    expected = by_diffusers(scheduler, count, 0.0, begin=begin, tokens=tokens)
    assert_same(
        follow(javascript, noise, described, count, 0.0, begin=begin, tokens=tokens), expected
    )


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize(
    ("name", "shift"),
    [
        pytest.param(name, shift, marks=() if offered(name) and shift == 3 else pytest.mark.full)
        for name in NAMES
        for shift in SHIFTS
    ],
)
def test_trajectory_equals_diffusers(javascript, name, shift):
    for count in COUNTS:
        compare(javascript, {**PUBLISHED, "shift": shift}, name, count)


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if offered(n) else pytest.mark.full) for n in NAMES]
)
def test_trajectory_that_begins_with_a_picture(javascript, name, masked):
    for strength in (0.05, 0.3, 0.75, 1.0):
        for count in (4, 7, 20):
            if int(count * strength) > 0:
                compare(javascript, PUBLISHED, name, count, Begin(strength, masked))


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize(("options", "tokens"), OPTIONS, ids=str)
def test_a_checkpoints_own_options(javascript, options, tokens):
    config = {**PUBLISHED, **options}
    name = default_scheduler(config)
    least = min_steps(build_scheduler(config))
    for count in (1, 2, 3, 5, 20):
        if count >= least:
            compare(javascript, config, name, count, tokens=tokens)
    compare(javascript, config, name, 10, Begin(0.6, masked=True), tokens)


@pytest.mark.parametrize("tokens", [256, 1024, 4096, 8100])
def test_the_shift_is_that_of_diffusers_pipelines(tokens):
    scheduler = build_scheduler({**PUBLISHED, **DYNAMIC})
    keys = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    expected = calculate_shift(tokens, *(scheduler.config[key] for key in keys))
    assert dynamic_shift(scheduler, tokens) == {"mu": expected}
    assert dynamic_shift(build_scheduler(PUBLISHED), tokens) == {}


def test_one_noise_level_is_not_stretched():
    scheduler = build_scheduler({**PUBLISHED, "shift_terminal": 0.1})
    assert min_steps(scheduler) == 2
    with np.errstate(divide="ignore", invalid="ignore"):
        scheduler.set_timesteps(1)
    assert not np.isfinite(scheduler.sigmas.numpy()).all()
    assert min_steps(build_scheduler({**PUBLISHED, "shift_terminal": 0.0})) == 1


@pytest.mark.slow
def test_what_a_manifest_says():
    noise = describe_noise_schedule(PUBLISHED)
    assert noise.model_dump() == {
        "kind": "flow",
        "prediction_type": "flow_prediction",
        "num_train_timesteps": 1000,
        "alphas_cumprod": (),
    }
    described = describe_schedulers(PUBLISHED)
    assert described.default == "flow_euler"
    assert list(described.available) == ["flow_euler", "flow_heun"]
    for entry in described.available.values():
        written = entry.model_dump(mode="json")["flow"]
        assert written == {
            "sigma_min": pytest.approx(0.003 / 1.002),
            "sigma_max": 1.0,
            "shift": 3.0,
            "stochastic": False,
        }
        assert entry.max_steps == max_steps(build_scheduler(PUBLISHED)) == 100
    chosen = describe_schedulers(PUBLISHED, "flow_euler_beta")
    assert chosen.default == "flow_euler_beta"
    assert chosen.available["flow_euler_beta"].use_beta_sigmas
    assert not chosen.available["flow_euler"].use_beta_sigmas
    # The class without a shift by size would draw with noise levels that are not the model's.
    assert list(describe_schedulers({**PUBLISHED, **DYNAMIC}).available) == ["flow_euler"]


@pytest.mark.parametrize(
    ("kind", "prediction", "alphas"),
    [("flow", "flow_prediction", 1), ("flow", "epsilon", 0), ("discrete", "epsilon", 0)],
)
def test_a_manifest_that_contradicts_itself_is_refused(kind, prediction, alphas):
    with pytest.raises(ValueError, match=f"kind is {kind}"):
        NoiseSchedule(
            kind=kind,
            prediction_type=prediction,
            num_train_timesteps=1000,
            alphas_cumprod=(0.5,) * alphas,
        )


REFUSED = [
    ({"shift": 0.0}, "shift=0.0 of "),
    ({"shift": "3"}, "shift='3' of "),
    ({"shift": float("nan")}, "shift=nan of "),
    ({"invert_sigmas": True}, "invert_sigmas=True of "),
    ({"shift_terminal": 1.0}, "shift_terminal=1.0 of "),
    ({"time_shift_type": "cubic"}, "time_shift_type='cubic' of "),
    ({**DYNAMIC, "base_shift": None}, "base_shift=None of "),
    ({**DYNAMIC, "max_image_seq_len": 256}, "base_image_seq_len and max_.* are both 256"),
    ({"use_karras_sigmas": True, "use_beta_sigmas": True}, "exclude each other"),
    ({"num_train_timesteps": 10**9}, "num_train_timesteps=1000000000 of "),
    ({"a_key_of_tomorrow": 3}, "a_key_of_tomorrow=3 of "),
    ({**DYNAMIC, "_class_name": HEUN}, "use_dynamic_shifting=True: FlowMatchHeun.* no such option"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_what_the_browser_cannot_follow_is_refused_by_name(options, message):
    with pytest.raises(CheckpointError, match=message) as raised:
        describe_schedulers({**PUBLISHED, **options})
    assert raised.value.hint


def compose(family, own, **options):
    return compose_denoising(family, own, frozenset(), ScheduleOptions(**options), "a checkpoint")


@pytest.mark.slow
def test_a_checkpoint_of_another_kind_than_its_family_is_refused(family):
    with pytest.raises(CheckpointError, match="not the kind of noise schedule of tiny") as raised:
        compose(family, PUBLISHED)
    assert "--scheduler: dpmpp_2m, " in raised.value.hint
    # The family's own noise schedule holds where somebody names a scheduler.
    chosen = compose(family, PUBLISHED, scheduler="euler")
    assert chosen.scheduler["beta_end"] == family.scheduler["beta_end"]
    assert "its own scheduler is FlowMatchEuler" in chosen.notes[-1]
    flow = dataclasses.replace(family, scheduler=PUBLISHED)
    with pytest.raises(CheckpointError, match="scheduler is EulerDiscrete") as raised:
        compose(flow, {"_class_name": "EulerDiscreteScheduler"})
    assert raised.value.hint.endswith("--scheduler: flow_euler, flow_heun")
    chosen = compose(flow, {"_class_name": "Unknown"}, scheduler="flow_heun")
    assert build_scheduler(chosen.scheduler, "flow_heun").config.shift == 3.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "said", [{"prediction_type": "v_prediction"}, {"timestep_spacing": "trailing"}], ids=str
)
@pytest.mark.parametrize("own", [None, PUBLISHED], ids=["family", "checkpoint"])
def test_what_flow_matching_does_not_have_cannot_be_said(family, own, said):
    flow = dataclasses.replace(family, scheduler=PUBLISHED)
    with pytest.raises(UsageError, match=f"FlowMatchEuler.* has no {next(iter(said))}") as raised:
        compose(flow, own, **said)
    assert "leave --" in raised.value.hint
    compose(flow, own)


@pytest.mark.slow
@pytest.mark.parametrize("run", [None, 7])
@pytest.mark.parametrize(("options", "tokens"), [({}, 0), (DYNAMIC, 1024)], ids=["", "dynamic"])
def test_the_weight_of_eulers_method(run, options, tokens):
    """By hand: the flow is (2 level - 1) / ((1 - level)^2 + level^2) times the latents."""
    config = {**PUBLISHED, **options}
    scheduler = build_scheduler(config)
    scheduler.set_timesteps(20, **dynamic_shift(scheduler, tokens))
    levels = scheduler.sigmas.double().numpy()[20 - (run or 20) :]
    changes, before = np.diff(levels), levels[:-1]
    kept = 1 + changes * (2 * before - 1) / ((1 - before) ** 2 + before**2)
    weights = [change * np.prod(kept[i + 1 :]) for i, change in enumerate(changes)]
    found = weigh_predictions(config, None, 20, 0.0, run, tokens)
    assert found == pytest.approx(np.linalg.norm(weights), 1e-4)
