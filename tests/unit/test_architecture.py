"""Architecture, Conditioning and LatentSpace of Stable Diffusion, without compiling anything."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from speck import SPECK, SPECK_XL
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.errors import CheckpointError, CompileError, UsageError
from wsd.frontend.entry_points import make_entry_point, make_entry_points
from wsd.models.architecture import Architecture
from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.instantiate import build_module
from wsd.models.latent_space import LatentSpace, kl_latent_space
from wsd.models.registry import FAMILIES
from wsd.models.schedulers import (
    SCHEDULERS,
    Scheduler,
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


def test_latents_that_are_normalised_by_channel_are_not_compiled():
    component = SPECK.component("vae_decoder")
    component = replace(component, config={**component.config, "latents_mean": (0.0,) * 4})
    family = replace(SPECK, components=(*SPECK.components[:2], component))
    with pytest.raises(CompileError, match="normalises its latents"):
        make_entry_point(family, component, build_module(component), (16, 16))


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


def test_a_vae_with_another_latent_space_is_refused(copy, family):
    """The family does not list the key: pictures would be wrong without any error."""
    change(copy / "vae" / "config.json", latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    with pytest.raises(CheckpointError, match=r"its latent space is .*mean=\(0.0, "):
        open_checkpoint(copy, family)


@pytest.mark.slow
def test_the_reference_is_built_from_the_checkpoints_own_configuration(copy, family):
    """A key that the family does not list shows as a difference to the compiled model."""
    change(copy / "unet" / "config.json", timestep_post_act="silu")
    opened = open_checkpoint(copy, family)
    component = family.component("denoiser")
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    text = torch.randn(1, 77, 96, generator=generator)
    with torch.no_grad():
        found = [
            load(component)(latents, 10.0, text).sample for load in (opened.load, opened.load_own)
        ]
    assert not torch.allclose(*found)


def test_only_schedulers_that_suit_the_noise_schedule_are_built(monkeypatch, family):
    flow = Scheduler("Flow", "FlowMatchEulerDiscreteScheduler", "flow_euler", kind="flow")
    monkeypatch.setitem(SCHEDULERS, "flow_euler", flow)
    assert "flow_euler" not in describe_schedulers(family.scheduler).available
    with pytest.raises(UsageError, match="scheduler 'flow_euler' does not suit"):
        build_scheduler(family.scheduler, "flow_euler")
    assert suitable_schedulers({"_class_name": flow.class_name}) == ("flow_euler",)


def test_only_schedulers_that_support_the_prediction_are_built(monkeypatch, family):
    limited = replace(SCHEDULERS["ddim"], predictions=("epsilon",))
    monkeypatch.setitem(SCHEDULERS, "ddim", limited)
    assert "ddim" in suitable_schedulers(family.scheduler)
    v_model = {**family.scheduler, "prediction_type": "v_prediction"}
    assert "ddim" not in describe_schedulers(v_model).available
