"""The embedded guidance scale: the page's numbers against those of diffusers' pipelines."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, StableDiffusionPipeline

from speck import SPECK, SPECK_XL
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.memory import peaks
from wsd.evaluate.baselines import make_work
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_module
from wsd.spec.roles import DENOISER

# One float32 more or less in the exponential, which is at most 1, is multiplied by the scale.
ULP = 2.0**-23


def embed(pipeline, scale, width):
    given = torch.tensor(scale - 1).repeat(1)
    return pipeline.get_guidance_scale_embedding(None, given, embedding_dim=width)[0].numpy()


@pytest.mark.parametrize("pipeline", [StableDiffusionPipeline, LatentConsistencyModelPipeline])
@pytest.mark.parametrize("width", [4, 5, 32, 255, 256, 512])
@pytest.mark.parametrize("scale", [0, 1, 1.7, 7.5, 8.5, 30])
def test_the_page_embeds_a_scale_as_diffusers_does(javascript, pipeline, scale, width):
    expected = embed(pipeline, scale, width)
    found = np.array(javascript({"call": "embed_guidance", "scale": scale, "width": width}))
    found = found.astype(np.float32)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= ULP * (1 + 1000 * abs(scale - 1))


def guiding_itself(family, width=32):
    """Return a family whose UNet takes the embedded guidance scale."""
    components = tuple(
        replace(c, config={**c.config, "time_cond_proj_dim": width}) if c.role == DENOISER else c
        for c in family.components
    )
    return replace(family, components=components)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [SPECK, pytest.param(SPECK_XL, marks=pytest.mark.exhaustive)],
    ids=lambda family: family.name,
)
def test_a_unet_that_guides_itself_has_one_function(family):
    torch.manual_seed(0)
    family = guiding_itself(family)
    component = family.component(DENOISER)
    model = build_module(component)
    (made,) = make_entry_points(family, component, model, [(16, 16)])
    assert (made.role, made.inputs[-1].name, made.inputs[-1].shape) == (
        DENOISER, "timestep_cond", (1, 32),
    )  # fmt: skip
    trace = trace_component(component, made)
    assert "time_embedding.cond_proj.weight" in [p.name for p in trace.parameters]
    inputs = [torch.randn(spec.shape) for spec in made.inputs]
    with torch.no_grad():
        first, other = (made.module(*inputs[:-1], given) for given in (inputs[-1], inputs[-1] + 1))
        torch.testing.assert_close(trace.program.module()(*inputs), first, rtol=1e-5, atol=1e-5)
    assert (first - other).abs().max() > 1e-2


@pytest.mark.parametrize("family", [SPECK, SPECK_XL], ids=lambda family: family.name)
@pytest.mark.parametrize("scale", [None, 8.5])
def test_the_scale_is_an_input_that_is_the_same_on_every_step(family, scale):
    plain = family.architecture.constant_inputs(family, (16, 24), scale)
    own = guiding_itself(family, 256)
    given = own.architecture.constant_inputs(own, (16, 24), scale)
    expected = embed(StableDiffusionPipeline, scale or family.guidance_scale, 256)
    assert given.keys() - plain.keys() == {"timestep_cond"}
    assert given["timestep_cond"] == expected.tolist()


def test_the_peak_of_memory_counts_the_only_denoiser(library):
    alone = [e for e in library.entry_points if e.role != "guided_denoiser"]
    larger = [
        replace(e, workspace_bytes=100 * e.workspace_bytes) if e.role == DENOISER else e
        for e in alone
    ]
    bytes_of = [
        [peak.bytes for peak in peaks(replace(library, entry_points=tuple(entries)))]
        for entries in (alone, larger)
    ]
    assert all(small < large for small, large in zip(*bytes_of, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "predictions"), [(guiding_itself(SPECK), 1), (SPECK, 2)])
def test_baselines_are_measured_on_the_predictions_of_a_step(family, predictions):
    checkpoint = open_checkpoint(choose_checkpoint(family, None, 0), family)
    work = make_work(checkpoint, (16, 16), predictions)
    assert work.noise.shape == (predictions, 4, 16, 16)
    assert {len(tensor) for tensor in work.inputs.values()} == {predictions}
    alone = [
        work.module(*map(torch.from_numpy, work.one(index).values())).detach().numpy()
        for index in range(predictions)
    ]
    np.testing.assert_allclose(np.concatenate(alone), work.noise, rtol=1e-4, atol=1e-5)
    constant = family.architecture.constant_inputs(family, (16, 16))
    for name, values in constant.items():
        assert (work.inputs[name] == torch.tensor(values)).all()
