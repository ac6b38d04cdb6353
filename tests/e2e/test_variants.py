"""Several models and precisions on one page: the first that fits the GPU is taken."""

import json

import pytest
from playwright.sync_api import expect

from pages import change_manifest, draw, kept_files, ready, set_steps, unfold
from speck import SPECK, TWIN
from wsd.bundle.builder import build_bundle
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.runtime.server import served
from wsd.util.progress import Quiet

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def joined(speck, tmp_path_factory):
    """Return a bundle of speck in f32 and w8a16, and of another model of the same library."""
    folder = tmp_path_factory.mktemp("variants")
    packed = compile_library(SPECK, SPECK.sizes, "w8a16", Quiet())
    whole = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    more = [
        build_bundle(open_checkpoint(choose_checkpoint(family, None, seed), family), library,
                     folder / name, Quiet())
        for name, family, seed, library in (("w8a16", SPECK, 0, packed), ("twin", TWIN, 1, whole))
    ]  # fmt: skip
    return join_bundles([speck[0], *more], folder / "joined")


@pytest.fixture
def page(context, joined):
    visitor = context.browser.new_context()
    visitor.set_default_timeout(180_000)
    tab = visitor.new_page()
    tab.files = []
    tab.on("request", lambda request: tab.files.append(request.url))
    with served(joined) as tab.address:
        yield tab
    visitor.close()


def test_one_bundle(joined):
    assert list(verify_bundle(joined)) == []
    index = json.loads((joined / "models" / "index.json").read_text())
    assert [(entry["name"], entry["dtype"], entry["manifest"]) for entry in index] == [
        ("speck", "f32", "speck/"), ("speck", "w8a16", "speck-w8a16/"), ("twin", "f32", "twin/"),
    ]  # fmt: skip


def test_the_preferred_precision_or_another_that_is_asked_for(page):
    page.goto(page.address)
    ready(page)
    facts = page.locator("#model-facts")
    precision = page.get_by_label("Precision")
    assert precision.locator("option").all_text_contents() == ["f32", "w8a16"]
    whole = facts.text_content()
    unfold(page, "About this model")
    precision.select_option("w8a16")
    expect(facts).not_to_have_text(whole)
    ready(page)
    assert any("/speck-w8a16/unet-0." in url for url in page.files)
    draw(page)


def test_a_gpu_that_only_the_smaller_fits(page):
    def demand(manifest):
        manifest["requires"]["limits"]["maxStorageBufferBindingSize"] = 1 << 50

    change_manifest(page, "/speck/manifest.json", demand)
    page.goto(page.address)
    ready(page)
    notice = page.get_by_label("Notices")
    expect(notice).to_contain_text(
        "w8a16 is used instead of f32: the GPU's maxStorageBufferBindingSize is"
    )
    assert page.get_by_label("Precision").locator("option:checked").text_content() == "w8a16"
    assert not [url for url in page.files if "/speck/" in url and url.endswith(".bin")]


@pytest.mark.parametrize("role", ["vae_decoder", "denoiser"])
def test_a_picture_that_its_buffers_do_not_fit(page, role):
    """The decoder goes over to tiles; for the UNet there is no other way."""

    def grow(manifest):
        for entry in manifest["entry_points"]:
            if entry["role"] == role:
                entry["largest_buffer_bytes"] = 1 << 50

    change_manifest(page, "/manifest.json", grow)
    page.goto(page.address + "?model=twin")
    if role == "denoiser":
        expect(page.get_by_role("alert")).to_contain_text("A picture of 16x16 needs a GPU buffer")
        assert not [url for url in page.files if url.endswith(".bin")]
        return
    ready(page)
    expect(page.get_by_label("Notices")).to_contain_text("it is decoded in tiles")
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text("Done in")


def test_a_reload_comes_back_to_the_model_that_was_chosen(page):
    page.goto(page.address)
    ready(page)
    page.get_by_label("Prompt", exact=True).fill("two stars")
    set_steps(page, 7)
    page.get_by_label("Model", exact=True).select_option("twin")
    expect(page.locator("#model-facts")).to_contain_text("Another model")
    ready(page)
    # The model's own settings, with what was written.
    steps = page.get_by_label("Steps")
    expect(steps).to_have_value("20")
    set_steps(page, 9)
    page.reload()
    ready(page)
    expect(page.get_by_label("Model", exact=True)).to_have_value("twin")
    expect(steps).to_have_value("9")
    # Settings that were kept for one model are not those of another.
    page.goto(page.address + "?model=speck")
    ready(page)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("two stars")
    expect(steps).to_have_value("20")


def test_forgetting_one_model_keeps_what_another_shares(page, joined):
    page.goto(page.address + "?model=twin")
    ready(page)
    page.goto(page.address + "?model=speck")
    ready(page)
    both = kept_files(page)
    unfold(page, "About this model")
    page.get_by_role("button", name="Forget this model").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("status")).to_contain_text("Forgotten")
    left = kept_files(page)
    twin = json.loads((joined / "models" / "twin" / "manifest.json").read_text())
    assert left < both
    assert twin["library"]["sha256"] in left
    before = len(page.files)
    page.goto(page.address + "?model=twin")
    ready(page)
    assert not [url for url in page.files[before:] if url.endswith((".bin", ".wasm"))]
