"""Examples: a picture saved from the page is offered by another bundle, and drawn again."""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from pages import draw, find_violations, ready, unfold, watch
from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.example_pictures import read_examples
from wsd.compiler.driver import compile_library
from wsd.runtime.server import served
from wsd.util.progress import Quiet

PROMPT = "a green star"


def save(page):
    """Return the PNG of the newest picture."""
    with page.expect_download() as download:
        page.locator("#pictures").get_by_role("link", name="Save speck-").first.click()
    return download.value.path().read_bytes()


def read(png):
    """Return a picture's pixels and its settings."""
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGB").tobytes(), picture.text["parameters"]


@pytest.fixture
def drawn(page, origin):
    """Return the PNG of a picture that was drawn with settings of its own."""
    page.goto(origin)
    ready(page)
    unfold(page, "Settings")
    page.get_by_label("Negative prompt", exact=True).fill("a red circle")
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Guidance", exact=True).fill("2.5")
    draw(page, PROMPT, steps=3)
    return save(page)


@pytest.mark.exhaustive
def test_a_saved_picture_becomes_an_example_that_draws_it_again(page, drawn, speck, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(drawn)
    _, checkpoint = speck
    library = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    examples = read_examples(tmp_path / "pictures")
    out = build_bundle(checkpoint, library, tmp_path / "out", Quiet(), examples=examples)
    complaints = watch(page)
    with served(out) as url:
        page.goto(url)
        ready(page)
        button = page.get_by_role("group", name="Or try one of these").get_by_role("button")
        expect(button).to_have_text(PROMPT)
        expect(button.locator("img")).to_have_js_property("naturalWidth", 16)
        assert find_violations(page) == []
        button.click()
        expect(page.get_by_role("status")).to_contain_text("Done in")
        expect(page.locator(".taken")).to_be_hidden()
        assert read(save(page)) == read(drawn)
        assert complaints == []
        # A picture that is not the manifest's is not shown, and its prompt is offered all the same.
        page.route("**/example.*.webp", lambda route: route.fulfill(body=b"RIFF----WEBP"))
        page.reload()
        ready(page)
        expect(button.locator("img")).to_have_count(0)
        expect(button).to_have_text(PROMPT)
    assert any("integrity" in complaint for complaint in complaints)
