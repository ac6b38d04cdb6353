"""How a checkpoint is denoised where its files do not say it: markers, options, fine-tunes.

What each fine-tune needs is compared with what its authors' own example does with diffusers.
"""

import json
import logging
from dataclasses import replace

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from marks import some_of
from original_layout import to_original
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.errors import CheckpointError, UsageError
from wsd.models.fine_tunes import (
    ADAPTER_WORDS,
    FINE_TUNES,
    find_adapter_fine_tune,
    run_time_scheduler,
    suggest_fine_tunes,
)
from wsd.models.registry import FAMILIES, find_family
from wsd.models.schedule_options import (
    NO_OPTIONS,
    NOT_DENOISED,
    ScheduleOptions,
    compose_denoising,
)
from wsd.models.scheduler_rules import defaults_of
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    correct_config,
    default_scheduler,
    describe_noise_schedule,
    describe_scheduler,
    describe_schedulers,
)
from wsd.spec.roles import DENOISER
from wsd.util.files import REPOSITORY
from wsd.util.progress import Quiet

SD, XL = find_family("sd15"), find_family("sdxl")
MARKERS = frozenset({"v_pred", "ztsnr"})


def compose(family, options=NO_OPTIONS, own=None, markers=frozenset(), place="file.safetensors"):
    return compose_denoising(family, own, markers, options, place)


def build_default(found):
    """Return the scheduler of diffusers that draws by default."""
    return build_scheduler(found.scheduler, found.default_scheduler)


def test_the_pipeline_that_a_folder_names_corrects_its_scheduler_or_does_not():
    """StableDiffusionPipeline turns clipping off; that of latent consistency models clips."""
    own = {"_class_name": "LCMScheduler", "clip_sample": True, "beta_schedule": "scaled_linear"}
    corrected = compose(SD, own=own)
    assert corrected.scheduler["clip_sample"] is False
    arguments = (SD, own, frozenset(), NO_OPTIONS, "folder", "LatentConsistencyModelPipeline")
    with pytest.raises(CheckpointError, match="clip_sample=True of LCMScheduler"):
        compose_denoising(*arguments)


def embedding_guidance(family):
    """Return a family whose UNet takes the guidance scale, as published LCMs have it."""
    components = tuple(
        replace(c, config={**c.config, "time_cond_proj_dim": 256}) if c.role == DENOISER else c
        for c in family.components
    )
    return replace(family, components=components)


def trailing(name):
    """Return what many cards do: a class of diffusers on the pipeline's own configuration."""
    return lambda config: getattr(diffusers, name).from_config(config, timestep_spacing="trailing")


# Fine-tune → (what its authors' example makes of the pipeline's scheduler, steps, guidance, eta).
CARDS = {
    "lightning-1step": (
        lambda config: diffusers.EulerDiscreteScheduler.from_config(
            config, timestep_spacing="trailing", prediction_type="sample"
        ), 1, 0.0, 0.0,
    ),
    "lightning-2step": (trailing("EulerDiscreteScheduler"), 2, 0.0, 0.0),
    "lightning-4step": (trailing("EulerDiscreteScheduler"), 4, 0.0, 0.0),
    "lightning-8step": (trailing("EulerDiscreteScheduler"), 8, 0.0, 0.0),
    "turbo": (trailing("EulerAncestralDiscreteScheduler"), 1, 0.0, 0.0),
    "hyper-1step": (diffusers.TCDScheduler.from_config, 1, 0.0, 1.0),
    "hyper-2step": (trailing("DDIMScheduler"), 2, 0.0, 0.0),
    "hyper-4step": (trailing("DDIMScheduler"), 4, 0.0, 0.0),
    "hyper-8step": (trailing("DDIMScheduler"), 8, 0.0, 0.0),
    "hyper-8step-cfg": (trailing("DDIMScheduler"), 8, 5.0, 0.0),
    "hyper-12step-cfg": (trailing("DDIMScheduler"), 12, 5.0, 0.0),
    "lcm": (diffusers.LCMScheduler.from_config, 4, 8.0, 0.0),
    "lcm-lora": (diffusers.LCMScheduler.from_config, 4, 1.0, 0.0),
    "dmd2-4step": (diffusers.LCMScheduler.from_config, 4, 0.0, 0.0),
    "tcd": (diffusers.TCDScheduler.from_config, 4, 0.0, 0.3),
    "noobai-vpred": (
        lambda config: diffusers.EulerDiscreteScheduler.from_config(
            config, prediction_type="v_prediction", rescale_betas_zero_snr=True
        ), 28, 5.0, 0.0,
    ),
    "dreamshaper-turbo": (
        lambda config: diffusers.DPMSolverSDEScheduler.from_config(config, use_karras_sigmas=True),
        6, 2.0, 0.0,
    ),
    "dreamshaper-lightning": (
        lambda config: diffusers.DPMSolverSDEScheduler.from_config(config, use_karras_sigmas=True),
        4, 2.0, 0.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (n, f)
        for n, t in FINE_TUNES.items()
        for f in (SD, XL)
        if f.architecture.name in t.architectures
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_fine_tune_is_denoised_as_its_authors_do(name, family):
    tune = FINE_TUNES[name]
    if tune.embeds_guidance:
        family = embedding_guidance(family)
    found = compose(family, ScheduleOptions(fine_tune=name))
    make, steps, guidance, eta = CARDS[name]
    assert (found.family.steps, found.family.guidance_scale, found.family.eta) == (
        steps,
        guidance,
        eta,
    )
    ours, theirs = build_default(found), make(build_scheduler(family.scheduler).config)
    assert type(ours) is type(theirs)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(steps)
    if name == "dmd2-4step":
        # Its authors hand these timesteps to the pipeline.
        theirs.timesteps = torch.tensor([999, 749, 499, 249])
    torch.testing.assert_close(ours.timesteps, theirs.timesteps, rtol=0, atol=0)
    assert ours.config.prediction_type == theirs.config.prediction_type
    torch.testing.assert_close(ours.alphas_cumprod, theirs.alphas_cumprod, rtol=0, atol=0)
    if hasattr(theirs, "sigmas"):
        torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=0, atol=0)


def test_the_table_says_where_each_entry_is_from():
    for name, tune in FINE_TUNES.items():
        assert tune.source.startswith("https://")
        assert name in CARDS


@pytest.mark.parametrize("family", [SD, XL], ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("markers", "prediction", "zero"),
    [
        ({"v_pred"}, "v_prediction", False),
        ({"v_pred", "ztsnr"}, "v_prediction", True),
        ({"ztsnr"}, "epsilon", True),
        (set(), "epsilon", False),
    ],
)
def test_the_markers_of_a_single_file_hold(family, markers, prediction, zero):
    found = compose(family, markers=frozenset(markers))
    built = build_default(found)
    assert built.config.prediction_type == prediction
    assert bool(built.config.get("rescale_betas_zero_snr")) is zero
    # PNDM cannot begin without signal, so another is taken and said.
    said = zero and family is SD
    assert (built.__class__.__name__ == "EulerDiscreteScheduler") is (said or family is XL)
    assert any("euler is taken" in note for note in found.notes) is said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metadata", "markers", "options", "said"),
    [
        ({"modelspec.prediction_type": "v"}, (), NO_OPTIONS, True),
        ({"modelspec.predict_key": "v"}, (), NO_OPTIONS, True),
        ({"modelspec.prediction_type": "V_Prediction"}, (), NO_OPTIONS, True),
        ({"modelspec.prediction_type": "epsilon"}, (), NO_OPTIONS, False),
        ({"modelspec.prediction_type": "v"}, ("v_pred",), NO_OPTIONS, False),
        ({"modelspec.prediction_type": "v"}, (), ScheduleOptions(prediction_type="epsilon"), False),
        ({"modelspec.prediction_type": "v"}, (), NOT_DENOISED, False),
        ({}, (), NO_OPTIONS, False),
    ],
    ids=str,
)
def test_a_prediction_that_only_the_metadata_names_is_said(
    tmp_path, caplog, metadata, markers, options, said
):
    """diffusers does not read it, so it is not followed; and nobody should be surprised."""
    family, path = find_family("tiny-sd15"), tmp_path / "trained.safetensors"
    to_original(family.weights, family, path)
    marked = {**load_file(path), **dict.fromkeys(markers, torch.zeros(0))}
    save_file(marked, path, metadata or None)
    with caplog.at_level(logging.WARNING):
        opened = open_checkpoint(path, family, options=options)
    assert ("pass --prediction-type v_prediction" in caplog.text) is said
    if said:
        assert opened.scheduler.get("prediction_type", "epsilon") == "epsilon"


def test_an_option_is_stronger_than_a_marker_and_than_a_fine_tune():
    options = ScheduleOptions(prediction_type="epsilon", zero_snr=False)
    found = compose(XL, options, markers=MARKERS)
    built = build_default(found)
    assert built.config.prediction_type == "epsilon"
    assert not built.config.rescale_betas_zero_snr
    assert len(found.notes) == 2
    assert "v_prediction" in found.notes[0]
    options = ScheduleOptions(
        fine_tune="lightning-4step", scheduler="ddim", timestep_spacing="leading"
    )
    found = compose(XL, options)
    assert found.default_scheduler == "ddim"
    assert build_default(found).config.timestep_spacing == "leading"
    assert found.family.steps == 4


def test_options_override_a_folder_and_say_so():
    own = {**XL.scheduler, "timestep_spacing": "leading", "prediction_type": "epsilon"}
    options = ScheduleOptions(
        scheduler="dpmpp_2m_karras", prediction_type="v_prediction", timestep_spacing="leading"
    )
    found = compose(XL, options, own)
    built = build_default(found)
    assert built.__class__.__name__ == "DPMSolverMultistepScheduler"
    assert built.config.use_karras_sigmas
    assert built.config.prediction_type == "v_prediction"
    notes = "\n".join(found.notes)
    assert "prediction_type is 'epsilon'; 'v_prediction' is taken" in notes
    assert "its own scheduler is EulerDiscreteScheduler" in notes
    assert "timestep_spacing" not in notes
    # What a folder says and nobody contradicts needs no note, and no file's name is looked at.
    assert compose(XL, own=own, place="lightning_4step").notes == ()


def test_a_folder_whose_scheduler_is_unknown():
    own = {**SD.scheduler, "_class_name": "KDPM2DiscreteScheduler"}
    with pytest.raises(CheckpointError, match="KDPM2DiscreteScheduler is not supported") as caught:
        compose(SD, own=own)
    assert "--scheduler" in caught.value.hint
    found = compose(SD, ScheduleOptions(scheduler="euler"), own)
    assert type(build_default(found)) is diffusers.EulerDiscreteScheduler


def test_a_scheduler_does_not_matter_where_nothing_is_drawn():
    """``wsd compile`` and ``wsd expect`` have no option that could name another one."""
    own = {**SD.scheduler, "_class_name": "KDPM2DiscreteScheduler", "prediction_type": "x0"}
    assert compose(SD, NOT_DENOISED, own, place="a_turbo.safetensors").notes == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fine_tune": "magic"}, "lightning-4step"),
        ({"scheduler": "magic"}, "euler"),
        ({"prediction_type": "x0"}, "sample"),
        ({"timestep_spacing": "even"}, "trailing"),
    ],
)
def test_names_that_do_not_exist(options, words):
    with pytest.raises(UsageError) as caught:
        ScheduleOptions(**options)
    assert words in caught.value.hint


@pytest.mark.parametrize(
    ("family", "name", "words"),
    [
        (SD, "lightning-4step", "hyper-4step"),
        (XL, "lcm", "lcm-lora"),
        (embedding_guidance(XL), "lcm-lora", "there are: lcm"),
        (embedding_guidance(SD), "lightning-4step", "there are: lcm"),
    ],
)
def test_fine_tunes_of_something_else(family, name, words):
    with pytest.raises(UsageError) as caught:
        compose(family, ScheduleOptions(fine_tune=name))
    assert words in caught.value.hint


def test_what_cannot_be_drawn_is_refused_by_name():
    for options, key in (
        (ScheduleOptions(scheduler="euler_a", prediction_type="sample"), "prediction_type"),
        (ScheduleOptions(scheduler="ddim", zero_snr=True, timestep_spacing="trailing"), "zero"),
    ):
        with pytest.raises((CheckpointError, UsageError)) as caught:
            compose(XL, options)
        assert key in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("sdxl_lightning_4step.safetensors", ["lightning-4step", "dreamshaper-lightning"]),
        ("DreamShaperXL_Lightning.safetensors", ["dreamshaper-lightning"]),
        ("sd_xl_turbo_1.0_fp16.safetensors", ["turbo", "dreamshaper-turbo"]),
        ("Hyper-SDXL-8steps.safetensors", ["hyper-8step"]),
        ("model_dmd2.gguf", ["dmd2-4step"]),
        ("photon_LCM.safetensors", ["lcm-lora"]),
        ("noobaiXLNAIXL_vPred10Version.safetensors", ["noobai-vpred"]),
        ("calcium.safetensors", []),
        ("dreamshaper_8.safetensors", []),
    ],
)
def test_a_name_only_suggests(file, names):
    assert suggest_fine_tunes(file, XL.architecture.name) == names
    found = compose(XL, place=file)
    assert found.scheduler == compose(XL).scheduler
    assert len(found.notes) == bool(names)
    assert all(name in "".join(found.notes) for name in names)


# Names of tensors of a LoRA that was distilled, in three spellings, and of an ordinary one.
DISTILLED = [
    ["lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight"],
    ["unet.down_blocks.0.resnets.0.conv1.lora_A.weight"],
    ["lora_unet_input_blocks_1_0_in_layers_2.lora_up.weight"],
]
STYLE = ["lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"]


@pytest.mark.parametrize("keys", DISTILLED, ids=["kohya", "peft", "original"])
@pytest.mark.parametrize(
    ("name", "fine_tune"),
    [
        ("latent-consistency/lcm-lora-sdxl/pytorch_lora_weights.safetensors", "lcm-lora"),
        ("sdxl_lightning_4step_lora.safetensors", "lightning-4step"),
        ("Hyper-SDXL-1step-lora.safetensors", "hyper-1step"),
        ("Hyper-SDXL-8steps-lora.safetensors", "hyper-8step"),
        ("Hyper-SDXL-8steps-CFG-lora.safetensors", "hyper-8step-cfg"),
        ("Hyper-SD15-12steps-CFG-lora.safetensors", "hyper-12step-cfg"),
        ("dmd2_sdxl_4step_lora_fp16.safetensors", "dmd2-4step"),
        ("sd_xl_turbo_lora_v1.safetensors", "turbo"),
        ("TCD-SDXL-LoRA", "tcd"),
        ("turbocharged.safetensors", None),
        ("Lightning over a city.safetensors", None),
        ("calcium.safetensors", None),
    ],
)
def test_adapters_of_fast_fine_tunes_are_known_by_name_and_tensors(name, keys, fine_tune):
    xl = XL.architecture.name
    assert find_adapter_fine_tune([name], {}, keys, xl) == fine_tune
    assert find_adapter_fine_tune([], {"modelspec.title": name}, keys, xl) == fine_tune
    # A style of that name changes attention alone, or a text encoder too, or says its pictures.
    for other, metadata in (
        (STYLE, {}),
        ([*keys, "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha"], {}),
        ([*keys, "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight"], {}),
        (keys, {"ss_tag_frequency": "{}"}),
    ):
        assert find_adapter_fine_tune([name], metadata, other, xl) is None


def test_what_metadata_calls_an_adapter_counts_first():
    metadata = {"ss_output_name": "lcm-lora"}
    found = find_adapter_fine_tune(["tcd.safetensors"], metadata, DISTILLED[0], "stable-diffusion")
    assert found == "lcm-lora"


@pytest.mark.full
@pytest.mark.parametrize("name", ADAPTER_WORDS)
def test_a_bundle_of_the_base_offers_the_scheduler_that_an_adapter_needs(name):
    """Its timesteps are those that the scheduler has in a bundle that is built with the adapter."""
    tune = FINE_TUNES[name]
    for family in (SD, XL):
        if family.architecture.name not in tune.architectures:
            continue
        scheduler = run_time_scheduler(tune)
        assert scheduler in describe_schedulers(family.scheduler).available
        at_run_time = build_scheduler(family.scheduler, scheduler)
        built = build_default(compose(family, ScheduleOptions(fine_tune=name)))
        assert type(at_run_time) is type(built)
        for each in (at_run_time, built):
            each.set_timesteps(tune.steps)
        # LCM's own steps of distillation are 50; DMD2's are the 4 that are drawn.
        apart = 10 if name == "dmd2-4step" else 0
        difference = (at_run_time.timesteps - built.timesteps).abs().max()
        assert float(difference) <= apart


@pytest.mark.parametrize(
    ("family", "file", "options", "markers"),
    [
        # The family is that fine-tune.
        ("sdxl-turbo", "sd_xl_turbo_1.0_fp16.safetensors", {}, set()),
        ("sdxl-turbo", "sdxl-turbo", {}, set()),
        ("sd15-lcm", "photon_LCM.safetensors", {}, set()),
        # Options or markers say what the fine-tune would.
        ("sdxl", "a_vpred.gguf", {"prediction_type": "v_prediction", "zero_snr": True}, set()),
        ("sdxl", "a_vpred.gguf", {}, {"v_pred", "ztsnr"}),
        ("sdxl", "a_dmd2.gguf", {"fine_tune": "dmd2-4step"}, set()),
        ("sdxl", "sdxl_lightning_4step.safetensors",
         {"scheduler": "euler", "timestep_spacing": "trailing"}, set()),
        ("sdxl", "DreamShaperXL_Lightning.safetensors", {"scheduler": "dpmpp_sde_karras"}, set()),
    ],
)  # fmt: skip
def test_nothing_is_suggested_that_already_holds(family, file, options, markers):
    found = compose(find_family(family), ScheduleOptions(**options), None, frozenset(markers), file)
    assert [note for note in found.notes if "fine-tune" in note] == []


def test_nothing_is_suggested_that_would_be_refused():
    # A merged LCM-LoRA has no guidance embedding, and this UNet has one.
    assert compose(embedding_guidance(XL), place="photon_LCM.safetensors").notes == ()
    # LCM begins at the last timestep, which has no signal here.
    marked = compose(SD, markers=frozenset({"ztsnr"}), place="photon_LCM.safetensors")
    assert not any("lcm-lora" in note for note in marked.notes)
    assert any("lcm-lora" in note for note in compose(SD, place="photon_LCM.safetensors").notes)


def test_a_fine_tune_of_another_size_says_which():
    found = compose(XL, ScheduleOptions(fine_tune="turbo"))
    assert "--size 512x512" in "".join(found.notes)
    assert compose(find_family("sdxl-turbo"), ScheduleOptions(fine_tune="turbo")).notes == ()
    # It is no news for somebody who asks for that size.
    sizes = ((1024, 1024), (512, 512))
    assert compose(XL, ScheduleOptions(fine_tune="turbo", sizes=sizes)).notes == ()


DPM = {
    **XL.scheduler,
    "_class_name": "DPMSolverMultistepScheduler",
    "final_sigmas_type": "sigma_min",
    "use_karras_sigmas": True,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "default"),
    some_of(
        [(None, "dpm_2m"), (SD.scheduler, "ddpm"), (DPM, "dpm_2m_sde"), (DPM, "unipc_flow")], 4
    ),
    ids=["family-dpm_2m", "PNDM-ddpm", "DPM-dpm_2m_sde", "DPM-unipc_flow"],
)
def test_a_name_draws_alike_whatever_the_default_is(own, default):
    """A reference knows the checkpoint, and not the default that a bundle was built with."""
    built = compose(SD, ScheduleOptions(scheduler=default), own)
    bundle = describe_schedulers(built.scheduler, built.default_scheduler)
    noise = describe_noise_schedule(built.scheduler, built.default_scheduler)
    assert bundle.default == default
    own_name = default_scheduler(own or SD.scheduler)
    corrected = correct_config(own or SD.scheduler, "StableDiffusionPipeline")
    loaded = getattr(diffusers, corrected["_class_name"]).from_config(corrected)
    for name in (default, own_name, "unipc", "deis", "heun", "dpmpp_2m", "tcd"):
        reference = compose(SD, ScheduleOptions(scheduler=name), own)
        config, chosen = reference.scheduler, reference.default_scheduler
        assert bundle.available[name] == describe_scheduler(config, chosen, noise.alphas_cumprod)
        # As a person with diffusers would choose it.
        options = {} if name == own_name else SCHEDULERS[name].options
        theirs = getattr(diffusers, SCHEDULERS[name].class_name)
        theirs = theirs.from_config(loaded.config, **options).config
        for key in defaults_of(SCHEDULERS[name].class_name):
            assert build_scheduler(config, chosen).config[key] == theirs[key], (name, key)


@pytest.fixture(scope="module")
def single_file(checkpoint, family, tmp_path_factory):
    """The shipped model in one file with both markers, and the folder of its tokenizer."""
    path = tmp_path_factory.mktemp("single") / "model.safetensors"
    to_original(checkpoint, family, path)
    save_file({**load_file(path), "v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}, path)
    return path, checkpoint / "tokenizer"


@pytest.mark.full
@pytest.mark.slow
def test_a_bundle_records_what_was_said(single_file, library, family, tmp_path, caplog):
    path, tokenizer = single_file
    options = ScheduleOptions(fine_tune="hyper-4step", timestep_spacing="leading")
    with caplog.at_level(logging.WARNING):
        checkpoint = open_checkpoint(path, family, tokenizer, options=options)
    bundle = build_bundle(checkpoint, library, tmp_path / "out", Quiet())
    manifest = read_manifest(find_manifest(bundle, None))
    assert manifest.model.options == {"fine-tune": "hyper-4step", "timestep-spacing": "leading"}
    assert manifest.noise_schedule.prediction_type == "v_prediction"
    assert manifest.noise_schedule.alphas_cumprod[-1] == 0
    assert manifest.schedulers.default == "ddim"
    assert manifest.schedulers.available["ddim"].timestep_spacing == "leading"
    assert (manifest.defaults.steps, manifest.defaults.guidance_scale) == (4, 0)
    provenance = json.loads((bundle / "provenance.json").read_text())
    [model] = provenance["predicate"]["buildDefinition"]["externalParameters"]["models"]
    assert model["options"] == dict(manifest.model.options)


@pytest.mark.parametrize(
    "options",
    [
        NO_OPTIONS,
        ScheduleOptions("turbo", "dpm_2m", "sample", "leading", zero_snr=True),
        ScheduleOptions(zero_snr=False),
    ],
)
def test_a_comparison_takes_the_options_that_a_bundle_records(options):
    assert NO_OPTIONS.fill_in(options.given()) == options
    # What is said at the comparison is stronger.
    said = ScheduleOptions("lcm", "unipc", "epsilon", "trailing", zero_snr=False)
    assert said.fill_in(options.given()) == said


def test_nothing_said_is_nothing_recorded(bundle):
    manifest = read_manifest(find_manifest(bundle, None))
    assert manifest.model.options == {}
    assert manifest.defaults.eta == 0
    assert '"options"' not in (bundle / "provenance.json").read_text()


def test_every_family_of_its_own_fine_tune_agrees_with_the_table():
    """sdxl-turbo is a family of its own; the table says the same of it."""
    for name, tune in (("sdxl-turbo", "turbo"),):
        family = FAMILIES[name]
        found = compose(family, ScheduleOptions(fine_tune=tune))
        assert (found.family.steps, found.family.guidance_scale) == (
            family.steps, family.guidance_scale,
        )  # fmt: skip
        assert build_default(found).config == build_scheduler(family.scheduler).config


def test_the_documented_table_is_this_one():
    names = {"stable-diffusion": "SD 1.5", "stable-diffusion-xl": "SDXL"}
    text = (REPOSITORY / "docs" / "checkpoints.md").read_text()
    _, table = text.split("\n| name |")
    lines = f"| name |{table}".split("\n\n")[0].splitlines()
    rows = [line.strip("|").split(" | ") for line in lines if line.count(" | ") == 7]
    found = {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}
    for name, tune in FINE_TUNES.items():
        families, scheduler, steps, guidance, eta, also, source = found.pop(name)
        assert families == ", ".join(names[a] for a in tune.architectures)
        assert scheduler == f"`{tune.scheduler}`"
        assert (int(steps), float(guidance), float(eta)) == (
            tune.steps, tune.guidance_scale, tune.eta,
        )  # fmt: skip
        assert tune.source in source
        assert all(f"`{key}` {value}" in also for key, value in tune.config.items())
        assert tune.size is None or f"{tune.size[0]}x{tune.size[1]}" in also
    assert list(found) == ["name"]
