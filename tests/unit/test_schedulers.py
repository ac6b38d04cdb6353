"""The browser's scheduler steps against diffusers' schedulers, with a known denoiser."""

import random
from zlib import crc32

import diffusers
import numpy as np
import pytest
import scipy.stats
import torch

from scheduling import (  # noqa: F401
    DISCRETE,
    Begin,
    by_browser,
    by_diffusers,
    configure,
    float32_noise,
    follow,
)
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.diffusers_reference import begin_at_first_step
from wsd.models.scheduler_rules import RULES, defaults_of
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    correct_config,
    default_scheduler,
    describe_noise_schedule,
    describe_scheduler,
    describe_schedulers,
    max_steps,
    min_steps,
    select_scheduler,
)

NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
OFFERED = [name for name, scheduler in DISCRETE.items() if scheduler.offered]


def full_unless(condition, *values):
    """Return a parameter of every run if a condition holds, else of one that takes longer.

    A digest of the values chooses one of 32 for the full run; the exhaustive one has the others.
    """
    chosen = crc32(repr(values).encode()) % 32 == 0
    seldom = pytest.mark.full if chosen else pytest.mark.exhaustive
    return pytest.param(*values, marks=() if condition else seldom)


def assert_same(found, expected):
    """Compare (timesteps, latents).

    numpy's and torch's float32 logarithms and powers differ from exact ones in the last bit.
    """
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6, atol=1e-5)
    assert np.isfinite(expected[1]).all()
    assert np.linalg.norm(found[1] - expected[1]) < 1e-5 * np.linalg.norm(expected[1])


def describe_own(config):
    """Return what the manifest says of the noise and of the configuration's own scheduler."""
    noise = describe_noise_schedule(config)
    return noise, describe_scheduler(config, default_scheduler(config), noise.alphas_cumprod)


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize(
    ("name", "prediction", "count"),
    [
        full_unless(
            scheduler.offered and (count == 5 or (prediction == "epsilon" and count in (1, 2))),
            name,
            prediction,
            count,
        )
        for name, scheduler in DISCRETE.items()
        for prediction in scheduler.predictions
        for count in (1, 2, 3, 5, 14, 15, 20, 50, 100)
    ],
)
def test_trajectory_equals_diffusers(javascript, family, name, count, prediction):
    if prediction == "flow_prediction":
        # The model's own scheduler must have noise levels of flow matching too.
        family = configure(family, **select_scheduler(family.scheduler, name))
    family = configure(family, prediction_type=prediction)
    scheduler = build_scheduler(family.scheduler, name)
    count = min(count, max_steps(scheduler))
    eta = 0.7 if count == 5 else 0.0
    expected = by_diffusers(scheduler, count, eta)
    assert_same(by_browser(javascript, family, name, count, eta), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize(
    ("name", "strength", "count"),
    [
        full_unless(scheduler.offered and count == 7 and strength == 0.75, name, strength, count)
        for name, scheduler in DISCRETE.items()
        for count in (1, 4, 7, 20)
        for strength in (0.05, 0.3, 0.75, 1.0)
        if int(count * strength) > 0
    ],
)
def test_trajectory_that_begins_with_a_picture(javascript, family, name, strength, count, masked):
    if "flow_prediction" in SCHEDULERS[name].predictions:
        family = configure(family, **select_scheduler(family.scheduler, name))
        family = configure(family, prediction_type="flow_prediction")
    scheduler = build_scheduler(family.scheduler, name)
    count = min(count, max_steps(scheduler))
    begin = Begin(strength, masked)
    expected = by_diffusers(scheduler, count, 0.7, begin=begin)
    assert_same(by_browser(javascript, family, name, count, 0.7, begin=begin), expected)


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize(
    ("name", "count"),
    # With 61 steps of trailing spacing rounding gives numpy a timestep too many.
    [
        full_unless(count == 7 and number % 2 == 0, name, count)
        for number, name in enumerate(OFFERED)
        for count in (1, 4, 7, 30, 61)
    ],
)
def test_every_spacing(javascript, family, name, count, spacing):
    family = configure(family, timestep_spacing=spacing)
    scheduler = build_scheduler(family.scheduler, name)
    count = min(count, max_steps(scheduler))
    expected = by_diffusers(scheduler, count, 0.0)
    assert_same(by_browser(javascript, family, name, count, 0.0), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        full_unless(count == 5 and name.endswith("beta"), name, count)
        for name, scheduler in DISCRETE.items()
        if not scheduler.offered
        for count in (3, 5, 20)
    ],
)
def test_spacings_that_only_a_name_or_a_checkpoint_asks_for(javascript, family, name, count):
    scheduler = build_scheduler(family.scheduler, name)
    expected = by_diffusers(scheduler, count, 0.0)
    assert_same(by_browser(javascript, family, name, count, 0.0), expected)


MULTISTEP, UNIPC, DEIS = (
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
)
EULER, ANCESTRAL, DDIM = (
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DDIMScheduler",
)
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
# Configurations of a checkpoint's own scheduler, with diffusers' defaults for the rest.
OPTIONS = [
    (MULTISTEP, {"solver_order": 1}),
    (MULTISTEP, {"solver_order": 3}),
    (MULTISTEP, {"solver_order": 3, "lower_order_final": False, "use_karras_sigmas": True}),
    (MULTISTEP, {"solver_type": "heun"}),
    (MULTISTEP, {"solver_type": "heun", "algorithm_type": "sde-dpmsolver++"}),
    (MULTISTEP, {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"}),
    (MULTISTEP, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    (
        MULTISTEP,
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3},
    ),
    (
        MULTISTEP,
        {
            "algorithm_type": "sde-dpmsolver",
            "final_sigmas_type": "sigma_min",
            "solver_type": "heun",
        },
    ),
    (MULTISTEP, {"euler_at_final": True, "final_sigmas_type": "sigma_min"}),
    (MULTISTEP, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
    (MULTISTEP, {"lambda_min_clipped": -3.0, "timestep_spacing": "leading"}),
    (MULTISTEP, {"lambda_min_clipped": -3.0, "timestep_spacing": "trailing"}),
    (MULTISTEP, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}),
    (MULTISTEP, {"beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}),
    (MULTISTEP, {"use_lu_lambdas": True}),
    (MULTISTEP, {"use_beta_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.0}),
    (MULTISTEP, {**FLOW, "flow_shift": 3.0}),
    (MULTISTEP, {**FLOW, "algorithm_type": "sde-dpmsolver++"}),
    (MULTISTEP, {**ZERO_SNR, "timestep_spacing": "trailing"}),
    (MULTISTEP, {**ZERO_SNR, "use_karras_sigmas": True}),
    (MULTISTEP, {"trained_betas": np.linspace(0.001, 0.02, 1000).tolist()}),
    (UNIPC, {"solver_order": 1}),
    (UNIPC, {"solver_order": 3}),
    (UNIPC, {"solver_order": 3, "use_karras_sigmas": True}),
    (UNIPC, {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    (UNIPC, {"predict_x0": False, "final_sigmas_type": "sigma_min", "solver_order": 3}),
    (UNIPC, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
    (UNIPC, {"disable_corrector": [0, 1]}),
    (UNIPC, {"use_exponential_sigmas": True, "final_sigmas_type": "sigma_min"}),
    (UNIPC, {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 12.0}),
    (UNIPC, {**FLOW, "flow_shift": 5.0}),
    (UNIPC, {**FLOW, "final_sigmas_type": "sigma_min"}),
    (UNIPC, {**ZERO_SNR, "timestep_spacing": "trailing"}),
    (DEIS, {"solver_order": 1}),
    (DEIS, {"solver_order": 3}),
    (DEIS, {"solver_order": 3, "lower_order_final": False, "use_beta_sigmas": True}),
    (DEIS, {"solver_type": "bh2", "algorithm_type": "dpmsolver++"}),
    (DEIS, {**FLOW, "flow_shift": 0.5}),
    (DEIS, {"use_flow_sigmas": True, "prediction_type": "v_prediction"}),
    (EULER, {"interpolation_type": "log_linear"}),
    (EULER, {"interpolation_type": "log_linear", "use_karras_sigmas": True}),
    (EULER, {"timestep_type": "continuous", "prediction_type": "v_prediction"}),
    (EULER, {"timestep_type": "continuous"}),
    (EULER, {"use_karras_sigmas": True, "sigma_min": 0.002, "sigma_max": 80.0}),
    (EULER, {"final_sigmas_type": "sigma_min"}),
    (EULER, {**ZERO_SNR, "timestep_spacing": "trailing"}),
    (EULER, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
    (ANCESTRAL, {**ZERO_SNR, "timestep_spacing": "trailing"}),
    (DDIM, {**ZERO_SNR, "timestep_spacing": "trailing", "clip_sample": False}),
    (DDIM, {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}),
    (DDIM, {"clip_sample": False, "prediction_type": "sample"}),
    # diffusers reads this option of another class for all spacings but these two's Karras.
    ("HeunDiscreteScheduler", {"use_karras_sigmas": True, "sigma_max": 10.0}),
    ("LMSDiscreteScheduler", {"use_karras_sigmas": True, "sigma_max": 10.0}),
    ("LMSDiscreteScheduler", {"use_exponential_sigmas": True, "sigma_max": 10.0}),
    ("DPMSolverSDEScheduler", {"use_karras_sigmas": True, "sigma_min": 0.1}),
]


@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize(("class_name", "options"), OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("count", "begin"),
    [
        *(full_unless(n == 5, n, None) for n in (1, 2, 3, 5, 20)),
        *(full_unless(False, n, Begin(0.7, masked=True)) for n in (5, 20)),
    ],
)
def test_a_checkpoints_own_options(javascript, class_name, options, count, begin):
    config = {**NOISE, **options}
    scheduler = getattr(diffusers, class_name).from_config(config)
    noise, described = describe_own({"_class_name": class_name, **config})
    expected = by_diffusers(scheduler, count, 0.0, begin=begin)
    assert_same(follow(javascript, noise, described, count, 0.0, begin=begin), expected)


def test_the_beta_distribution_equals_scipys(javascript):
    shares = [*np.linspace(0, 1, 101), 1e-9, 1e-5, 1 - 1e-7]
    for shape in (0.6, 0.3, 0.9):
        found = javascript({"call": "betaQuantile", "shares": shares, "shape": shape})
        expected = scipy.stats.beta.ppf(shares, shape, shape)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


NAMES = [
    ({"_class_name": EULER, "use_karras_sigmas": True}, "euler_karras"),
    ({"_class_name": EULER}, "euler"),
    ({"_class_name": EULER, "use_beta_sigmas": True}, "euler_beta"),
    ({"_class_name": MULTISTEP, "use_exponential_sigmas": True}, "dpmpp_2m_exponential"),
    ({"_class_name": MULTISTEP, "algorithm_type": "sde-dpmsolver++"}, "dpmpp_2m_sde"),
    ({"_class_name": MULTISTEP, "algorithm_type": "deis"}, "dpmpp_2m"),
    ({"_class_name": MULTISTEP, "use_lu_lambdas": True}, "dpmpp_2m_lu"),
    ({"_class_name": UNIPC, "use_flow_sigmas": True}, "unipc_flow"),
    ({"_class_name": DEIS}, "deis"),
]


@pytest.mark.parametrize(("config", "name"), NAMES, ids=str)
def test_a_configuration_means_a_name(config, name):
    assert default_scheduler({**NOISE, **config}) == name


REFUSED = [
    ({"prediction_type": "original_sample"}, "prediction_type='original_sample' of "),
    ({"algorithm_type": "magic"}, r"algorithm_type='magic' of DPM"),
    ({"thresholding": True}, "thresholding=True of "),
    ({"solver_order": 4}, "solver_order=4 of "),
    ({"solver_order": 10**9}, "solver_order=1000000000 of "),
    ({"solver_order": True}, "solver_order=True of "),
    ({"num_train_timesteps": 10**12}, "num_train_timesteps=1000000000000 of "),
    ({"num_train_timesteps": "1000"}, "num_train_timesteps='1000' of "),
    ({"beta_start": float("nan")}, "beta_start=nan of "),
    ({"beta_schedule": "cosine"}, "beta_schedule='cosine' of "),
    ({"trained_betas": [0.1, 0.2]}, "2 trained_betas give no noise schedule of 1000"),
    ({"use_dynamic_shifting": True}, "use_dynamic_shifting=True of "),
    ({"beta_start": 0.0, "beta_end": 0.0}, "the noise schedule adds no noise"),
    ({"trained_betas": [0.0] * 1000, "_class_name": EULER}, "the noise schedule adds no noise"),
    ({"variance_type": "learned_range"}, "variance_type='learned_range' of "),
    (
        {"use_karras_sigmas": True, "use_flow_sigmas": True},
        "use_karras_sigmas=True and use_flow_sigmas=True exclude",
    ),
    ({"prediction_type": "flow_prediction"}, "prediction_type='flow_prediction' of "),
    (
        {**FLOW, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        "prediction_type='flow_prediction' of .* is not supported",
    ),
    (
        {"use_flow_sigmas": True, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        "algorithm_type='dpmsolver' and use_flow_sigmas=True of .* enlarge rounding",
    ),
    ({"algorithm_type": "dpmsolver"}, "DPMSolverMultistepScheduler of diffusers refuses"),
    ({"use_karras_sigmas": None}, "use_karras_sigmas=None of "),
    ({"lower_order_final": None}, "lower_order_final=None of "),
    ({"timestep_spacing": None}, "timestep_spacing=None of "),
    ({"_class_name": DDIM, "clip_sample": False, "set_alpha_to_one": None}, "to_one=None of "),
    ({"a_key_of_tomorrow": 3}, "a_key_of_tomorrow=3 of "),
    ({"_class_name": DEIS, "rescale_betas_zero_snr": True}, "zero_snr=True: DEIS.* no such option"),
    ({"_class_name": DDIM}, r"clip_sample=True \(the default\) of DDIM"),
    (
        {"_class_name": DDIM, "clip_sample": False, "rescale_betas_zero_snr": True,
         "timestep_spacing": "trailing"},
        "rescale_betas_zero_snr=True of DDIMScheduler is not supported with prediction_type",
    ),
    (
        {"_class_name": UNIPC, "solver_type": "bh1"},
        "solver_type='bh1' and final_sigmas_type='zero' of UniPC",
    ),
    ({"_class_name": UNIPC, "shift_terminal": 0.1, "use_flow_sigmas": True}, "shift_terminal=0.1"),
    ({"_class_name": "EDMEulerScheduler"}, "scheduler class EDMEulerScheduler is not supported"),
    ({"_class_name": None}, "scheduler class None is not supported"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_what_the_browser_cannot_follow_is_refused_by_name(options, message):
    with pytest.raises(CheckpointError, match=message) as raised:
        describe_schedulers({"_class_name": MULTISTEP, **NOISE, **options})
    assert "--scheduler" in (raised.value.hint or "") or "exclude" in message or raised.value.hint


@pytest.mark.parametrize(
    ("options", "helps", "does_not"),
    [
        # Every class has these keys, so no other one takes the value.
        ({"beta_start": float("nan")}, "a number from 0", "--scheduler"),
        ({"prediction_type": "x0"}, "--prediction-type", "--scheduler"),
        ({"a_key_of_tomorrow": 3}, "delete it", "--scheduler"),
        # Euler's method has no thresholding, and ignores it.
        ({"thresholding": True}, "--scheduler", "--prediction-type"),
        ({"prediction_type": "sample", "_class_name": ANCESTRAL}, "--scheduler", "--zero-snr"),
    ],
    ids=str,
)
def test_a_hint_names_what_helps(options, helps, does_not):
    with pytest.raises(CheckpointError) as raised:
        describe_schedulers({"_class_name": MULTISTEP, **NOISE, **options})
    assert helps in raised.value.hint
    assert does_not not in raised.value.hint


@pytest.mark.slow
def test_the_variance_of_ddpm_changes_nothing_elsewhere():
    """It is a key of DPM-Solver too, for UNets that predict their variance."""
    config = {"_class_name": "DDPMScheduler", **NOISE, "clip_sample": False}
    config["variance_type"] = "fixed_small"
    assert "dpmpp_2m" in describe_schedulers(config).available


HARMLESS = [
    {"tensor_format": "pt"},
    {"timestep_values": None},
    {"trained_betas": None, "sigma_min": None, "variance_type": None, "solver_p": None},
    {"a_switch_of_tomorrow": False},
    {"skip_prk_steps": True, "set_alpha_to_one": False, "clip_sample": True},
    {"interpolation_type": "log_linear"},
    {"_diffusers_version": "0.99.0"},
    {"sample_max_value": 3.0, "dynamic_thresholding_ratio": 0.5},
    {"solver_type": "bh2"},
]


@pytest.mark.parametrize("options", HARMLESS, ids=str)
def test_what_changes_nothing_is_taken(options):
    config = {"_class_name": MULTISTEP, **NOISE}
    assert describe_own({**config, **options}) == describe_own(config)


def test_unknown_names_are_refused(family):
    with pytest.raises(UsageError, match="unknown scheduler 'magic'"):
        build_scheduler(family.scheduler, "magic")


@pytest.mark.slow
def test_a_checkpoint_of_an_unknown_class_is_built_with_a_named_scheduler():
    """All that the named class understands carries over, as in diffusers."""
    config = {**NOISE, "_class_name": "EDMEulerScheduler", "timestep_spacing": "trailing"}
    with pytest.raises(CheckpointError, match="EDMEulerScheduler is not supported") as raised:
        describe_schedulers(config)
    assert "choose another one with --scheduler: dpmpp_2m, " in (raised.value.hint or "")
    schedulers = describe_schedulers(select_scheduler(config, "euler_beta"))
    assert schedulers.default == "euler_beta"
    assert {"euler", "euler_karras", "unipc", "ddpm"} - {"ddpm"} <= set(schedulers.available)
    assert {entry.timestep_spacing for entry in schedulers.available.values()} == {"trailing"}
    expected = diffusers.EulerDiscreteScheduler.from_config(config, use_beta_sigmas=True)
    built = build_scheduler(config, "euler_beta")
    assert built.config.timestep_spacing == expected.config.timestep_spacing
    expected.set_timesteps(9)
    built.set_timesteps(9)
    assert built.sigmas.tolist() == expected.sigmas.tolist()


@pytest.mark.parametrize(
    ("own", "name"),
    [
        full_unless(name in OFFERED[number::3], own, name)
        for number, own in enumerate(
            (
                {"_class_name": MULTISTEP, "timestep_spacing": "trailing", "solver_order": 2},
                {
                    "_class_name": EULER,
                    "use_karras_sigmas": True,
                    "steps_offset": 1,
                    "sigma_max": 9.0,
                },
                {
                    "_class_name": UNIPC,
                    "solver_order": 1,
                    "solver_type": "bh2",
                    "use_beta_sigmas": True,
                },
            )
        )
        for name in DISCRETE
    ],
    ids=str,
)
def test_other_schedulers_take_over_what_diffusers_does(own, name):
    """The reference is ``Other.from_config(pipeline.scheduler.config)``."""
    config = {**NOISE, **own, "clip_sample": False}
    scheduler = SCHEDULERS[name]
    loaded = getattr(diffusers, own["_class_name"]).from_config(config)
    options = {} if name == default_scheduler(config) else scheduler.options
    expected = getattr(diffusers, scheduler.class_name).from_config(loaded.config, **options)
    built = build_scheduler(config, name)
    for key in defaults_of(scheduler.class_name):
        assert built.config[key] == expected.config[key], key
    assert built.config.get("sigma_max") == expected.config.get("sigma_max")


@pytest.mark.parametrize("class_name", list(RULES))
@pytest.mark.parametrize(
    "options", [{}, {"steps_offset": 0}, {"steps_offset": 3, "clip_sample": True}], ids=str
)
def test_pipelines_correct_configurations_as_diffusers_does(class_name, options):
    nothing = dict.fromkeys(
        ("vae", "text_encoder", "tokenizer", "unet", "safety_checker", "feature_extractor")
    )
    more = dict.fromkeys(("text_encoder_2", "tokenizer_2"))
    class_ = getattr(diffusers, class_name)
    config = {**NOISE, **options}

    def constructed(pipeline, **modules):
        return pipeline(scheduler=class_.from_config(config), **modules).scheduler.config

    checker = {"requires_safety_checker": False}
    old = constructed(diffusers.StableDiffusionPipeline, **nothing, **checker)
    del nothing["safety_checker"]
    new = constructed(diffusers.StableDiffusionXLPipeline, **nothing, **more)
    for found, pipeline in ((old, "StableDiffusionPipeline"), (new, "StableDiffusionXLPipeline")):
        corrected = class_.from_config(correct_config(config, pipeline)).config
        for key in defaults_of(class_name):
            assert corrected[key] == found[key], (pipeline, key)


@pytest.mark.slow
def test_the_reference_draws_where_the_first_two_timesteps_are_equal(family):
    """With beta-distributed noise levels and 50 steps diffusers' pipeline of SD 1.x cannot."""

    def walk(scheduler):
        scheduler.set_timesteps(50)
        assert scheduler.timesteps[0] == scheduler.timesteps[1]
        sample = torch.ones(1, 4, 2, 2)
        for timestep in scheduler.timesteps:
            sample = scheduler.step(sample * 0.1, timestep, sample).prev_sample
        return sample

    with pytest.raises(IndexError):
        walk(build_scheduler(family.scheduler, "dpmpp_2m_beta"))
    scheduler = build_scheduler(family.scheduler, "dpmpp_2m_beta")
    begin_at_first_step(scheduler)
    assert torch.isfinite(walk(scheduler)).all()
    assert torch.equal(walk(scheduler), walk(scheduler))


# Values that the fuzzer below sets, good and bad.
_BOOLEAN = [False, True]
VALUES = {
    "num_train_timesteps": [1000, 500, 100, 1001],
    "beta_start": [0.00085, 0.0001],
    "beta_end": [0.012, 0.02],
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2", "cosine"],
    "prediction_type": ["epsilon", "v_prediction", "sample", "flow_prediction"],
    "timestep_spacing": ["linspace", "leading", "trailing"],
    "steps_offset": [0, 1, 5],
    "rescale_betas_zero_snr": _BOOLEAN,
    "clip_sample": [False, False, False, True],
    "clip_sample_range": [1.0, 2.0],
    "set_alpha_to_one": _BOOLEAN,
    "thresholding": [False, False, False, True],
    "use_karras_sigmas": _BOOLEAN,
    "use_exponential_sigmas": _BOOLEAN,
    "use_beta_sigmas": _BOOLEAN,
    "use_lu_lambdas": _BOOLEAN,
    "use_flow_sigmas": _BOOLEAN,
    "flow_shift": [1.0, 3.0],
    "solver_order": [1, 2, 3, 4],
    "solver_type": ["midpoint", "heun", "bh1", "bh2", "logrho"],
    "algorithm_type": ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"],
    "lower_order_final": _BOOLEAN,
    "euler_at_final": _BOOLEAN,
    "final_sigmas_type": ["zero", "sigma_min"],
    "lambda_min_clipped": [-float("inf"), -5.1, -2.0],
    "variance_type": [None, "learned", "fixed_small", "fixed_large", "fixed_small_log"],
    "predict_x0": _BOOLEAN,
    "disable_corrector": [[], [0], [0, 1, 2]],
    "sigma_min": [0.1, 0.01],
    "sigma_max": [10.0],
    "shift_terminal": [0.1],
    "use_dynamic_shifting": [False, False, True],
    "interpolation_type": ["linear", "log_linear"],
    "timestep_type": ["discrete", "continuous"],
    "skip_prk_steps": _BOOLEAN,
    "original_inference_steps": [50, 100],
    "timestep_scaling": [10.0, 1.0],
    "tensor_format": ["pt"],
    "a_key_of_tomorrow": [False, 1],
}


@pytest.mark.slow
@pytest.mark.usefixtures("float32_noise")
@pytest.mark.parametrize("seed", [full_unless(seed < 1, seed) for seed in range(60)])
def test_random_configurations_are_followed_or_refused(javascript, seed):
    """Whatever keys are added, dropped and changed: as diffusers draws, or an error by name."""
    generator = random.Random(seed)
    for _ in range(20):
        class_name = generator.choice(list(RULES))
        config = {**NOISE, "_class_name": class_name}
        own = [key for key in defaults_of(class_name) if key in VALUES]
        keys = generator.sample(own, generator.randint(0, min(6, len(own))))
        keys += generator.sample(list(VALUES), generator.randint(0, 2))
        config |= {key: generator.choice(VALUES[key]) for key in keys}
        if generator.random() < 0.2:
            config.pop(generator.choice(list(NOISE)))
        count, eta = generator.choice([1, 2, 3, 5, 8, 20]), generator.choice([0.0, 0.6])
        try:
            noise, described = describe_own(config)
        except CheckpointError:
            continue
        scheduler = getattr(diffusers, class_name).from_config(
            {key: value for key, value in config.items() if key != "_class_name"}
        )
        count = min(max(count, min_steps(scheduler)), described.max_steps)
        begin = generator.choice([None, Begin(0.4), Begin(0.8, masked=True), Begin(1.0)])
        if begin is not None and begin.skipped(count) == count:
            begin = None
        expected = by_diffusers(scheduler, count, eta, begin=begin)
        assert_same(follow(javascript, noise, described, count, eta, begin=begin), expected), config
