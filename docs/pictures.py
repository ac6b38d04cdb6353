"""Takes the pictures of the page in docs/images/page: python docs/pictures.py BUNDLE [STATE...].

The bundle is one of tiny-sd15; `nox -s pictures` builds it and takes all pictures. Each state of
the page is taken at three sizes of a window, the middle one in the dark scheme, and axe must find
nothing in it. With --out, the pictures are written elsewhere, in both schemes, to be looked at.
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
from playwright.sync_api import Browser, Error, Locator, Page, Route, expect, sync_playwright

from wsd.runtime import chromium
from wsd.runtime.server import served

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from pages import (
    before_worker,
    change_manifest,
    draw,
    find_violations,
    flip,
    ready,
    set_steps,
    unfold,
)

IMAGES = Path(__file__).parent / "images" / "page"
TIMEOUT_MS = 150_000
LOADING_MS = 10_000
# Long enough for a dialog or a scheme to be shown in full.
SETTLED_MS = 300
# A name that is no localhost, so that browsers take the page's address for an insecure one.
INSECURE_HOST = "pictures.test"
CIRCLE = "a large red circle left of a small blue square"
EXAMPLE = "three pink hearts on a black background"
LORA_PROMPT = "a dark red circle above a small blue square"
QUALITY = 45


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

# A state that the page is in now: its name, and what must be in sight if that is not the top.
State = tuple[str, Locator | None]
Visit = Callable[[Page, str], Iterator[State]]


def visit_while_loading(page: Page, address: str) -> Iterator[State]:
    """The model is being loaded, and a picture waits for it."""
    # A part of the weights that does not come, so that loading lasts.
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/unet-0.*", hold)
    page.goto(address)
    expect(page.locator("#detail")).not_to_be_empty()
    page.get_by_role("button", name="Draw").click()
    # Meanwhile the GPU's programs are compiled.
    page.wait_for_timeout(LOADING_MS)
    yield "loading", None
    for route in held:
        route.abort()


def visit_large_model(page: Page, address: str) -> Iterator[State]:
    """A large model waits to be downloaded, and it is not the one that the address names."""

    def grow(manifest: dict) -> None:
        manifest["components"]["unet"]["shards"][0]["bytes"] = 1_700_000_000
        manifest["peak_bytes"][0]["bytes"] = 3_400_000_000

    change_manifest(page, "/manifest.json", grow)
    # 50 Mbit/s, in bytes a millisecond: what an earlier download measured.
    page.add_init_script("localStorage.setItem('wsd-speed', '6250')")
    page.goto(address)
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    yield "offer", None
    page.goto(f"{address}?model=dream")
    expect(page.get_by_label("Notices")).to_contain_text("dream")
    yield "unknown-model", page.get_by_label("Notices")


def visit_and_draw(page: Page, address: str) -> Iterator[State]:
    """Pictures are drawn, and looked at in the gallery."""
    page.goto(address)
    ready(page)
    yield "ready", None
    unfold(page, "Settings")
    yield "settings", page.locator("#settings")
    page.get_by_label("Pictures", exact=True).fill("3")
    set_steps(page, 16)
    unfold(page, "Settings", wanted=False)
    # An example would bring its own settings along.
    page.get_by_label("Prompt", exact=True).fill(EXAMPLE)
    page.get_by_role("button", name="Draw").click()
    # Screen readers are told of steps only now and then.
    expect(page.locator("#sentence")).to_contain_text(re.compile(r"2 of 3: Drawing, step \d+ of"))
    yield "drawing", None
    page.locator("#examples").get_by_role("button", name=CIRCLE).click()
    yield "queued", None
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")

    unfold(page, "Settings")
    page.get_by_label("Pictures", exact=True).fill("1")
    for prompt in ("a green star", EXAMPLE, CIRCLE):
        draw(page, prompt, steps=12)
    unfold(page, "Settings", wanted=False)
    yield "done", None
    yield "gallery", page.locator("#gallery")
    for name, code in (("german", "de"), ("arabic", "ar"), (None, "en")):
        page.locator("#language").select_option(code)
        if name is not None:
            yield name, None
    yield from look_at_pictures(page)

    page.get_by_text("Times and memory").click()
    yield "figures", page.locator("#figures")
    unfold(page, "Times and memory", wanted=False)
    page.goto(f"{address}#prompt=a+ring&seed=NaN&steps=500&size=768x512&scheduler=magic")
    report = page.get_by_role("region", name="Settings from the link")
    expect(report).to_be_visible()
    yield "taken", report
    unfold(page, "About this model")
    page.get_by_role("button", name="Forget this model").click()
    yield "forget", None


def visit_with_a_lora(page: Page, address: str) -> Iterator[State]:
    """A LoRA that comes with the model is added, and a picture is drawn with it."""
    page.goto(address)
    ready(page)
    unfold(page, "LoRAs")
    offered = page.get_by_role("group", name="Made for this model").get_by_role("button")
    offered.first.click()
    expect(page.locator(".lora")).to_have_count(1)
    draw(page, LORA_PROMPT, steps=12)
    unfold(page, "Settings", wanted=False)
    yield "lora", page.locator("#loras")


def look_at_pictures(page: Page) -> Iterator[State]:
    """A picture is enlarged, compared, deleted and brought back."""
    tiles = page.locator("#pictures .tile")
    dialog = page.get_by_role("dialog")
    tiles.first.click()
    expect(dialog.get_by_role("img").first).to_be_visible()
    yield "enlarged", None
    dialog.get_by_role("button", name="Compare").click()
    expect(dialog.get_by_role("slider")).to_be_visible()
    yield "compared", None
    page.keyboard.press("Escape")
    tiles.last.press("Delete")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    yield "deleted", undo
    undo.click()
    page.get_by_role("button", name="Delete all").click()
    expect(dialog).to_be_visible()
    yield "delete-all", None
    page.keyboard.press("Escape")


def visit_with_a_picture(page: Page, address: str) -> Iterator[State]:
    """A picture is begun with, a part of it painted and drawn anew."""
    page.goto(address)
    ready(page)
    draw(page, CIRCLE, steps=12)
    unfold(page, "Settings", wanted=False)
    page.get_by_role("button", name="Start from it").click()
    given = page.locator("#given")
    expect(given).to_be_visible()
    yield "given", given
    page.get_by_role("button", name="Edit a part").click()
    for key in ("Space", *["ArrowRight"] * 5, *["ArrowDown"] * 3):
        page.keyboard.press(key)
    yield "painting", None
    page.keyboard.press("Space")
    page.get_by_role("button", name="Done").click()
    unfold(page, "Options of the picture")
    yield "masked", page.locator("#mask-options")
    unfold(page, "Options of the picture", wanted=False)
    page.get_by_label("Prompt", exact=True).fill("a green star")
    page.get_by_role("button", name="Draw").click()
    slider = page.get_by_role("slider", name="How much of the picture from before is shown")
    expect(slider).to_be_visible()
    slider.fill("50")
    yield "before", None
    # A text file that is called a picture.
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Remove the picture").click()
        page.get_by_role("button", name="Start from a picture").click()
    chooser.value.set_files({"name": "moon.png", "mimeType": "image/png", "buffer": b"a moon"})
    wait_for_error(page)
    yield "no-picture", None


def visit_with_a_full_store(page: Page, address: str) -> Iterator[State]:
    """The browser has no room for a finished picture."""
    devtools = page.context.new_cdp_session(page)
    quota = {"origin": address.rstrip("/"), "quotaSize": 1}
    devtools.send("Storage.overrideQuotaForOrigin", quota)
    page.goto(address)
    ready(page)
    draw(page, CIRCLE, steps=12)
    unfold(page, "Settings", wanted=False)
    notice = page.locator("#gallery").get_by_text("is not kept")
    expect(notice).to_be_visible()
    yield "full-store", notice


def visit_insecurely(page: Page, address: str) -> Iterator[State]:
    """An address without https."""
    host = urlsplit(address).hostname or ""

    # The server answers for localhost alone.
    page.route(
        f"http://{INSECURE_HOST}*/**",
        lambda route: route.fulfill(
            response=page.request.get(route.request.url.replace(INSECURE_HOST, host))
        ),
    )
    page.goto(address.replace(host, INSECURE_HOST))
    wait_for_error(page)
    yield "insecure", None


def visit_without_webgpu(page: Page, address: str) -> Iterator[State]:
    """A browser without WebGPU."""
    page.add_init_script("Object.defineProperty(navigator, 'gpu', { value: undefined })")
    page.goto(address)
    wait_for_error(page)
    yield "no-webgpu", None


def visit_without_adapter(page: Page, address: str) -> Iterator[State]:
    """A browser that finds no graphics card."""
    page.add_init_script("navigator.gpu.requestAdapter = () => Promise.resolve(null)")
    page.goto(address)
    wait_for_error(page)
    yield "no-adapter", None


def visit_with_a_small_gpu(page: Page, address: str) -> Iterator[State]:
    """A graphics card that is too small for the model."""

    def demand(manifest: dict) -> None:
        manifest["requires"]["limits"]["maxStorageBufferBindingSize"] = 2**50

    change_manifest(page, "/manifest.json", demand)
    page.goto(address)
    wait_for_error(page)
    yield "unsupported", None


def visit_without_room(page: Page, address: str) -> Iterator[State]:
    """A graphics card whose memory others have taken."""
    before_worker(page, "small_gpu", ROOM=1000)
    page.goto(address)
    wait_for_error(page)
    yield "no-room", None


def visit_and_lose_the_gpu(page: Page, address: str) -> Iterator[State]:
    """The graphics card is lost while a picture is drawn."""
    before_worker(page, "device_loss")
    page.goto(address)
    ready(page)
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#sentence")).to_contain_text("step 4 of")
    page.evaluate("void new BroadcastChannel('lose-device').postMessage(0)")
    wait_for_error(page)
    yield "lost", None


def visit_without_a_file(page: Page, address: str) -> Iterator[State]:
    """A file of the model is not on the server."""
    page.route("**/vae-0.*", lambda route: route.fulfill(status=404))
    page.goto(address)
    wait_for_error(page)
    yield "fetch", None


def visit_with_a_damaged_file(page: Page, address: str) -> Iterator[State]:
    """A file of the model arrives damaged, also the second time."""
    page.route("**/vae-0.*", flip)
    page.goto(address)
    wait_for_error(page)
    yield "damaged", None


def visit_self_test(page: Page, address: str) -> Iterator[State]:
    """The self-test finds that all is well."""
    page.goto(f"{address}selftest.html")
    page.get_by_role("button", name="Run the self-test").click()
    expect(page.locator("#results")).to_be_visible()
    yield "selftest", page.locator("#results")


def wait_for_error(page: Page) -> None:
    """Wait until the page shows an error, which is at its top."""
    expect(page.get_by_role("alert")).to_be_visible()


# The states that each visit shows, in their order.
VISITS: dict[Visit, tuple[str, ...]] = {
    visit_while_loading: ("loading",),
    visit_large_model: ("offer", "unknown-model"),
    visit_and_draw: (
        *("ready", "settings", "drawing", "queued", "done", "gallery"),
        *("german", "arabic", "enlarged", "compared", "deleted", "delete-all"),
        *("figures", "taken", "forget"),
    ),
    visit_with_a_picture: ("given", "painting", "masked", "before", "no-picture"),
    visit_with_a_lora: ("lora",),
    visit_with_a_full_store: ("full-store",),
    visit_insecurely: ("insecure",),
    visit_without_webgpu: ("no-webgpu",),
    visit_without_adapter: ("no-adapter",),
    visit_with_a_small_gpu: ("unsupported",),
    visit_without_room: ("no-room",),
    visit_and_lose_the_gpu: ("lost",),
    visit_without_a_file: ("fetch",),
    visit_with_a_damaged_file: ("damaged",),
    visit_self_test: ("selftest",),
}
STATES = tuple(name for names in VISITS.values() for name in names)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a browser that finds the insecure host on this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find_chromium(),
            args=[
                *chromium.browser_flags(),
                f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
            ],
            chromium_sandbox=chromium.has_sandbox(),
        )
        yield browser
        browser.close()


def take(page: Page, in_sight: Locator | None, path: Path) -> None:
    """Write what the page shows as a WebP: the documents shall stay small."""
    # No button is under the pointer.
    page.mouse.move(0, 0)
    if page.get_by_role("dialog").count() == 0:
        if in_sight is None:
            page.evaluate("scrollTo(0, 0)")
        else:
            in_sight.evaluate("(element) => element.scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(SETTLED_MS)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(path, quality=QUALITY, method=6)


def take_all_sizes(page: Page, state: State, out: Path | None) -> list[str]:
    """Take a state at every size, and return what axe finds in it."""
    name, in_sight = state
    for label, size in SIZES.items():
        page.set_viewport_size({"width": size.width, "height": size.height})
        for scheme in [size.scheme] if out is None else ["light", "dark"]:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            ending = "" if out is None else f"-{scheme}"
            take(page, in_sight, (out or IMAGES) / f"{name}-{label}{ending}.webp")
    return [f"{name}: {violation}" for violation in find_violations(page)]


def main(bundle: Path, names: list[str], out: Path | None) -> int:
    """Serve a bundle and take the pictures in headless Chromium; return the exit code."""
    wanted = names or STATES
    (out or IMAGES).mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT_MS)
    faults: list[str] = []
    with served(bundle) as address, open_browser() as browser:
        for visit, shown in VISITS.items():
            if not set(shown) & set(wanted):
                continue
            # A service worker would answer in place of what a visit changes.
            context = browser.new_context(
                locale="en-GB", reduced_motion="reduce", service_workers="block"
            )
            context.set_default_timeout(TIMEOUT_MS)
            try:
                for state in visit(context.new_page(), address):
                    print(state[0], flush=True)
                    if state[0] in wanted:
                        faults += take_all_sizes(context.pages[0], state, out)
            except (Error, AssertionError) as error:
                # The other visits are worth their pictures.
                faults.append(f"{visit.__name__}: {error}")
            context.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("names", nargs="*", choices=[*STATES, []], metavar="STATE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    sys.exit(main(given.bundle, given.names, given.out))
