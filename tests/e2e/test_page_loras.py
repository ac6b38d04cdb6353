"""LoRAs on the page: dropped, listed, applied, kept over a reload, and taken from a picture."""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect
from safetensors.torch import save

from adapters_data import make_adapter
from pages import draw, find_violations, in_page, ready, unfold, watch
from speck import SPECK, SPECK_XL


def as_file(family, seed=1, **metadata):
    """Return a LoRA for a family as the bytes of a file, in a list."""
    tensors, own = make_adapter(family, "lora", seed)
    return list(save({name: t.contiguous() for name, t in tensors.items()}, {**own, **metadata}))


def as_distilled_file(family):
    """Return a LoRA that changes the denoiser alone, convolutions too, as distilled ones do."""
    tensors, _ = make_adapter(family, "locon")
    return list(save({n: t.contiguous() for n, t in tensors.items() if "lora_te" not in n}))


def draw_seed(page):
    """Draw a picture of one seed, and return its pixels."""
    unfold(page, "Settings")
    page.get_by_label("Seed").fill("5")
    draw(page)
    return in_page(page, "canvasPixels")[2]


def save_last(page):
    """Return the bytes of the last picture's file."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Save speck-").first.click()
    return download.value.path().read_bytes()


@pytest.mark.exhaustive
def test_a_lora_changes_pictures_stays_and_goes(visitor, origin):
    page = visitor.new_page()
    complaints = watch(page)
    page.goto(origin)
    ready(page)
    status, folded = page.get_by_role("status"), page.locator("#loras")
    expect(folded).to_contain_text("None is loaded.")
    without = draw_seed(page)

    words = {"modelspec.trigger_phrase": "pixel art, 8 bit"}
    in_page(page, "dropFile", as_file(SPECK, **words), "pixel-art.safetensors")
    expect(status).to_contain_text("pixel-art is on: it changes")
    expect(folded).to_contain_text("pixel-art 1")
    strength = page.get_by_role("slider", name="Strength of pixel-art")
    expect(strength).to_have_value("1")
    assert find_violations(page) == []
    page.get_by_role("button", name="pixel art", exact=True).click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red circle, pixel art")
    whole = draw_seed(page)
    assert whole != without
    saved = save_last(page)
    with Image.open(io.BytesIO(saved)) as picture:
        text = picture.text["parameters"]
    assert text.startswith("a red circle <lora:pixel-art:1>\n")
    assert 'Lora hashes: "pixel-art: ' in text
    # With the keyboard alone.
    strength.focus()
    page.keyboard.press("ArrowLeft")
    expect(folded).to_contain_text("pixel-art 0.95")
    weaker = draw_seed(page)
    assert weaker not in (whole, without)

    page.reload()
    ready(page)
    expect(folded).to_contain_text("pixel-art 0.95")
    assert draw_seed(page) == weaker
    in_page(page, "dropPng", list(saved))
    expect(status).to_contain_text("LoRA pixel-art 1.")
    expect(folded).to_contain_text("pixel-art 1")
    assert draw_seed(page) == whole

    # A file of another model says so, and the page draws on.
    in_page(page, "dropFile", as_file(SPECK_XL), "large.safetensors")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("large.safetensors cannot be used with this model.")
    assert find_violations(page) == []
    unfold(page, "LoRAs")
    page.get_by_role("checkbox", name="pixel-art").uncheck()
    expect(folded).to_contain_text("None is on.")
    assert draw_seed(page) == without
    page.get_by_role("button", name="Remove pixel-art").click()
    expect(page.get_by_role("button", name="Add LoRAs")).to_be_focused()
    page.reload()
    ready(page)
    expect(folded).to_contain_text("None is loaded.")
    assert draw_seed(page) == without
    # The test itself reads the canvas often.
    assert [said for said in complaints if "getImageData" not in said] == []


@pytest.mark.exhaustive
def test_a_lora_of_few_steps_sets_the_form_draws_and_gives_it_back(visitor, origin):
    page = visitor.new_page()
    complaints = watch(page)
    page.goto(origin)
    ready(page)
    unfold(page, "Settings")
    # The name of the LoRA has such words too.
    steps, guidance = (page.get_by_label(name, exact=True) for name in ("Steps", "Guidance"))
    scheduler = page.get_by_label("Scheduler", exact=True)
    before = (scheduler.input_value(), steps.input_value(), guidance.input_value())

    in_page(page, "dropFile", as_distilled_file(SPECK), "Hyper-SD15-8steps-CFG-lora.safetensors")
    expect(page.get_by_role("status")).to_contain_text("is made for few steps")
    expect(scheduler).to_have_value("ddim_trailing")
    expect(steps).to_have_value("8")
    expect(guidance).to_have_value("5")
    page.get_by_label("Prompt", exact=True).fill("a red circle")
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text("Done in")
    with Image.open(io.BytesIO(save_last(page))) as picture:
        text = picture.text["parameters"]
    assert text.startswith("a red circle <lora:Hyper-SD15-8steps-CFG-lora:1>\n")
    assert "Steps: 8, Sampler: DDIM, Schedule type: SGM Uniform, CFG scale: 5," in text

    unfold(page, "LoRAs")
    page.get_by_role("checkbox", name="Hyper-SD15-8steps-CFG-lora").uncheck()
    expect(page.get_by_role("status")).to_contain_text("The settings from before are back.")
    assert (scheduler.input_value(), steps.input_value(), guidance.input_value()) == before
    assert complaints == []
