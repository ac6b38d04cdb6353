"""Architecture, Conditioning and LatentSpace of Stable Diffusion, without compiling anything."""

import json
import shlex
import shutil
from dataclasses import replace

import pytest
import torch

from commands import exit_code
from speck import SPECK, SPECK_XL
from wsd.bundle.builder import describe_conditioning, describe_latent_space
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.compiler.library import architecture
from wsd.compiler.library_check import check_library
from wsd.errors import CompileError, UsageError
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.frontend.entry_points import make_entry_point, make_entry_points
from wsd.models.architecture import Architecture
from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.instantiate import build_module
from wsd.models.latent_space import LatentSpace, kl_latent_space
from wsd.models.registry import FAMILIES
from wsd.models.schedulers import (
    SCHEDULERS,
    build_scheduler,
    describe_schedulers,
    suitable_schedulers,
)
from wsd.models.stable_diffusion.wrappers import Decoder

IDS = torch.tensor([[718, 5, 9, *[719] * 74]], dtype=torch.int32)
END = torch.zeros(1, 77).index_fill(1, torch.tensor([3]), 1.0)


def encoders(first, second):
    """Return SDXL's smallest family with other conditioning."""
    return replace(
        SPECK_XL,
        conditioning=Conditioning(
            (
                ConditioningEncoder("text_encoder", *first),
                ConditioningEncoder("text_encoder_2", *second),
            )
        ),
    )


@pytest.mark.parametrize("layer", [None, -2])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("position", [0, 1])
def test_what_an_encoder_gives_follows_from_the_conditioning(layer, pooled, position):
    """Of both encoders the one with a projection is used, first and second."""
    family = encoders((layer, pooled), (layer, pooled))
    (_, projecting, *_) = SPECK_XL.components
    component = replace(projecting, id=("text_encoder", "text_encoder_2")[position])
    model = build_module(component)
    made = make_entry_point(family, component, model, (16, 16))
    before = torch.randn(1, 77, 16, generator=torch.Generator().manual_seed(0))
    known = {"input_ids": IDS, "text_embeddings": before, "end_of_text": END}
    names = ["input_ids", *["text_embeddings"] * position, *["end_of_text"] * pooled]
    assert [spec.name for spec in made.inputs] == names
    with torch.no_grad():
        results = made.module(*(known[name] for name in names))
        expected = model(IDS.long(), output_hidden_states=True)
    found = results if isinstance(results, tuple) else (results,)
    assert [tuple(tensor.shape) for tensor in found] == [spec.shape for spec in made.outputs]
    state = expected.last_hidden_state if layer is None else expected.hidden_states[layer]
    torch.testing.assert_close(found[0][..., 16 * position :], state)
    if position:
        assert torch.equal(found[0][..., :16], before)
    assert len(found) == 1 + pooled
    if pooled:
        torch.testing.assert_close(found[1], expected.text_embeds)


def test_latent_channels_are_the_vaes_and_not_the_denoisers():
    """An inpainting UNet takes 9 channels; the latents have 4."""
    family = FAMILIES["sd15"]
    components = tuple(
        replace(c, config={**c.config, "in_channels": 9}) if c.role == "denoiser" else c
        for c in family.components
    )
    assert replace(family, components=components).latent_space == family.latent_space
    assert family.latent_space == LatentSpace(4, 8, 0.18215)
    assert family.latent_space.shape((512, 768)) == (1, 4, 96, 64)


@pytest.mark.slow
def test_the_decoder_shifts_what_its_vae_shifts():
    vae = build_module(SPECK.component("vae_decoder"))
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = Decoder(vae, LatentSpace(4, 1, 1.5305, 0.0609))(latents)
        expected = vae.decode(latents / 1.5305 + 0.0609).sample
    assert torch.equal(found, expected)


def test_a_kl_autoencoders_configuration():
    config = {"latent_channels": 16, "block_out_channels": [1, 2, 3, 4], "scaling_factor": 0.5}
    assert kl_latent_space(config) == LatentSpace(16, 8, 0.5)
    config |= {"shift_factor": 0.1, "latents_mean": [0.0], "latents_std": [2.0]}
    assert kl_latent_space(config) == LatentSpace(16, 8, 0.5, 0.1, (0.0,), (2.0,))


MOMENTS = {"latents_mean": (0.5, -1.0, 2.0, 0.0), "latents_std": (8.5, 5.9, 6.5, 5.2)}


@pytest.mark.parametrize(
    ("family", "config", "expected"),
    [
        (SPECK_XL, MOMENTS, LatentSpace(4, 1, 0.13025, 0.0, *MOMENTS.values())),
        (SPECK_XL, {"latents_mean": (1.0,) * 4}, LatentSpace(4, 1, 0.13025)),
        (SPECK_XL, {"shift_factor": 0.1}, LatentSpace(4, 1, 0.13025)),
        (SPECK, {**MOMENTS, "shift_factor": 0.1}, LatentSpace(4, 1, 0.18215)),
    ],
    ids=["both", "one alone", "shift", "sd15"],
)
def test_a_latent_space_is_what_the_pipeline_reads_of_it(family, config, expected):
    """Stable Diffusion's pipelines ignore shift_factor, and SD 1.5's the moments of channels."""
    *others, vae = family.components
    changed = replace(vae, config={**vae.config, **config})
    assert replace(family, components=(*others, changed)).latent_space == expected


def test_a_role_that_no_one_knows():
    component = replace(SPECK.components[0], role="image_encoder")
    with pytest.raises(CompileError, match="stable-diffusion does not know"):
        make_entry_point(SPECK, component, torch.nn.Identity(), (16, 16))

    class Odd(type(SPECK.architecture)):
        def entry_points(self, *arguments):
            for made in super().entry_points(*arguments):
                yield replace(made, role="odd")

    component = SPECK.components[0]
    family = replace(SPECK, architecture=Odd())
    with pytest.raises(CompileError, match="has the unknown role 'odd'"):
        list(make_entry_points(family, component, build_module(component), [(16, 16)]))


def test_an_architecture_must_give_everything():
    with pytest.raises(TypeError, match="abstract"):
        Architecture()


@pytest.fixture
def copy(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "copy")


def change(path, **options):
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


@pytest.mark.slow
def test_a_vae_with_another_scale_is_another_variant(copy, family):
    change(copy / "vae" / "config.json", scaling_factor=0.5)
    opened = open_checkpoint(copy, family)
    assert opened.family.latent_space == LatentSpace(4, 8, 0.5)
    assert opened.family.name == family.name
    assert describe_latent_space(opened.family).scaling_factor == 0.5
    assert architecture(opened.family) != architecture(family)


@pytest.mark.slow
def test_an_empty_negative_prompt_is_what_the_checkpoint_says():
    family = FAMILIES["tiny-sdxl"]
    opened = open_checkpoint(family.weights, family)
    assert describe_conditioning(opened.family).empty_negative == "zeros"


@pytest.mark.slow
def test_the_checkpoints_word_for_an_empty_negative_prompt_reaches_manifest_and_reference(
    tmp_path,
):
    family = FAMILIES["tiny-sdxl"]
    copy = shutil.copytree(family.weights, tmp_path / "copy")
    change(copy / "model_index.json", force_zeros_for_empty_prompt=False)
    opened = open_checkpoint(copy, family)
    assert describe_conditioning(opened.family).empty_negative == "encode"
    assert load_pipeline(opened).config.force_zeros_for_empty_prompt is False


@pytest.mark.slow
def test_a_folder_without_model_index_json(copy, family):
    (copy / "model_index.json").unlink()
    assert open_checkpoint(copy, family).family == family


@pytest.mark.slow
def test_the_reference_is_built_from_the_checkpoints_own_configuration(copy, family):
    """It does not depend on what WSD makes of the file."""
    change(copy / "unet" / "config.json", norm_eps=0.1)
    opened = open_checkpoint(copy, family)
    component = family.component("denoiser")
    assert opened.load_own(component).config.norm_eps == 0.1
    assert opened.load(component).config.norm_eps == 1e-5
    assert opened.load(opened.family.component("denoiser")).config.norm_eps == 0.1


@pytest.mark.full
@pytest.mark.slow
def test_a_library_of_another_variant_is_refused_by_the_key_that_differs(copy, family, library):
    change(copy / "text_encoder" / "config.json", layer_norm_eps=0.1)
    variant = open_checkpoint(copy, family).family
    check_library(library, family)
    with pytest.raises(UsageError) as caught:
        check_library(library, variant)
    assert "text_encoder.layer_norm_eps is 1e-05, expected 0.1" in caught.value.message
    assert "wsd compile --model tiny-sd15 --weights CHECKPOINT" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        check_library(library, FAMILIES["tiny-sdxl"])
    assert "--weights" not in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("key", ["weights", "vae", "both"])
def test_a_hint_about_a_library_has_every_option_that_selects_the_variant(
    copy, library, tmp_path, capsys, key
):
    other = tmp_path / "another vae"
    shutil.copytree(copy / "vae", other)
    change(other / "config.json", scaling_factor=0.5)
    change(copy / "text_encoder" / "config.json", layer_norm_eps=0.1)
    given = {"weights": ("--weights", copy), "vae": ("--vae", other)}
    words = [*given["weights"], *given["vae"]] if key == "both" else given[key]
    place = ("build", "--model", "tiny-sd15", "--plan", "--library", library.folder)
    assert exit_code(*place, *words) == 2
    options = shlex.join(map(str, words))
    expected = f"hint: compile one with: wsd compile --model tiny-sd15 {options} --out DIR"
    assert capsys.readouterr().err.splitlines()[-1] == expected


@pytest.mark.slow
def test_only_schedulers_that_suit_the_noise_schedule_are_built(family):
    assert not {"flow_euler", "flow_heun"} & set(describe_schedulers(family.scheduler).available)
    with pytest.raises(UsageError, match="scheduler 'flow_euler' does not suit"):
        build_scheduler(family.scheduler, "flow_euler")
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    assert suitable_schedulers(flow) == ("flow_euler", "flow_heun")
    with pytest.raises(UsageError, match="prediction_type is 'flow_prediction'"):
        build_scheduler(flow, "ddim")


@pytest.mark.slow
def test_only_schedulers_that_support_the_prediction_are_built(monkeypatch, family):
    limited = replace(SCHEDULERS["ddim"], predictions=("epsilon",))
    monkeypatch.setitem(SCHEDULERS, "ddim", limited)
    assert "ddim" in suitable_schedulers(family.scheduler)
    v_model = {**family.scheduler, "prediction_type": "v_prediction"}
    assert "ddim" not in describe_schedulers(v_model).available
