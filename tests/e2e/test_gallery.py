"""What stays of a visit: the gallery, the form, and settings that come in and go out."""

import io
import zipfile
from urllib.parse import urljoin

import pytest
from PIL import Image
from playwright.sync_api import expect

from pages import draw, find_violations, in_page, ready, unfold, watch

KEPT = '{"version": 2, "model": "speck", "form": "prompt=%00<b>&seed=NaN"}'
STATUS, BUTTON, LINK = "status", "button", "link"


def saved(page, link):
    """Follow a link that saves a file, and return the file's bytes."""
    with page.expect_download() as download:
        link.click()
    return download.value.path().read_bytes()


def text_of(png):
    with Image.open(io.BytesIO(png)) as picture:
        return picture.text["parameters"]


def pixels_of(png):
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGBA").tobytes()


def tiles(page):
    return page.locator("#pictures .tile")


def draw_again(page):
    """Press Draw, and wait until one more picture is in the list."""
    before = tiles(page).count()
    page.get_by_role(BUTTON, name="Draw").click()
    expect(tiles(page)).to_have_count(before + 1)
    expect(page.get_by_role(STATUS)).to_contain_text("Done in")


@pytest.mark.exhaustive
def test_pictures_and_the_form_stay_and_are_brought_back(page, origin):
    complaints = watch(page)
    page.goto(origin)
    ready(page)
    draw(page, "a green star", steps=1)
    draw(page, "a red circle", steps=2)
    page.reload()
    # The pictures of a former visit are there before the model is.
    expect(tiles(page)).to_have_count(2)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red circle")
    unfold(page, "Settings")
    expect(page.get_by_label("Steps")).to_have_value("2")
    links = page.locator("#pictures").get_by_role(LINK, name="Save speck-")
    expect(links).to_have_count(2)
    texts = [text_of(saved(page, links.nth(index))) for index in range(2)]
    assert [text.split("\n")[0] for text in texts] == ["a red circle", "a green star"]

    # By keyboard: enlarge, go to the next one, delete it, bring it back.
    tiles(page).first.press("Enter")
    dialog = page.get_by_role("dialog", name="Picture 1 of 2")
    expect(dialog.get_by_role("img", name="a red circle")).to_be_visible()
    page.keyboard.press("ArrowRight")
    dialog = page.get_by_role("dialog", name="Picture 2 of 2")
    expect(dialog.get_by_role("img", name="a green star")).to_be_visible()
    expect(dialog.get_by_role("row", name="steps")).to_contain_text("1")
    dialog.get_by_role(BUTTON, name="Delete").click()
    dialog = page.get_by_role("dialog", name="Picture 1 of 1")
    expect(dialog.get_by_role("img", name="a red circle")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(tiles(page).first).to_be_focused()
    page.get_by_role(BUTTON, name="Undo").click()
    expect(tiles(page)).to_have_count(2)

    # All in one file.
    packed = saved(page, page.get_by_role(BUTTON, name="Download all"))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert sorted(text_of(archive.read(name)) for name in archive.namelist()) == sorted(texts)
    # Deleting all asks, and Escape says no.
    page.get_by_role(BUTTON, name="Delete all").click()
    question = page.get_by_role("dialog", name="Delete all 2 pictures?")
    expect(question).to_be_visible()
    assert find_violations(page) == []
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(tiles(page)).to_have_count(2)
    page.get_by_role(BUTTON, name="Delete all").click()
    question.get_by_role(BUTTON, name="Delete them").click()
    expect(tiles(page)).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Finished pictures")).to_be_hidden()
    assert complaints == []


@pytest.mark.exhaustive
def test_a_picture_of_a_batch_comes_back_alone(page, origin):
    page.goto(f"{origin}#prompt=a+star&steps=1&images=3&seed=5")
    ready(page)
    page.get_by_role(BUTTON, name="Draw").click()
    expect(tiles(page)).to_have_count(3)
    expect(page.get_by_role(STATUS)).to_contain_text("Done in")
    second = saved(page, page.get_by_role(LINK, name="Save speck-5-1.png"))
    page.get_by_label("Prompt", exact=True).fill("something else")
    in_page(page, "dropPng", list(second))
    expect(page.get_by_role(STATUS)).to_contain_text("picture (number 2 of 3)")
    draw_again(page)
    again = saved(page, page.get_by_role(LINK, name="Save speck-5-1.png").first)
    assert pixels_of(again) == pixels_of(second)
    assert text_of(again) == text_of(second)

    # Its link brings the same one; Another seed draws one picture.
    tiles(page).first.click()
    page.get_by_role("dialog").get_by_role(BUTTON, name="Another seed").click()
    expect(tiles(page)).to_have_count(5)
    expect(page.get_by_role(STATUS)).to_contain_text("Done in")
    newest = page.locator("#pictures").get_by_role(LINK).first
    varied = text_of(saved(page, newest))
    assert varied.startswith("a star\nSteps: 1, ")
    assert "Picture:" not in varied
    assert "Seed: 5," not in varied


@pytest.mark.exhaustive
def test_tabs_share_the_gallery(page, origin):
    page.goto(origin)
    ready(page)
    other = page.context.new_page()
    other.goto(origin)
    draw(page, steps=1)
    expect(tiles(other)).to_have_count(1)
    # Both delete it, one while it is enlarged there.
    tiles(other).first.click()
    expect(other.get_by_role("dialog", name="Picture 1 of 1")).to_be_visible()
    tiles(page).first.press("Delete")
    expect(other.get_by_role("dialog")).to_be_hidden()
    expect(tiles(other)).to_have_count(0)
    page.get_by_role(BUTTON, name="Undo").click()
    expect(tiles(other)).to_have_count(1)
    other.close()


def asks_before_leaving(page):
    """Say whether the page has the browser ask a visitor who leaves it."""
    return page.evaluate("() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))")


@pytest.mark.exhaustive
def test_a_full_store_keeps_pictures_for_the_visit_and_says_so(page, origin):
    devtools = page.context.new_cdp_session(page)
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": origin.rstrip("/"), "quotaSize": 1})
    page.goto(origin)
    ready(page)
    draw(page, "one too many", steps=1)
    notice = page.locator("#gallery").get_by_text("1 picture is not kept")
    expect(notice).to_be_visible(timeout=30_000)
    link = page.locator("#pictures").get_by_role(LINK).first
    assert text_of(saved(page, link)).startswith("one too many\n")
    assert find_violations(page) == []
    assert asks_before_leaving(page)
    # When the browser has room again, the next picture brings the first one along.
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": origin.rstrip("/")})
    draw(page, "the next one", steps=1)
    expect(notice).to_be_hidden(timeout=30_000)
    assert not asks_before_leaving(page)
    page.reload()
    expect(tiles(page)).to_have_count(2)
    expect(page.get_by_role("img", name="one too many")).to_be_visible()


@pytest.mark.exhaustive
def test_settings_come_in_by_file_button_and_paste_and_the_list_says_what_did_not(page, origin):
    page.goto(f"{origin}#prompt=a+ring&seed=NaN&steps=500&size=768x512&scheduler=magic")
    status, prompt = page.get_by_role(STATUS), page.get_by_label("Prompt", exact=True)
    expect(prompt).to_have_value("a ring")
    report = page.get_by_role("region", name="Settings from the link")
    expect(report.get_by_role("listitem")).to_have_text(
        [
            "Taken: prompt.",
            "Changed: size from 768x512 to 16x16 (not among this model's sizes).",
            "Changed: steps from 500 to 100 (the range is 1 to 100).",
            "Not taken: sampler magic (unknown, DPM-Solver++ 2M stays).",
            "Not taken: seed NaN.",
        ]
    )
    assert find_violations(page) == []
    # In another language it is written again.
    page.locator("#language").select_option("de")
    expect(page.locator(".taken li").first).to_have_text("Übernommen: Prompt.")
    page.locator("#language").select_option("en")
    assert "#" not in page.url  # so that a reload does not take it again
    # What the browser kept of an earlier visit is not trusted either. Somebody writes it while the
    # page, which would write its own when it is left, is not there.
    page.goto(urljoin(origin, "client.js"))
    page.evaluate("kept => localStorage.setItem('wsd-form', kept)", KEPT)
    page.goto(origin)
    expect(page.get_by_role("region", name="Settings from your last visit")).to_contain_text(
        "Not taken: seed NaN."
    )
    ready(page)

    picture = io.BytesIO()
    Image.new("L", (1, 1)).save(picture, "PNG")
    with page.expect_file_chooser() as chooser:
        unfold(page, "Settings")
        page.get_by_role(BUTTON, name="Open a picture's settings").click()
    chooser.value.set_files(
        {"name": "bare.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    )
    expect(status).to_have_text("bare.png holds no settings.")

    draw(page, "a blue square", steps=1)
    tiles(page).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    # A paste while the dialog is open closes it and fills the form, which can be drawn.
    in_page(page, "pasteText", "a cat\nSteps: 1, Seed: 7, Size: 16x16")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(status).to_have_text("Settings taken from the pasted text: prompt, seed, size, steps.")
    expect(prompt).to_have_value("a cat")
    draw_again(page)
    expect(page.get_by_role(LINK, name="Save speck-7-0.png")).to_be_visible()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("width", "colours"), [(320, "none"), (1440, "active")])
def test_the_gallery_for_every_visitor(page, origin, width, colours):
    """No rule of axe is broken, and nothing is cut off at 320 pixels."""
    page.emulate_media(forced_colors=colours)
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(origin)
    ready(page)
    for prompt in ("a red circle", "a" * 300):
        draw(page, prompt, steps=1)
    # The picture that is shown is enlarged by a click as well.
    page.locator("#canvas").click()
    dialog = page.get_by_role("dialog")
    for state in ("enlarged", "compared"):
        if state == "compared":
            dialog.get_by_role(BUTTON, name="Compare").click()
            expect(dialog.get_by_role("slider")).to_be_visible()
        else:
            # It is at least as large as on the page, and in sight without scrolling.
            place = dialog.get_by_role("img").bounding_box()
            assert place["width"] > min(page.locator("#frame").bounding_box()["width"], 500) - 60
            assert place["y"] + place["height"] <= 700
        assert find_violations(page) == []
        sizes = dialog.evaluate("each => [each.scrollWidth, each.clientWidth, innerWidth]")
        assert sizes[0] <= sizes[1] <= sizes[2]
    page.keyboard.press("Escape")
    unfold(page, "Settings")
    assert find_violations(page) == []
    overflow = page.locator("#gallery").evaluate("each => each.scrollWidth - each.clientWidth")
    assert overflow <= 0
