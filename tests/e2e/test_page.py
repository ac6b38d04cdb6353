"""The page as a person uses it, and what it says when something is missing."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

PIXELS = """
() => {
  const canvas = document.getElementById("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.width, canvas.height, Array.from(data)];
}
"""


def watch(page):
    """Collect what the page complains about."""
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def test_a_person_draws_a_picture(page, address):
    complaints = watch(page)
    page.goto(address)
    assert page.evaluate("crossOriginIsolated")
    expect(page.get_by_role("status")).to_have_text("Ready.")
    expect(page.get_by_label("Steps")).to_have_value("20")
    expect(page.get_by_label("Guidance")).to_have_value("7.5")
    page.get_by_label("Prompt", exact=True).fill("a green star")
    page.get_by_label("Steps").fill("2")
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text("Done in")
    width, height, pixels = page.evaluate(PIXELS)
    assert (width, height) == (128, 128)
    assert np.std(np.array(pixels).reshape(-1, 4)[:, :3]) > 10
    assert set(pixels[3::4]) == {255}

    page.get_by_label("Steps").fill("50")
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"step \d+ of 50"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    assert complaints == []


def test_no_webgpu_in_the_browser(page, address):
    # Workers ask for themselves: take it from where the pipeline runs.
    page.route("**/worker.*.js", lambda route: prepend(route, "delete Navigator"))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("no WebGPU")


def test_no_adapter(page, address):
    page.route("**/worker.*.js", lambda route: prepend(route, NO_ADAPTER))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("no WebGPU adapter was found")
    expect(page.get_by_role("alert")).to_contain_text("hardware acceleration")
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()


NO_ADAPTER = "navigator.gpu.requestAdapter = async () => null;"


def prepend(route, code):
    if code == "delete Navigator":
        code = "Object.defineProperty(navigator, 'gpu', { value: undefined });"
    response = route.fetch()
    route.fulfill(response=response, body=code + response.text())


@pytest.mark.parametrize("part", ["vae-0", "library", "tokenizer"])
def test_a_flipped_byte_is_named_and_never_used(page, address, part):
    def flip(route):
        response = route.fetch()
        data = bytearray(response.body())
        data[len(data) // 2] ^= 1
        route.fulfill(response=response, body=bytes(data))

    page.route(f"**/{part}.*", flip)
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text(f"{part}.")
    expect(page.get_by_role("alert")).to_contain_text("sha256 mismatch")


def test_a_missing_file(page, address):
    page.route("**/unet-0.*", lambda route: route.fulfill(status=404, body="gone"))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("answered 404")


def run_render(bundle, out, *more, **environment):
    """Run the command in a process of its own: this one's Playwright is in use."""
    command = [sys.executable, "-m", "wsd", "render", bundle, "--prompt", "a star", "--out", out]
    return subprocess.run(
        [*command, *more], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_render_command(bundle, tmp_path):
    out, figures = tmp_path / "picture.png", tmp_path / "figures.json"
    done = run_render(bundle, out, "--steps", "1", "--guidance", "1", "--json", figures)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    with Image.open(out) as image:
        assert image.size == (128, 128)
    report = json.loads(figures.read_text())
    assert report["adapter"]["architecture"] == "swiftshader"
    assert report["timings_ms"]["total"] > 0


def test_render_without_an_adapter(bundle, tmp_path):
    out = tmp_path / "picture.png"
    done = run_render(bundle, out, WSD_WEBGPU_ADAPTER="none")
    assert done.returncode == 2
    assert "error: UnsupportedError: no WebGPU adapter was found" in done.stderr
    assert "hint: " in done.stderr
    assert not list(tmp_path.iterdir())
