"""Guidance by one call of the UNet, by two, and by a UNet that takes the scale as an input."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from safetensors.torch import load_file, save_file

from pages import before_worker, browser_program
from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, find_manifests, read_manifest
from wsd.bundle.self_test import write_fixtures
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.stable_diffusion.components import NOISE
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.spec.tolerances import LATENTS_TOLERANCE
from wsd.util.progress import Quiet

DRAWING = GenerationRequest("a large red circle", guidance_scale=6.0, seed=1, steps=2)


@pytest.mark.exhaustive
def test_two_calls_give_what_one_gives(open_model, speck, speck_renderer, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(speck[0], copy)
    (path,) = find_manifests(copy)
    manifest = json.loads(path.read_text())
    (guided,) = [e for e in manifest["entry_points"] if e["role"] == "guided_denoiser"]
    guided["largest_buffer_bytes"] = 1 << 50
    path.write_text(json.dumps(manifest))
    at_once = speck_renderer.draw(DRAWING)
    with open_model(copy) as renderer:
        apart = renderer.draw(DRAWING)
    left_out = (
        "guided_denoiser", "vae_decoder_tile", "vae_encoder", "vae_encoder_tile", "rgba_to_image",
        "masked_blend",
    )  # fmt: skip
    used = [set(e["kernels"]) for e in manifest["entry_points"] if e["role"] not in left_out]
    assert apart.usage["pipelines"] == len(set.union(*used)) != at_once.usage["pipelines"]
    assert relative_error(apart.latents, at_once.latents) < 1e-5


@pytest.mark.exhaustive
def test_outside_of_an_interval_the_prompt_predicts_alone(page, origin, speck):
    """The kernels that only one of the two functions has say how often it was called."""
    bundle, checkpoint = speck
    pipeline = load_pipeline(checkpoint)
    before_worker(page, "count_kernels")
    page.goto(origin + "blank.html")
    page.evaluate(f"() => {{ {browser_program('calls')} }}")
    page.evaluate("manifest => wsdCalls.load('model', manifest)", "/models/speck/manifest.json")
    (worker,) = page.workers

    def draw(**options):
        before = worker.evaluate("() => ({ ...wsdKernels })")
        given = {"numInferenceSteps": 4, "guidanceScale": 6, **options}
        found = page.evaluate("options => wsdCalls.draw('model', options)", given)
        after = worker.evaluate("() => ({ ...wsdKernels })")
        return found["latents"], {name: after[name] - before.get(name, 0) for name in after}

    entries = read_manifest(find_manifest(bundle, SPECK.name)).entry_points
    kernels = Counter(name for entry in entries for name in set(entry.kernels))
    own = {entry.role: [name for name in entry.kernels if kernels[name] == 1] for entry in entries}
    single, guided = own["denoiser"], own["guided_denoiser"]
    assert single
    assert guided
    whole, alone = draw()[1], draw(guidanceScale=1)[1]
    assert all(whole[name] for name in guided)
    assert not any(whole.get(name) for name in single)
    assert all(alone[name] for name in single)
    assert not any(alone[name] for name in guided)
    for start, stop, calls in ((0.25, 0.75, 2), (0.0, 0.3, 1), (0.5, 0.5, 0)):
        latents, ran = draw(guidanceStart=start, guidanceStop=stop)
        wanted = GenerationRequest(
            "a large red circle", guidance_scale=6.0, seed=3, steps=4,
            guidance_interval=GuidanceInterval(start, stop),
        )  # fmt: skip
        _, expected = draw_reference(checkpoint, pipeline, wanted, Quiet())
        assert relative_error(np.array(latents), expected) < LATENTS_TOLERANCE
        assert all(4 * ran[name] == calls * whole[name] for name in guided)
        assert all(4 * ran[name] == (4 - calls) * alone[name] for name in single)


def edit(path, **changes):
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def self_guided(open_model, tmp_path_factory):
    """Return a checkpoint as published LCMs are, its bundle, and a page that has it loaded."""
    folder = tmp_path_factory.mktemp("lcm")
    weights = folder / "weights"
    shutil.copytree(choose_checkpoint(SPECK, None, 0), weights)
    config = weights / "unet" / "config.json"
    edit(config, time_cond_proj_dim=32)
    (path,) = (weights / "unet").glob("*.safetensors")
    state = load_file(path)
    width = state["time_embedding.linear_1.weight"].shape[1]
    drawn = torch.randn(width, 32, generator=torch.Generator().manual_seed(1))
    save_file({**state, "time_embedding.cond_proj.weight": drawn.to(state["conv_in.weight"])}, path)
    edit(weights / "model_index.json", _class_name="LatentConsistencyModelPipeline",
         scheduler=["diffusers", "LCMScheduler"])  # fmt: skip
    # As SimianLuo/LCM_Dreamshaper_v7 has it.
    scheduler = {**NOISE, "_class_name": "LCMScheduler", "steps_offset": 0,
                 "original_inference_steps": 50, "timestep_spacing": "leading"}  # fmt: skip
    (weights / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    checkpoint = open_checkpoint(weights, SPECK)
    library = compile_library(checkpoint.family, SPECK.sizes, "f32", Quiet())
    size = SPECK.sizes[0]
    expected = write_fixtures(checkpoint, size, "a star", folder / "expected.json", Quiet())
    bundle = build_bundle(checkpoint, library, folder / "bundle", Quiet(), expected)
    with open_model(bundle) as renderer:
        yield checkpoint, bundle, renderer


@pytest.mark.exhaustive
def test_a_unet_that_guides_itself_draws_as_diffusers(self_guided):
    checkpoint, bundle, renderer = self_guided
    manifest = read_manifest(find_manifest(bundle, SPECK.name))
    assert manifest.entries("guided_denoiser") == ()
    pipeline = load_pipeline(checkpoint)
    drawn = {}
    for scale in (1.0, 8.5):
        wanted = replace(DRAWING, guidance_scale=scale, steps=4, scheduler="lcm")
        images, latents = draw_reference(checkpoint, pipeline, wanted, Quiet())
        drawn[scale] = renderer.draw(wanted)
        assert relative_error(drawn[scale].latents, latents) < 1e-3
        assert psnr(drawn[scale].images, images) > 40
        # There is no prediction without the prompt that a negative one could replace.
        negative = renderer.draw(replace(wanted, negative_prompt="blue"))
        assert relative_error(negative.latents, drawn[scale].latents) == 0
    assert relative_error(drawn[1.0].latents, drawn[8.5].latents) > 1e-2


@pytest.mark.exhaustive
def test_an_lcm_draws_what_its_own_pipeline_draws(self_guided):
    """As diffusers loads the folder: its own pipeline, with the scheduler that the folder names."""
    checkpoint, _, renderer = self_guided
    pipeline = LatentConsistencyModelPipeline.from_pretrained(
        checkpoint.source.path, use_safetensors=True
    )
    pipeline.set_progress_bar_config(disable=True)
    wanted = replace(DRAWING, guidance_scale=8.5, steps=4)
    width, height = SPECK.sizes[0]
    expected = pipeline(
        wanted.prompt, num_inference_steps=wanted.steps, guidance_scale=wanted.guidance_scale,
        generator=torch.Generator().manual_seed(wanted.seed), width=width, height=height,
        output_type="np",
    ).images  # fmt: skip
    drawn = renderer.draw(wanted)
    assert psnr(drawn.images[0], (expected[0] * 255).round().astype(np.uint8)) > 40
    assert drawn.images.std() > 5  # a flat picture would agree too easily


@pytest.mark.exhaustive
def test_the_self_test_knows_the_embedded_scale(self_guided):
    stages = self_guided[2].self_test()
    assert len(stages) == 6  # text encoder, denoiser, decoder and encoder with their tiles
    assert [stage for stage in stages if not stage["good"]] == []
