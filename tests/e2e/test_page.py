"""The page as a person uses it, and what it says when something is missing."""

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect

from marks import some_of
from pages import (
    before_worker,
    change_manifest,
    find_violations,
    flip,
    in_page,
    long_tasks,
    ready,
    set_steps,
    unfold,
    watch,
)
from wsd.bundle.web_page import build_page
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.errors import UsageError
from wsd.runtime.request import GenerationRequest


def test_a_person_draws_a_picture(page, origin):
    complaints = watch(page)
    page.goto(origin)
    assert page.evaluate("crossOriginIsolated")
    expect(page.get_by_role("status")).to_have_text("Ready.")
    expect(page.get_by_label("Steps")).to_have_value("20")
    expect(page.get_by_label("Guidance")).to_have_value("3")
    # The page offers prompts that the model understands, the first one to begin with.
    prompt = page.get_by_label("Prompt", exact=True)
    expect(prompt).to_have_value(re.compile("^a large red circle left of"))
    set_steps(page, 4)
    with long_tasks(page) as blocked:
        page.get_by_role("button", name="three pink hearts on a black background").click()
        expect(page.get_by_role("status")).to_contain_text("Done in")
    assert blocked == []
    expect(prompt).to_have_value("three pink hearts on a black background")
    width, height, pixels = in_page(page, "canvasPixels")
    assert (width, height) == (16, 16)
    assert np.std(np.array(pixels).reshape(-1, 4)[:, :3]) > 10
    assert set(pixels[3::4]) == {255}

    # The saved picture carries its settings; dropped on the page, it brings them back.
    with page.expect_download() as download:
        page.get_by_role("link", name="Save speck-").first.click()
    saved = download.value.path().read_bytes()
    with Image.open(io.BytesIO(saved)) as picture:
        assert np.array_equal(np.array(picture.convert("RGBA")).ravel(), pixels)
        text = picture.text["parameters"]
    assert text.startswith("three pink hearts on a black background\nSteps: 4, Sampler: DPM++ 2M,")
    prompt.fill("something else")
    set_steps(page, 50)
    in_page(page, "dropPng", list(saved))
    expect(page.get_by_role("status")).to_contain_text("Settings taken from it.png")
    expect(prompt).to_have_value("three pink hearts on a black background")
    expect(page.get_by_label("Steps")).to_have_value("4")
    set_steps(page, 50)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"step \d+ of 50"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    assert complaints == []


def picture_with(**texts):
    """Return a PNG with texts, compressed where they are long, as Pillow writes them."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text, zip=len(text) > 200)
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG", pnginfo=info)
    return list(out.getvalue())


COMFYUI_GRAPH = {
    "1": {"class_type": "KSampler", "inputs": {
        "seed": 2**64 - 1, "steps": 7, "cfg": 4.25, "sampler_name": "euler_ancestral",
        "scheduler": "normal", "positive": ["2", 0], "negative": ["3", 0],
        "latent_image": ["4", 0], "model": ["5", 0]}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a blue ring", "clip": ["5", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "red\ndots", "clip": ["5", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
    "5": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
}  # fmt: skip


@pytest.mark.exhaustive
def test_settings_of_other_programs_are_taken_and_said(page, origin):
    page.goto(origin)
    ready(page)
    status = page.get_by_role("status")
    a1111 = (
        "a cat\nNegative prompt: dog\nSteps: 9, Sampler: DPM++ 2M, Schedule type: Karras, "
        'CFG scale: 7, Seed: -1, Size: 16x16, Lora hashes: "a: b, c: d", Clip skip: 2\n'
    )
    in_page(page, "dropPng", picture_with(parameters=a1111))
    expect(status).to_contain_text("Settings taken from it.png: prompt, negative prompt, seed")
    # How strongly LoRAs without a tag were applied is not known.
    expect(status).to_contain_text(
        "Not taken: skipped text layers 1 (this model does not use it); LoRA a; LoRA c."
    )
    form = {
        "Prompt": "a cat", "Negative prompt": "dog", "Seed": "-1", "Size": "16x16", "Steps": "9",
        "Guidance": "7", "Scheduler": "dpmpp_2m_karras",
    }  # fmt: skip
    expect_form(page, form)

    # A sampler that no program of the table has, and nothing else: the form stays as it is.
    in_page(page, "dropPng", picture_with(parameters="Steps: 9, Sampler: Restart, Size: 0x0"))
    expect(status).to_contain_text("sampler Restart (unknown, DPM-Solver++ 2M Karras stays)")
    expect(status).to_contain_text("size 0x0")
    expect(status).to_contain_text("prompt (it is empty)")
    expect_form(page, {**form, "Negative prompt": ""})

    in_page(page, "dropPng", picture_with(prompt=json.dumps(COMFYUI_GRAPH)))
    expect(status).to_contain_text("drawn with ComfyUI: prompt, negative prompt, seed, scheduler")
    expect(status).to_contain_text("Changed: size from 512x768 to 16x16")
    expect(status).to_contain_text("Its model was dream.safetensors; this one is speck")
    expect_form(page, {
        "Prompt": "a blue ring", "Negative prompt": "red dots", "Seed": str(2**64 - 1),
        "Size": "16x16", "Steps": "7", "Guidance": "4.25", "Scheduler": "euler_a",
    })  # fmt: skip

    # What brings no settings is a picture to begin with, if it is a picture.
    in_page(page, "dropPng", [1, 2, 3])
    expect(page.get_by_role("alert")).to_contain_text("it.png cannot be used as a picture.")
    in_page(page, "dropPng", picture_with(Title="a cat"))
    expect(status).to_have_text("it.png is the start picture.")
    page.get_by_role("button", name="Remove the picture").click()

    # What was taken can be drawn, and the picture tells the seed as it was given.
    set_steps(page, 1)
    page.get_by_role("button", name="Draw").click()
    expect(status).to_contain_text("Done in")
    expect(page.get_by_role("link", name=f"Save speck-{2**64 - 1}-0.png")).to_be_visible()
    page.get_by_label("Seed").fill(str(2**64))
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("alert")).to_contain_text("-9223372036854775808 to 1844674407370955161")


def as_png(pixels):
    """Return an array of (height, width, 3) bytes as the bytes of a PNG, in a list."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return list(out.getvalue())


def paint_a_line(page, length):
    """Paint with the keyboard alone, from the picture's middle to its right; pixels of 16."""
    page.get_by_role("button", name="Edit a part").click()
    painter = page.get_by_role("dialog", name="Paint what is to be drawn anew")
    expect(painter.get_by_role("application")).to_be_focused()
    for key in ("Space", *["ArrowRight"] * length, "Space"):
        page.keyboard.press(key)
    expect(painter.get_by_role("status")).to_contain_text("of the picture is drawn anew")
    assert find_violations(page) == []
    painter.get_by_role("button", name="Done").click()


@pytest.mark.exhaustive
def test_a_part_of_a_picture_is_drawn_anew(page, origin):
    complaints = watch(page)
    page.goto(origin)
    ready(page)
    given = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    in_page(page, "dropPng", as_png(given))
    expect(page.get_by_role("status")).to_have_text("it.png is the start picture.")
    expect(page.locator("#given")).to_contain_text(
        re.compile(r"16 . 16 pixels, used as they are\.")
    )
    paint_a_line(page, 5)
    unfold(page, "Options of the picture")
    page.get_by_label("Soft edge").fill("0")
    assert find_violations(page) == []
    set_steps(page, 2)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text("Done in")
    _, _, pixels = in_page(page, "canvasPixels")
    drawn = np.array(pixels, np.uint8).reshape(16, 16, 4)[..., :3]
    changed = (drawn != given).any(axis=-1)
    # The brush is two pixels wide; the rest comes back to the byte.
    assert changed[7:9, 8:13].any()
    assert not changed[:6].any()
    assert not changed[10:].any()
    before = page.get_by_role("slider", name="How much of the picture from before is shown")
    before.fill("100")
    shown = page.locator("#before").evaluate(
        "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 16, 16).data]"
    )
    assert np.array_equal(np.array(shown, np.uint8).reshape(16, 16, 4)[..., :3], given)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save speck-").first.click()
    with Image.open(download.value.path()) as picture:
        text = picture.text["parameters"]
    assert "Denoising strength: 1, Mask blur: 0, Masked content: original" in text

    # The picture, its mask and their options stay over a reload.
    page.reload()
    expect(page.locator("#given")).to_contain_text("of the picture is drawn anew")
    unfold(page, "Options of the picture")
    expect(page.get_by_label("Soft edge")).to_have_value("0")
    assert complaints == []


@pytest.mark.exhaustive
def test_pictures_are_drawn_from_pictures(page, origin):
    """A picture of another shape, enlarged; then one of the gallery, and its variation."""
    page.goto(origin)
    ready(page)
    status = page.get_by_role("status")
    in_page(page, "dropPng", as_png(np.full((8, 24, 3), 200, np.uint8)))
    given = page.locator("#given")
    expect(given).to_contain_text(re.compile("the middle 8 . 8 are used, as 16 . 16"))
    unfold(page, "Options of the picture")
    page.get_by_label("Above").fill("16")
    expect(given).to_contain_text(re.compile("24 . 24 pixels, scaled to 16 . 16"))
    page.get_by_label("Draw only around the painted part").check()
    set_steps(page, 2)
    page.get_by_role("button", name="Draw").click()
    expect(status).to_contain_text("Done in")
    # Only the new part was drawn, and put back into the larger picture.
    width, height, _ = in_page(page, "canvasPixels")
    assert (width, height) == (24, 24)

    page.get_by_role("button", name="Start from it").click()
    expect(given).to_contain_text(re.compile("24 . 24 pixels"))
    page.get_by_label("Strength", exact=True).first.fill("0.5")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#pictures .tile")).to_have_count(2)
    expect(status).to_contain_text("Done in")
    page.get_by_role("button", name="Vary").click()
    expect(page.locator("#pictures .tile")).to_have_count(3)
    expect(page.locator("#variation")).to_contain_text("15% of the noise of seed")


@pytest.mark.exhaustive
def test_a_model_without_an_encoder_draws_from_words_alone(page, origin):
    def leave_out(manifest):
        roles = ("vae_encoder", "vae_encoder_tile", "rgba_to_image", "masked_blend")
        manifest["entry_points"] = [
            each for each in manifest["entry_points"] if each["role"] not in roles
        ]

    change_manifest(page, "/manifest.json", leave_out)
    page.goto(origin)
    ready(page)
    expect(page.get_by_role("button", name="Start from a picture")).to_be_hidden()
    expect(page.get_by_text("This model draws from words alone")).to_be_visible()
    in_page(page, "dropPng", as_png(np.zeros((16, 16, 3), np.uint8)))
    expect(page.get_by_role("status")).to_have_text("it.png holds no settings.")


def expect_form(page, values):
    """Wait until the form's fields have these values, by their labels."""
    for label, value in values.items():
        # "Prompt" is in "Negative prompt", and that in "Second negative prompt"; the labels of
        # lists hold what they offer.
        field = page.get_by_label(label, exact="prompt" in label.lower())
        expect(field).to_have_value(value)


def test_no_webgpu_in_the_browser(page, origin):
    before_worker(page, "no_webgpu")
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text("no WebGPU")


@pytest.mark.exhaustive
def test_no_adapter(page, origin):
    before_worker(page, "no_adapter")
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text("No WebGPU adapter was found")
    expect(page.get_by_role("alert")).to_contain_text("hardware acceleration")
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()


@pytest.mark.exhaustive
def test_a_worker_that_cannot_be_fetched(page, origin):
    page.route("**/worker.*.js", lambda route: route.abort())
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"worker\.\w+\.js could not be"))
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()


@pytest.mark.exhaustive
def test_a_worker_that_stops(page, origin):
    before_worker(page, "broken_worker")
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text("nowhere is not defined")
    expect(page.get_by_role("alert")).to_contain_text("current version of the browser")


@pytest.mark.parametrize("part", some_of(["vae-0", "library", "tokenizer"], 3))
def test_a_flipped_byte_is_named_and_never_used(page, origin, part):
    page.route(f"**/{part}.*", flip)
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text(f"{part}.")
    expect(page.get_by_role("alert")).to_contain_text("sha256 mismatch")


@pytest.mark.full
def test_a_missing_file(page, origin):
    page.route("**/unet-0.*", lambda route: route.fulfill(status=404, body="gone"))
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text("answered 404")


def run_render(bundle, out, *more, **environment):
    """Run the command in a process of its own: this one's Playwright is in use."""
    command = [sys.executable, "-m", "wsd", "render", bundle, "--prompt", "a star", "--out", out]
    return subprocess.run(
        [*command, *more], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.exhaustive
def test_render_command(speck, speck_renderer, tmp_path):
    """The page's own worker draws what the driver's draws, to the bit."""
    bundle, _ = speck
    out, figures = tmp_path / "picture.png", tmp_path / "figures.json"
    done = run_render(bundle, out, "--steps", "1", "--guidance", "1", "--json", figures)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    with Image.open(out) as image:
        assert image.size == (16, 16)
    report = json.loads(figures.read_text())
    assert report["adapter"]["architecture"] == "swiftshader"
    assert report["timings_ms"]["total"] > 0
    again = speck_renderer.draw(GenerationRequest("a star", steps=1, guidance_scale=1.0))
    assert report["latents_sha256"] == again.report().latents_sha256
    assert report["images_sha256"] == list(again.report().images_sha256)


@pytest.mark.exhaustive
def test_render_without_an_adapter(speck, tmp_path):
    out = tmp_path / "picture.png"
    done = run_render(speck[0], out, WSD_WEBGPU_ADAPTER="none")
    assert done.returncode == 2
    assert "error: UnsupportedError: no WebGPU adapter was found" in done.stderr
    assert "hint: " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_previews_are_the_fitted_map_of_the_predicted_picture(speck_renderer, speck):
    manifest = json.loads((speck[0] / "models/speck/manifest.json").read_text())
    drawn = speck_renderer.draw(GenerationRequest("a star", steps=4, seed=3), preview_every=2)
    assert [step for step, _ in drawn.previews] == [2, 4]
    shown = [pixels for _, pixels in drawn.previews]
    assert {pixels.shape for pixels in shown} == {(16, 16, 3)}
    # This scheduler's last prediction is its result.
    latents = drawn.latents.reshape(4, 256)
    colours = np.array(manifest["preview"]["weights"]) @ latents
    colours += np.array(manifest["preview"]["bias"])[:, None]
    expected = np.clip((colours / 2 + 0.5) * 255, 0, 255).T.reshape(16, 16, 3)
    assert np.abs(shown[-1] - expected).max() <= 1
    assert np.abs(shown[0] - expected).max() > 10


def test_options_out_of_range_are_refused_by_the_api(speck_renderer):
    before = speck_renderer.usage()
    for options, allowed in [
        ({"numInferenceSteps": 101}, "1 to 100"),
        ({"numInferenceSteps": 51, "scheduler": "lcm"}, "1 to 50"),
        ({"scheduler": "magic"}, "dpmpp_2m"),
        ({"seed": 2**64}, "-9223372036854775808 to 18446744073709551615"),
        ({"width": 64, "height": 64}, "16x16"),
        ({"numImages": 17}, "1 to 16"),
    ]:
        with pytest.raises(UsageError) as caught:
            speck_renderer.draw_with("a star", options)
        assert allowed in caught.value.hint
    assert speck_renderer.usage() == before


def test_what_the_page_weighs(monkeypatch, tmp_path):
    """Everything but the model, as a server sends it."""
    monkeypatch.delenv("WSD_COVERAGE", raising=False)  # it makes scripts large
    build_page(tmp_path, tvmjs_source())
    shutil.rmtree(tmp_path / "driver")  # the page never loads it
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".js", ".css", ".html")]
    assert len(files) > 6
    for path in files:
        assert "combineLatents" not in path.read_text(), path  # a call of the driver's worker
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 276_000
