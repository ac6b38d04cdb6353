"""The page's pictures: python docs/pictures.py BUNDLE [STATE...], with a bundle of tiny-sd15.

Each state of the page is taken at three sizes of a window, the middle one in the dark scheme. With
--out, they are written elsewhere, in both schemes, to be looked at.
"""

import argparse
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from wsd.runtime import chromium
from wsd.runtime.server import served

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from pages import before_worker, change_manifest, draw, ready, unfold

IMAGES = Path(__file__).parent / "images"
TIMEOUT_MS = 120_000
LOADING_MS = 10_000
# A name that is no localhost, so that browsers take the page's address for an insecure one.
INSECURE_HOST = "pictures.test"
EXAMPLE = "three pink hearts on a black background"


@dataclass(frozen=True)
class Size:
    """A window: its width and height in CSS pixels, and the scheme that the documents show."""

    width: int
    height: int
    scheme: str


SIZES = {
    "desktop": Size(1440, 900, "light"),
    "tablet": Size(768, 1024, "dark"),
    "phone": Size(390, 844, "light"),
}

State = Callable[[Page, str], None]


def show_loading(page: Page, address: str) -> None:
    """The model is being loaded, and a picture waits for it."""
    # A part of the weights that does not come, so that loading lasts.
    page.route("**/unet-0.*", lambda _route: None)
    page.goto(address)
    expect(page.locator("#detail")).not_to_be_empty()
    page.get_by_role("button", name="Draw").click()
    # Meanwhile the GPU's programs are compiled.
    page.wait_for_timeout(LOADING_MS)


def show_offer(page: Page, address: str) -> None:
    """A large model waits to be downloaded."""

    def grow(manifest: dict) -> None:
        manifest["components"]["unet"]["shards"][0]["bytes"] = 1_700_000_000
        manifest["peak_bytes"][0]["bytes"] = 3_400_000_000

    change_manifest(page, "/manifest.json", grow)
    page.goto(address)
    expect(page.get_by_role("button", name="Download")).to_be_visible()


def show_ready(page: Page, address: str) -> None:
    """The model is loaded; nothing is drawn yet."""
    page.goto(address)
    ready(page)


def show_drawing(page: Page, address: str) -> None:
    """The second of three pictures is being drawn."""
    show_ready(page, address)
    unfold(page, "Settings")
    page.get_by_label("Pictures", exact=True).fill("3")
    page.get_by_role("button", name=EXAMPLE).click()
    unfold(page, "Settings", wanted=False)
    # Screen readers are told of steps only now and then.
    expect(page.locator("#sentence")).to_contain_text(re.compile(r"2 of 3: Drawing, step 1\d of"))


def show_done(page: Page, address: str) -> None:
    """Pictures are finished."""
    show_ready(page, address)
    for prompt in ("a large red circle left of a small blue square", EXAMPLE):
        draw(page, prompt, steps=20)
    page.evaluate("scrollTo(0, 0)")


def show_settings(page: Page, address: str) -> None:
    """The settings are unfolded."""
    show_ready(page, address)
    unfold(page, "Settings")
    page.get_by_text("Settings", exact=True).scroll_into_view_if_needed()


def show_forget(page: Page, address: str) -> None:
    """The visitor is asked whether the model shall be forgotten."""
    show_ready(page, address)
    unfold(page, "About this model")
    page.get_by_role("button", name="Forget this model").click()


def show_no_webgpu(page: Page, address: str) -> None:
    """A browser without WebGPU."""
    page.add_init_script("Object.defineProperty(navigator, 'gpu', { value: undefined })")
    page.goto(address)
    expect(page.get_by_role("alert")).to_be_visible()


def show_no_adapter(page: Page, address: str) -> None:
    """A browser that finds no graphics card."""
    page.add_init_script("navigator.gpu.requestAdapter = () => Promise.resolve(null)")
    page.goto(address)
    expect(page.get_by_role("alert")).to_be_visible()


def show_insecure(page: Page, address: str) -> None:
    """An address without https."""
    page.goto(address.replace(urlsplit(address).hostname or "", INSECURE_HOST))
    expect(page.get_by_role("alert")).to_be_visible()


def show_no_room(page: Page, address: str) -> None:
    """A graphics card without room."""
    before_worker(page, "small_gpu", ROOM=1000)
    page.goto(address)
    expect(page.get_by_role("alert")).to_be_visible()


def show_lost(page: Page, address: str) -> None:
    """The graphics card is lost while a picture is drawn."""
    before_worker(page, "device_loss")
    show_ready(page, address)
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#sentence")).to_contain_text("step 4 of")
    page.evaluate("void new BroadcastChannel('lose-device').postMessage(0)")
    expect(page.get_by_role("alert")).to_be_visible()


def show_unknown_model(page: Page, address: str) -> None:
    """The address names a model that is not there."""
    show_ready(page, f"{address}?model=dream")


def show_german(page: Page, address: str) -> None:
    """The page in German."""
    page.goto(address)
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("status")).to_have_text("Bereit.")


def show_arabic(page: Page, address: str) -> None:
    """The page in Arabic, from right to left."""
    page.goto(address)
    page.get_by_label("Language").select_option("ar")
    expect(page.get_by_role("status")).to_have_text("جاهز.")


def show_selftest(page: Page, address: str) -> None:
    """The self-test is done."""
    page.goto(f"{address}selftest.html")
    page.get_by_role("button", name="Run the self-test").click()
    expect(page.locator("#results")).to_be_visible()


STATES: dict[str, State] = {
    "loading": show_loading,
    "offer": show_offer,
    "ready": show_ready,
    "drawing": show_drawing,
    "done": show_done,
    "settings": show_settings,
    "forget": show_forget,
    "no-webgpu": show_no_webgpu,
    "no-adapter": show_no_adapter,
    "insecure": show_insecure,
    "no-room": show_no_room,
    "lost": show_lost,
    "unknown-model": show_unknown_model,
    "german": show_german,
    "arabic": show_arabic,
    "selftest": show_selftest,
}


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a browser that finds the insecure host on this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find_chromium(),
            args=[
                *chromium._FLAGS,
                *chromium._ADAPTERS[chromium.webgpu_adapter()],
                f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
            ],
            chromium_sandbox=chromium.has_sandbox(),
        )
        yield browser
        browser.close()


def take(page: Page, path: Path) -> None:
    """Write what the page shows, with few colours: the documents shall stay small."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        few = picture.convert("RGB").quantize(192, method=Image.Quantize.FASTOCTREE)
        few.save(path, optimize=True)


def main(bundle: Path, names: list[str], out: Path | None) -> None:
    """Serve a bundle and take the pictures in headless Chromium."""
    expect.set_options(timeout=TIMEOUT_MS)
    with served(bundle) as address, open_browser() as browser:
        for name in names or STATES:
            context = browser.new_context(locale="en-GB", reduced_motion="reduce")
            context.set_default_timeout(TIMEOUT_MS)
            page = context.new_page()
            STATES[name](page, address)
            for label, size in SIZES.items():
                page.set_viewport_size({"width": size.width, "height": size.height})
                for scheme in [size.scheme] if out is None else ["light", "dark"]:
                    page.emulate_media(color_scheme=scheme)
                    page.wait_for_timeout(300)
                    ending = "" if out is None else f"-{scheme}"
                    take(page, (out or IMAGES) / f"page-{name}-{label}{ending}.png")
            context.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("names", nargs="*", choices=[*STATES, []])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    main(given.bundle, given.names, given.out)
