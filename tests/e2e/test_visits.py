"""The page around the model: what it offers, asks, keeps and says; for everybody."""

import re

import pytest
from playwright.sync_api import expect

from pages import (
    change_manifest,
    draw,
    files_of,
    find_violations,
    kept_files,
    ready,
    set_steps,
    unfold,
    watch,
)
from wsd.runtime.server import served

TIMEOUT_MS = 180_000


@pytest.mark.full
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


@pytest.mark.exhaustive
def test_what_a_person_finds(visitor, origin):
    page = visitor.new_page()
    complaints = watch(page)
    page.goto(origin)
    ready(page)
    expect(page.locator("#model-facts")).to_contain_text("A model for tests. ")
    expect(page.locator("#model-facts")).to_contain_text("GPU memory: ")
    # One model is no choice, and what is loaded needs no button.
    expect(page.locator("#model")).to_be_hidden()
    expect(page.locator("#load")).to_be_hidden()
    unfold(page, "Settings")
    expect(page.get_by_label("Size")).to_have_value("16x16")
    # Each picture has a new seed, which the form shows.
    seeds = set()
    for _ in range(2):
        draw(page)
        seeds.add(page.get_by_label("Seed").input_value())
    assert len(seeds) == 2
    assert all(0 <= int(seed) < 2**32 for seed in seeds)
    expect(page.get_by_role("img", name="a red circle").first).to_be_visible()
    for seed in seeds:
        expect(page.get_by_role("link", name=f"Save speck-{seed}-0.png")).to_be_visible()
    # Small pictures show their pixels; larger ones are smoothed.
    expect(page.locator("#canvas")).to_have_css("image-rendering", "pixelated")
    # A seed that is given stays.
    page.get_by_label("Seed").fill("7")
    draw(page)
    draw(page)
    expect(page.get_by_label("Seed")).to_have_value("7")
    expect(page.get_by_role("link", name="Save speck-7-0.png")).to_have_count(2)
    page.get_by_text("Times and memory").click()
    rows = {row.locator("th").inner_text(): row.locator("td").inner_text()
            for row in page.locator("#figures-body tr").all()}  # fmt: skip
    for name in ("Ready after", "Denoising", "To the first preview", "Decoding"):
        assert re.fullmatch(r"\d+\.\d seconds", rows[name]), name
    assert re.fullmatch(r"[\d.]+ [kM]B", rows["GPU memory at most"])
    # The test's adapter computes on the processor: it keeps the generated kernels.
    assert rows["Kernel variants"] == f"{rows['GPU pipelines']} generated"
    # Nothing is forgotten without being asked for twice.
    unfold(page, "About this model")
    for answer in ("Keep it", "Forget it"):
        assert kept_files(page) != set()
        page.get_by_role("button", name="Forget this model").click()
        expect(page.get_by_role("dialog")).to_contain_text("from this browser")
        expect(page.get_by_role("button", name="Keep it")).to_be_focused()
        if answer == "Keep it":
            expect(page.locator("#model-facts")).to_contain_text("kept")
            assert find_violations(page) == []
        page.get_by_role("button", name=answer).click()
    expect(page.get_by_role("status")).to_contain_text("Forgotten")
    expect(page.locator("#model-facts")).not_to_contain_text("kept")
    expect(page.locator("summary", has_text="About this model")).to_be_focused()
    assert kept_files(page) == set()
    assert complaints == []


SIZES = {"desktop": (1440, 900), "tablet": (768, 1024), "phone": (390, 844), "narrow": (320, 640)}


@pytest.fixture(scope="module")
def phone(context, origin):
    """Return the page on a screen as small as a phone's, ready to draw."""
    narrow = context.browser.new_context(viewport={"width": 390, "height": 844})
    page = narrow.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(origin)
    ready(page)
    yield page
    narrow.close()


def focused(page):
    return page.evaluate("() => document.activeElement.id")


@pytest.mark.exhaustive
def test_by_keyboard_alone(phone):
    prompt, status = phone.get_by_label("Prompt", exact=True), phone.get_by_role("status")
    prompt.fill("red")
    set_steps(phone, 1)
    phone.get_by_label("Steps").press("Enter")
    expect(status).to_contain_text("Done in")
    prompt.focus()
    reached = []
    for _ in range(40):
        phone.keyboard.press("Tab")
        reached.append(focused(phone))
    # The order is that of the page: what is written, the button, the picture, the settings.
    wanted = [
        "draw",
        "negative",
        "steps",
        "guidance",
        "seed",
        "random",
        "size",
        "scheduler",
        "images",
    ]
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted

    # From the prompt a picture begins with Ctrl and Enter, and Escape stops it.
    set_steps(phone, 100)
    prompt.press("Control+Enter")
    expect(status).to_contain_text(re.compile(r"step \d+ of 100"))
    assert "%" in phone.title()
    phone.keyboard.press("Escape")
    expect(status).to_have_text("Stopped.")
    assert focused(phone) == "prompt"
    assert phone.title() == "speck: Web Stable Diffusion"
    expect(phone.locator("#progress")).to_be_hidden()

    # The one button keeps the focus while it changes what it does.
    phone.get_by_role("button", name="Draw").press("Enter")
    expect(status).to_contain_text(re.compile(r"step \d+ of 100"))
    assert focused(phone) == "draw"
    phone.get_by_role("button", name="Stop").press("Enter")
    expect(status).to_have_text("Stopped.")
    assert focused(phone) == "draw"
    expect(phone.get_by_role("button", name="Draw")).to_be_enabled()


def resize(page, name):
    width, height = SIZES[name]
    page.set_viewport_size({"width": width, "height": height})
    return width, height


@pytest.mark.exhaustive
def test_nothing_stands_in_anybodys_way(phone):
    draw(phone)
    for title in ("Times and memory", "Settings", "About this model"):
        unfold(phone, title)
    for name in SIZES:
        width, _ = resize(phone, name)
        assert phone.evaluate("() => document.documentElement.scrollWidth") <= width
        assert find_violations(phone) == [], name
    phone.emulate_media(forced_colors="active")
    assert find_violations(phone) == []
    phone.emulate_media(forced_colors="none")


def box(page, selector):
    return page.locator(selector).bounding_box()


@pytest.mark.exhaustive
def test_the_picture_is_in_sight(phone):
    """Without scrolling: with the prompt and the button beside it, or above it on a phone."""
    phone.reload()
    ready(phone)
    for name in ("desktop", "tablet", "phone"):
        width, height = resize(phone, name)
        phone.evaluate("() => scrollTo(0, 0)")
        prompt, button, frame = box(phone, "#prompt"), box(phone, "#draw"), box(phone, "#frame")
        assert prompt["y"] < button["y"]
        assert frame["y"] + frame["height"] <= height, name
        if name == "desktop":
            assert frame["x"] > prompt["x"] + prompt["width"]
            assert frame["width"] > width / 3
        else:
            assert button["y"] < frame["y"]
            assert frame["width"] > width * 0.75, name


LANGUAGES = {
    "de": ("Bereit.", "ltr", "Zeichnen"),
    "ar": ("جاهز.", "rtl", "ارسم"),
    "en": ("Ready.", "ltr", "Draw"),
}


@pytest.mark.exhaustive
def test_languages(visitor, origin):
    page = visitor.new_page()
    page.goto(origin)
    ready(page)
    for code, (said, direction, button) in LANGUAGES.items():
        page.locator("#language").select_option(code)
        expect(page.get_by_role("status")).to_have_text(said)
        expect(page.get_by_role("button", name=button)).to_be_visible()
        assert page.evaluate("() => [document.dir, document.documentElement.lang]") == [
            direction, code,
        ]  # fmt: skip
        resize(page, "narrow")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
        assert find_violations(page) == [], code
    # The choice is kept, whatever the browser prefers.
    page.locator("#language").select_option("ar")
    page.reload()
    expect(page.get_by_role("status")).to_have_text(LANGUAGES["ar"][0])


@pytest.mark.exhaustive
def test_the_language_that_the_browser_prefers(context, origin):
    german = context.browser.new_context(locale="de-AT")
    page = german.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(origin)
    expect(page.get_by_role("status")).to_have_text(LANGUAGES["de"][0])
    german.close()


@pytest.mark.exhaustive
def test_a_picture_that_waits_for_the_model(visitor, origin):
    page = visitor.new_page()
    page.route("**/unet-0.*", lambda _route: None)  # it never comes
    page.goto(origin)
    status = page.get_by_role("status")
    expect(status).to_contain_text("Getting the model ready")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#preparing-how")).to_contain_text("Your picture is next")
    assert find_violations(page) == []
    page.get_by_role("button", name="Stop").click()
    expect(status).to_have_text("Stopped.")
    # Loading goes on; it has a button of its own, and what has arrived is not offered again.
    page.get_by_role("button", name="Pause").click()
    expect(status).to_contain_text("Paused.")
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()
    page.unroute("**/unet-0.*")
    page.get_by_role("button", name=re.compile("Download|Load")).click()
    page.get_by_role("button", name="Draw").click()
    expect(status).to_contain_text("Done in")


def test_a_large_model_is_not_fetched_unasked(visitor, origin):
    page = visitor.new_page()
    files = files_of(page)

    def grow(manifest):
        components = manifest["components"]
        # With the library and the other weights, which are less than 10 MB, 3.00 GB.
        components["unet"]["shards"][0]["bytes"] = 2_995_000_000
        # It is fetched with the first picture that is given.
        components["vae_encoder"]["shards"][0]["bytes"] = 1_000_000_000

    change_manifest(page, "/manifest.json", grow)
    page.goto(f"{origin}?model=dream")
    expect(page.get_by_role("button", name="Download 3.00 GB")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Choose Download to begin.")
    expect(page.get_by_label("Notices")).to_contain_text("There is no model named “dream” here")
    # What a visitor decides by: how much, how long, how large, and that it is once.
    facts = page.locator("#offer-facts")
    for fact in ("once: 3.00 GB", "on this connection", "graphics memory"):
        expect(facts).to_contain_text(fact)
    # Whether it stays depends on the room that the browser reports.
    expect(facts).to_contain_text(re.compile("[Tt]his browser"))
    assert find_violations(page) == []
    draw_button = page.get_by_role("button", name="Draw")
    expect(draw_button).to_be_disabled()
    # A press says what is missing, and goes there.
    draw_button.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Download the model first")
    assert focused(page) == "load"
    assert files() == []


def test_a_gpu_that_is_too_small_is_told_before_anything_is_fetched(visitor, origin):
    page = visitor.new_page()
    files = files_of(page)

    def demand(manifest):
        manifest["requires"]["limits"]["maxStorageBufferBindingSize"] = 2**50

    change_manifest(page, "/manifest.json", demand)
    page.goto(origin)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The GPU's maxStorageBufferBindingSize is")
    expect(alert).to_contain_text("Choose a smaller model")
    assert files() == []


ERRORS = {
    "no WebGPU": (
        "Object.defineProperty(navigator, 'gpu', { value: undefined })",
        ["it has no WebGPU", "Update Chrome", "Firefox or Safari"],
    ),
    "no adapter": (
        "navigator.gpu.requestAdapter = () => Promise.resolve(null)",
        ["no graphics card", "chrome://settings/system", "update the graphics driver"],
    ),
    "an insecure address": (
        "Object.defineProperty(globalThis, 'isSecureContext', { value: false })",
        ["This address is not secure", "begins with https"],
    ),
}


@pytest.mark.exhaustive
def test_a_list_of_models_that_cannot_be_fetched_is_fetched_again(visitor, origin):
    page = visitor.new_page()
    page.route("**/models/index.json", lambda route: route.fulfill(status=404))
    page.goto(origin)
    expect(page.get_by_role("alert")).to_contain_text("the server answered 404")
    page.unroute("**/models/index.json")
    page.get_by_role("button", name="Try again").click()
    ready(page)


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if number else ())
        for number, name in enumerate(ERRORS)
    ],
)
def test_what_stands_in_the_way_is_in_sight_with_what_to_do(visitor, origin, name):
    program, sentences = ERRORS[name]
    page = visitor.new_page()
    resize(page, "phone")
    page.add_init_script(program)
    page.goto(origin)
    alert = page.get_by_role("alert")
    for sentence in sentences:
        expect(alert).to_contain_text(sentence)
    found = box(page, "#error")
    assert found["y"] > 0
    assert found["y"] + found["height"] < 844
    assert page.evaluate("() => scrollY") == 0
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()
    assert find_violations(page) == []


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


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", ["vae-0", "tokenizer"])
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
        # What happened, what was wrong, and what to do.
        lines = [line for line in alert.inner_text().splitlines() if line]
        assert len(lines) == 3
        assert all(line.endswith(".") for line in lines)
        page.unroute(pattern)
    before = files()
    try_again.click()
    ready(page)
    assert alert.is_hidden()
    again = set(before) & set(files()[len(before) :])
    assert [url for url in again if f"/{part}." not in url] == []  # what had arrived was kept
    draw(page)
