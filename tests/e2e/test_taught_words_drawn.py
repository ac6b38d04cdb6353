"""The LoRAs that ship with the small models, drawn in a browser and by diffusers."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from lora_pages import opened, read_picture, served_with_tools
from pages import draw, ready, unfold
from training.evaluate import held_out_scenes
from training.shape_metrics import find_things
from wsd.bundle.builder import build_bundle
from wsd.bundle.example_loras import FOLDER_NAME
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.progress import Quiet


def scene_of(word):
    """Return a held-out scene of two things, on a plain background."""
    return next(
        scene
        for scene in held_out_scenes(60, word)
        if scene.background[0] == scene.background[1] and scene.relation not in (None, "and")
    )


def drawn_by_diffusers(checkpoint, path, request):
    """Return picture and latents with a LoRA that diffusers loads."""
    pipeline = load_pipeline(checkpoint)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    images, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    return images[0], latents


def assert_drawn(context, address, checkpoint, steps):
    """Draw in the page with each LoRA that the manifest offers, and compare with diffusers."""
    family = checkpoint.family
    folder = f"/models/{family.name}"
    with opened(context, address, family.name) as call:
        manifest = context.request.get(f"{address.rstrip('/')}{folder}/manifest.json").json()
        assert manifest["example_loras"]
        for lora in manifest["example_loras"]:
            [word] = lora["trigger_words"]
            request = GenerationRequest(scene_of(word).caption, steps=steps, seed=3)
            arguments = ("drawPicture", request.prompt, request.steps, request.seed)
            plain, _ = read_picture(call(*arguments), family)
            checked = {"name": lora["name"], "sha256": lora["sha256"]}
            call("loadFrom", f"{folder}/{lora['file']}", checked)
            picture, latents = read_picture(call(*arguments), family)
            call("unloadLora")
            path = family.weights / FOLDER_NAME / f"{lora['name']}.safetensors"
            wanted, wanted_latents = drawn_by_diffusers(checkpoint, path, request)
            assert relative_error(latents, wanted_latents) < LATENTS_TOLERANCE
            assert psnr(picture, wanted) > PICTURE_PSNR
            assert any(word in (t.color, t.shape) for t in find_things(picture, [word]))
            assert not any(word in (t.color, t.shape) for t in find_things(plain, [word]))


@pytest.mark.exhaustive
def test_tiny_sd15_draws_what_its_loras_teach(context, address, shipped):
    assert_drawn(context, address, shipped, steps=8)


@pytest.mark.exhaustive
def test_tiny_sdxl_draws_what_its_loras_teach(context, tmp_path):
    family = find_family("tiny-sdxl")
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    library = compile_library(family, family.sizes, "f32", Quiet())
    bundle = build_bundle(checkpoint, library, tmp_path / "xl", Quiet())
    with served_with_tools(bundle) as url:
        assert_drawn(context, url, checkpoint, steps=5)


@pytest.mark.exhaustive
def test_the_page_offers_them(page, address, shipped):
    """A click adds one; the picture is diffusers', and its settings name the LoRA."""
    page.goto(address)
    ready(page)
    unfold(page, "LoRAs")
    offered = page.get_by_role("group", name="Made for this model").get_by_role("button")
    folder = shipped.family.weights / FOLDER_NAME
    path = min(folder.glob("*.safetensors"))
    offered.get_by_text(path.stem, exact=True).click()
    expect(page.locator("#loras-line")).to_have_text(f"{path.stem} 1")
    expect(offered.get_by_text(path.stem, exact=True)).to_have_count(0)
    word = page.locator(".lora .words button").text_content()
    request = GenerationRequest(scene_of(word).caption, steps=4, seed=5)
    unfold(page, "Settings")
    page.get_by_label("Seed", exact=True).fill(str(request.seed))
    draw(page, request.prompt, steps=request.steps)
    with page.expect_download() as download:
        page.locator("#pictures").get_by_role("link", name="Save tiny-sd15-").first.click()
    with Image.open(io.BytesIO(download.value.path().read_bytes())) as png:
        assert f"<lora:{path.stem}:1>" in png.text["parameters"]
        picture = np.asarray(png.convert("RGB"))
    wanted, _ = drawn_by_diffusers(shipped, path, request)
    assert psnr(picture, wanted) > PICTURE_PSNR
