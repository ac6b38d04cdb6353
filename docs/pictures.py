"""The walkthrough's pictures: python docs/pictures.py BUNDLE, with a bundle of tiny-sd15."""

import re
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from wsd.runtime.chromium import open_browser
from wsd.runtime.server import served

IMAGES = Path(__file__).parent / "images"
TIMEOUT_MS = 180_000
WIDTH = 760


def shoot(page: Page, name: str, height: int) -> None:
    """Write what the page shows."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.screenshot(path=IMAGES / f"walkthrough-{name}.png")


def draw_and_shoot(page: Page, address: str) -> None:
    """Go through the walkthrough's steps."""
    status = page.get_by_role("status")
    page.goto(address)
    expect(status).to_have_text("Ready.")
    shoot(page, "ready", 900)
    page.get_by_label("Examples").select_option("three pink hearts on a black background")
    page.get_by_role("button", name="Draw").click()
    expect(status).to_contain_text(re.compile(r"step 1\d of"))
    shoot(page, "drawing", 1100)
    expect(status).to_contain_text("Done in")
    page.get_by_text("Times and memory").click()
    page.get_by_role("heading", name="Finished pictures").scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    shoot(page, "done", 800)
    page.get_by_role("link", name="self-test").click()
    page.get_by_role("button", name="Run the self-test").click()
    expect(page.locator("#results")).to_be_visible()
    shoot(page, "selftest", 900)


def main(bundle: Path) -> None:
    """Serve a bundle and take the pictures in headless Chromium."""
    expect.set_options(timeout=TIMEOUT_MS)
    with served(bundle) as address, open_browser() as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        draw_and_shoot(page, address)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
