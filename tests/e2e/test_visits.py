"""The page around the model: what it offers, asks, keeps and says; for everybody."""

import re

import pytest
from playwright.sync_api import expect

from pages import change_manifest, draw, files_of, kept_files, ready, watch
from wsd.bundle.npm import source_folder
from wsd.runtime.server import served

TIMEOUT_MS = 180_000


def test_a_second_visit_needs_no_server(visitor, speck):
    page = visitor.new_page()
    with served(speck[0]) as url:
        page.goto(url)
        ready(page)
        page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
        draw(page)
    page.reload()
    ready(page)
    assert page.evaluate("crossOriginIsolated")
    expect(page.locator("#model-facts")).to_contain_text("of it kept in this browser")
    draw(page)
    # A link from elsewhere may bring parameters that mean nothing here.
    page.goto(f"{url}?utm_source=a&fbclid=b&gclid=c&model=speck")
    ready(page)


def test_what_a_person_finds(visitor, origin):
    page = visitor.new_page()
    complaints = watch(page)
    page.goto(origin)
    ready(page)
    expect(page.locator("#model-facts")).to_contain_text("A model for tests. ")
    expect(page.locator("#model-facts")).to_contain_text("GPU memory: ")
    expect(page.get_by_label("Size")).to_have_value("16x16")
    # One model is no choice, and what is loaded needs no button.
    expect(page.locator("#model")).to_be_hidden()
    expect(page.locator("#load")).to_be_hidden()
    page.get_by_role("button", name="Another seed").click()
    seed = page.get_by_label("Seed").input_value()
    assert 0 <= int(seed) < 2**32
    draw(page)
    expect(page.get_by_role("img", name="a red circle").first).to_be_visible()
    expect(page.get_by_role("link", name=f"Save speck-{seed}-0.png")).to_be_visible()
    page.get_by_text("Times and memory").click()
    rows = {row.locator("th").inner_text(): row.locator("td").inner_text()
            for row in page.locator("#figures-body tr").all()}  # fmt: skip
    for name in ("Loading", "Denoising", "To the first preview", "Decoding"):
        assert re.fullmatch(r"\d+\.\d\d s", rows[name]), name
    assert rows["GPU memory at most"].endswith("MiB")
    # The test's adapter computes on the processor: it keeps the generated kernels.
    assert rows["Kernel variants"] == f"{rows['GPU pipelines']} generated"
    page.get_by_role("button", name="Forget this model").click()
    expect(page.get_by_role("status")).to_contain_text("Forgotten")
    assert kept_files(page) == set()
    assert complaints == []


@pytest.fixture(scope="module")
def phone(context, origin):
    """Return the page on a screen as narrow as a phone's, ready to draw."""
    narrow = context.browser.new_context(viewport={"width": 360, "height": 740})
    page = narrow.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(origin)
    ready(page)
    yield page
    narrow.close()


def test_by_keyboard_alone(phone):
    phone.get_by_label("Prompt", exact=True).fill("red")
    phone.get_by_label("Steps").fill("1")
    phone.get_by_label("Steps").press("Enter")
    expect(phone.get_by_role("status")).to_contain_text("Done in")
    phone.get_by_label("Prompt", exact=True).focus()
    reached = set()
    for _ in range(16):
        phone.keyboard.press("Tab")
        reached.add(phone.evaluate("() => document.activeElement.id"))
    assert {"negative", "seed", "dice", "size", "steps", "guidance", "scheduler", "draw"} <= reached


def test_nothing_stands_in_anybodys_way(phone):
    draw(phone)
    phone.get_by_text("Times and memory").click()
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 360
    phone.evaluate((source_folder("web") / "node_modules/axe-core/axe.min.js").read_text())
    for scheme in ("light", "dark"):
        phone.emulate_media(color_scheme=scheme)
        found = phone.evaluate("() => axe.run()")
        assert len(found["passes"]) > 10
        assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == [], scheme


def test_a_large_model_is_not_fetched_unasked(visitor, origin):
    page = visitor.new_page()
    files = files_of(page)

    def grow(manifest):
        manifest["components"]["unet"]["shards"][0]["bytes"] = 3 << 30

    change_manifest(page, "/manifest.json", grow)
    page.goto(origin)
    expect(page.get_by_role("button", name="Download 3.0")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Choose Download to begin.")
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()
    assert files() == []


def test_a_gpu_that_is_too_small_is_told_before_anything_is_fetched(visitor, origin):
    page = visitor.new_page()
    files = files_of(page)

    def demand(manifest):
        manifest["requires"]["limits"]["maxStorageBufferBindingSize"] = 2**50

    change_manifest(page, "/manifest.json", demand)
    page.goto(origin)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("the GPU's maxStorageBufferBindingSize is")
    expect(alert).to_contain_text("choose a smaller model")
    assert files() == []


NOT_FOUND = ({"status": 404}, "the server answered 404")
FAILURES = {
    # Fetched while pipelines are compiled, so that is stopped too.
    "vae-0": [
        NOT_FOUND,
        ({"body": "1234"}, "ended after 4 of "),
        ({"body": b"0" * 100_000}, "more than the expected "),
    ],
    "tokenizer": [
        NOT_FOUND,
        ({"status": 500}, "the server answered 500"),
        ({"content_type": "text/html", "body": "<p>"}, "sent a web page"),
    ],
}


def answering(answer):
    return lambda route: route.fulfill(**answer)


@pytest.mark.parametrize("part", ["vae-0", pytest.param("tokenizer", marks=pytest.mark.full)])
def test_trying_again_after_failures(visitor, origin, part):
    page = visitor.new_page()
    files = files_of(page)
    alert = page.get_by_role("alert")
    try_again = page.get_by_role("button", name=re.compile("Download|Load"))
    pattern = f"**/{part}.*"
    for turn, (answer, said) in enumerate(FAILURES[part]):
        page.route(pattern, answering(answer))
        page.goto(origin) if turn == 0 else try_again.click()
        expect(alert).to_contain_text(said)
        expect(alert).to_contain_text(f"{part}.")
        assert len(alert.inner_text().splitlines()) == 2  # what was wrong, and what to do
        page.unroute(pattern)
    before = files()
    try_again.click()
    ready(page)
    assert alert.is_hidden()
    again = set(before) & set(files()[len(before) :])
    assert [url for url in again if f"/{part}." not in url] == []  # what had arrived was kept
    draw(page)
