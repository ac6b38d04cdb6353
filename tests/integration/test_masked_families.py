"""Families whose UNet takes 9 channels: what is compiled, which checkpoints are theirs."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from masked import MASKED, MASKED_XL, TINY_MASKED
from original_layout import to_original
from speck import SPECK, SPECK_XL
from tvm_cpu import run_on_cpu
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler import tvm_compat
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_module
from wsd.models.registry import FAMILIES as REGISTERED
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.spec.roles import DENOISER
from wsd.util.progress import Quiet

FAMILIES = {"sd": MASKED, "sdxl": MASKED_XL}
TINY = REGISTERED["tiny-sd15"]
PLAIN = {"sd": SPECK, "sdxl": SPECK_XL}
MASK_INPUTS = ["mask", "masked_latents"]


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_denoiser_takes_a_mask_after_its_other_inputs(kind):
    made, plain = (
        {
            entry.role: [spec.name for spec in entry.inputs]
            for component in [family.component(DENOISER)]
            for entry in make_entry_points(family, component, build_module(component), [(16, 24)])
        }
        for family in (FAMILIES[kind], PLAIN[kind])
    )
    assert set(made) == {"denoiser", "guided_denoiser"}
    assert made == {role: [*names, *MASK_INPUTS] for role, names in plain.items()}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("role", "kind"),
    [
        pytest.param(
            role,
            kind,
            marks=() if (role, kind) == ("guided_denoiser", "sd") else pytest.mark.exhaustive,
        )
        for role in ("denoiser", "guided_denoiser")
        for kind in FAMILIES
    ],
)
def test_it_computes_what_the_unet_computes_of_nine_channels(kind, role):
    torch.manual_seed(0)
    family = FAMILIES[kind]
    component = family.component(DENOISER)
    model = build_module(component)
    entries = make_entry_points(family, component, model, [(16, 24)])
    made = next(entry for entry in entries if entry.role == role)
    draw = torch.Generator().manual_seed(1)
    given = {spec.name: torch.randn(spec.shape, generator=draw) for spec in made.inputs}
    assert given["latents"].shape == (1, 4, 24, 16)
    assert given["mask"].shape == (1, 1, 24, 16)
    joined = torch.cat([given["latents"], given["mask"], given["masked_latents"]], dim=1)

    def predict(prefix):
        added = {
            "text_embeds": given.get(f"{prefix}pooled_text"),
            "time_ids": given.get("time_ids"),
        }
        with torch.no_grad():
            return model(
                joined,
                given["timestep"],
                given[f"{prefix}text_embeddings"],
                added_cond_kwargs=added if kind == "sdxl" else None,
            ).sample

    expected = predict("")
    if role == "guided_denoiser":
        without = predict("negative_")
        expected = without + given["guidance_scale"] * (expected - without)
    trace = trace_component(component, made)
    state = dict(model.named_parameters())
    parameters = [state[p.name].detach().numpy() for p in trace.parameters]
    module = tvm_compat.import_program(trace.program)
    [found] = run_on_cpu(module, [tensor.numpy() for tensor in given.values()], parameters)
    assert found.shape == made.outputs[0].shape == (1, 4, 24, 16)
    assert np.linalg.norm(found - expected.numpy()) <= 1e-5 * np.linalg.norm(expected)


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request):
    """Return the kind of a family, and a folder with random weights of it."""
    return request.param, random_checkpoint(FAMILIES[request.param], 0)


def make_picture(strength=1.0):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:, :8] = 255
    return GivenPicture(image, strength, mask)


REQUEST = GenerationRequest("a large red circle", seed=2, steps=4, guidance_scale=3.0)


@pytest.mark.parametrize("strength", [0.5, pytest.param(1.0, marks=pytest.mark.exhaustive)])
def test_it_is_drawn_as_diffusers_draws(folder, strength):
    kind, path = folder
    checkpoint = open_checkpoint(path, FAMILIES[kind])
    picture = make_picture(strength)
    _, latents = draw_reference(
        checkpoint, load_pipeline(checkpoint), REQUEST, Quiet(), picture=picture
    )
    theirs = diffusers.DiffusionPipeline.from_pretrained(path, torch_dtype=torch.float32)
    assert type(theirs).__name__ == FAMILIES[kind].architecture.diffusers_pipeline
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        REQUEST.prompt,
        image=Image.fromarray(picture.image),
        mask_image=Image.fromarray(picture.mask),
        strength=strength,
        width=16,
        height=16,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(2),
        output_type="latent",
    ).images
    np.testing.assert_array_equal(latents, expected.numpy().ravel())


def test_it_draws_nothing_without_a_picture(folder):
    kind, path = folder
    checkpoint = open_checkpoint(path, FAMILIES[kind])
    pipeline = load_pipeline(checkpoint)
    with pytest.raises(UsageError, match="draws a part of a picture anew, and none is given"):
        draw_reference(checkpoint, pipeline, REQUEST, Quiet())
    picture = GivenPicture(make_picture().image, 0.5)
    with pytest.raises(UsageError, match="takes no picture without a mask"):
        draw_reference(checkpoint, pipeline, REQUEST, Quiet(), picture=picture)


def test_a_folder_of_one_kind_is_refused_for_the_other(folder):
    kind, path = folder
    plain = PLAIN[kind]
    with pytest.raises(CheckpointError, match="_class_name is .*Inpaint"):
        open_checkpoint(path, plain)
    with pytest.raises(CheckpointError, match="_class_name is StableDiffusion(XL)?Pipeline"):
        open_checkpoint(random_checkpoint(plain, 0), FAMILIES[kind])


def test_without_a_model_index_the_unet_tells_them_apart(folder, tmp_path):
    kind, path = folder
    copy = tmp_path / "copy"
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("model_index.json"))
    assert open_checkpoint(copy, FAMILIES[kind]).family.name == FAMILIES[kind].name
    with pytest.raises(CheckpointError, match="in_channels is 9"):
        open_checkpoint(copy, PLAIN[kind])
    config = json.loads((path / "unet" / "config.json").read_text(encoding="utf-8"))
    assert config["in_channels"] == 9


def test_a_single_file_is_told_by_its_first_convolution(tmp_path):
    folder = random_checkpoint(TINY_MASKED, 0)
    path = tmp_path / "model.safetensors"
    to_original(folder, TINY_MASKED, path)
    component = TINY_MASKED.component(DENOISER)
    shape = {"conv_in.weight": (64, 9, 3, 3)}
    found, kept = (
        next(open_checkpoint(place, TINY_MASKED).source.tensors(component, shape))
        for place in (path, folder)
    )
    assert torch.equal(found, kept)
    with pytest.raises(
        CheckpointError, match=r"has shape \[64, 9, 3, 3\], expected \[64, 4, 3, 3\]"
    ):
        open_checkpoint(path, TINY)
