"""Faults of downloads, of what the browser keeps, and of the GPU: nothing is lost, and nothing is
used that is not what the bundle's author wrote.

Each fault says how it ends: with the picture that is drawn without it, or with an error of a name.
After an error the fault is over, and the next try draws. In every case the files that the browser
kept are sound, and those that it kept before the next try are not fetched again.
"""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import expect

from http_servers import QuietHandler, serving_folder
from marks import twelfths
from pages import before_worker, in_page, kept_files, ready, set_steps
from speck import SPECK
from wsd.bundle import builder
from wsd.compiler.driver import compile_library
from wsd.runtime import chromium
from wsd.util.progress import Quiet

MANIFEST = "/models/speck/manifest.json"
TIMEOUT_MS = 180_000


class _Handler(QuietHandler):
    """Serves a bundle, ranges included, but for what the server's fault answers in its place."""

    def do_GET(self):  # noqa: N802 - its name in http.server
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send(b"", status=404)
            return
        data = path.read_bytes()
        self.server.counts[self.path] += 1
        self.start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        fault = self.server.fault
        if fault is not None and re.search(fault.files, self.path):
            fault.answer(self, data, self.server.counts[self.path])
        else:
            self.send_range(data)

    def send_range(self, data):
        self.send(data[self.start :], status=206 if self.start else 200)

    def send(self, data, status=200, length=None, kind=None, pause=0, **headers):
        """Answer; the connection breaks after the data if there is less than the length.

        Args:
            pause: seconds between the data and the break, in which the page can read the data: a
                browser discards what the page has not read when the connection breaks.
        """
        self.send_response(status)
        kind = kind or self.guess_type(self.path)
        length = len(data) if length is None else length
        fields = {"Content-Type": kind, "Content-Length": length, "Cache-Control": "no-store"}
        for name, value in {**fields, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)
        if length != len(data):
            time.sleep(pause)
            self.break_off()

    def break_off(self):
        self.close_connection = True


def serving(folder, fault):
    return serving_folder(_Handler, folder, fault=fault, counts=Counter())


def flip(data):
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


def times(count, answer):
    """Answer so for the first requests of each file, and then as a good server does."""

    def answer_some(handler, data, number):
        answer(handler, data, number) if number <= count else handler.send_range(data)

    return answer_some


def in_thirds(handler, data, _):
    rest = data[handler.start :]
    handler.send(rest[: len(rest) // 3 + 1], 206 if handler.start else 200, len(rest), pause=0.5)


def from_the_start(handler, data, number):
    """Give the first half, and then give it again where the second half is asked for."""
    half = len(data) // 2
    if number == 1:
        handler.send(data[:half])
    elif number == 2:
        handler.send(data[: len(data) - half], status=206)
    else:
        handler.send_range(data)


def weaken(handler, data, _):
    manifest = json.loads(data)
    alphas = manifest["noise_schedule"]["alphas_cumprod"]
    manifest["noise_schedule"]["alphas_cumprod"] = [alpha / 2 for alpha in alphas]
    handler.send(json.dumps(manifest).encode())


@dataclass(frozen=True)
class Download:
    """What a server does wrong, and how loading ends: with None, or with an error's name."""

    answer: Callable
    error: str | None = None
    said: str = ""
    files: str = r"/vae-0\."
    notice: str | None = None


DOWNLOADS = {
    "no answer, once": Download(times(1, lambda h, *_: h.break_off())),
    "no answer, ever": Download(
        lambda h, *_: h.break_off(), "FetchError", "could not be fetched"),
    "503 three times": Download(times(3, lambda h, *_: h.send(b"", 503))),
    "429 once": Download(times(1, lambda h, *_: h.send(b"", 429))),
    "breaks off in the middle": Download(
        times(1, lambda h, d, _: h.send(d[: len(d) // 2], length=len(d)))),
    "breaks off again and again": Download(times(6, in_thirds)),
    "breaks off, and has no ranges": Download(
        lambda h, d, n: h.send(d[: len(d) // 2] if n == 1 else d, length=len(d))),
    "continues at another place": Download(from_the_start, notice="arrived damaged"),
    "a byte flipped once": Download(
        times(1, lambda h, d, _: h.send(flip(d))), notice="arrived damaged"),
    "a byte flipped always": Download(
        lambda h, d, _: h.send(flip(d)), "IntegrityError", "sha256 mismatch"),
    "other bytes of the same length": Download(
        lambda h, d, _: h.send(bytes(len(d))), "IntegrityError", "sha256 mismatch"),
    "ends early": Download(lambda h, d, _: h.send(d[:-4]), "FetchError", "ended after"),
    "does not end": Download(lambda h, d, _: h.send(d + d), "FetchError", "more than the expected"),
    "404": Download(lambda h, *_: h.send(b"", 404), "FetchError", "answered 404"),
    "a web page": Download(
        lambda h, *_: h.send(b"<p>", kind="text/html"), "FetchError", "sent a web page"),
    "redirected in a circle": Download(
        lambda h, *_: h.send(b"", 302, Location=h.path), "FetchError", "could not be fetched"),
    "a flipped byte in the library": Download(
        lambda h, d, _: h.send(flip(d)), "IntegrityError", "library", r"/library\."),
    "a flipped byte in the tokenizer": Download(
        lambda h, d, _: h.send(flip(d)), "IntegrityError", "tokenizer", r"/tokenizer\."),
    "another manifest": Download(weaken, "IntegrityError", "integrity mismatch", MANIFEST),
    "half a manifest": Download(
        lambda h, d, _: h.send(d[: len(d) // 2]), "IntegrityError", "integrity mismatch", MANIFEST),
    "a manifest that breaks off once": Download(
        times(1, lambda h, d, _: h.send(d[:99], length=len(d))), files=MANIFEST),
}  # fmt: skip
# web/tests/bundle has more of them without a browser.


@pytest.fixture
def visitor(context):
    fresh = context.browser.new_context(service_workers="block")
    fresh.set_default_timeout(TIMEOUT_MS)
    yield fresh
    fresh.close()


@pytest.fixture(scope="module")
def drawn(context, speck):
    """Return the latents of the picture that is drawn without a fault."""
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    with serving(speck[0], None) as server:
        open_blank(page, server)
        assert in_page(page, "load", MANIFEST) == {"value": True}
        latents = in_page(page, "draw")["value"]
    page.close()
    return latents


@pytest.fixture(scope="module")
def integrity(speck):
    return json.loads((speck[0] / "SRI.json").read_text())[MANIFEST[1:]]


def open_blank(page, server):
    page.goto(f"http://127.0.0.1:{server.server_port}/client.js")


def fetched(server, before):
    """Return the digests in the names of files that were asked for since."""
    names = (server.counts - before).keys()
    return {found[1] for name in names if (found := re.search(r"\.([0-9a-f]{64})\.", name))}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", DOWNLOADS)
def test_of_a_download(visitor, speck, drawn, integrity, name):
    fault = DOWNLOADS[name]
    page = visitor.new_page()
    with serving(speck[0], fault) as server:
        open_blank(page, server)
        outcome = in_page(page, "load", MANIFEST, {"integrity": integrity})
        notices = in_page(page, "notices")
        assert in_page(page, "unsoundFiles") == []
        if fault.error is None:
            assert outcome == {"value": True}
            assert [fault.notice in said for said in notices] == [True] * (fault.notice is not None)
        else:
            assert outcome["name"] == fault.error
            assert fault.said in outcome["message"]
            assert outcome["hint"]
            kept, before = kept_files(page), server.counts.copy()
            server.fault = None
            assert in_page(page, "load", MANIFEST, {"integrity": integrity}) == {"value": True}
            assert fetched(server, before) & kept == set()
        assert in_page(page, "draw")["value"] == drawn
        assert in_page(page, "unsoundFiles") == []


# What happens to the shard of the VAE → what the next visitor is told, and how much is fetched.
KEPT = {
    "flipped": ("was damaged", 1),
    "cut": ("was damaged", 1),
    "emptied": ("was damaged", 1),
    "removed": (None, 1),
    "a folder": (None, 1),
}


@pytest.mark.parametrize("name", twelfths(KEPT))
def test_of_a_kept_file(visitor, speck, drawn, integrity, name):
    notice, count = KEPT[name]
    with serving(speck[0], None) as server:
        page = visitor.new_page()
        open_blank(page, server)
        assert in_page(page, "load", MANIFEST, {"integrity": integrity}) == {"value": True}
        damaged = in_page(page, "damageKeptShard", MANIFEST, name)
        before = server.counts.copy()
        assert in_page(page, "load", MANIFEST, {"integrity": integrity}) == {"value": True}
        assert [notice in said for said in in_page(page, "notices")] == [True] * bool(notice)
        assert [key.rpartition("/")[2] for key in server.counts - before if ".json" not in key
                and "client" not in key and "worker" not in key and "chunk" not in key] == (
            [damaged] * count
        )  # fmt: skip
        assert in_page(page, "draw")["value"] == drawn


# Browsers that keep less → what the visitor is told, and whether a second visit fetches again.
STORES = {
    "no_quota": ("no room to keep the model", True),
    "no_opfs": (None, False),
    "no_store": (None, True),
    "no_access_handles": (None, False),
    "files_in_use": (None, False),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", twelfths(STORES))
def test_of_a_store(visitor, speck, drawn, integrity, name):
    notice, again = STORES[name]
    with serving(speck[0], None) as server:
        for visit in range(2):
            page = visitor.new_page()
            before_worker(page, name)
            before = server.counts.copy()
            open_blank(page, server)
            assert in_page(page, "load", MANIFEST, {"integrity": integrity}) == {"value": True}
            assert bool(fetched(server, before)) == (visit == 0 or again)
            said = in_page(page, "notices")
            assert [notice in sentence for sentence in said] == [True] * bool(notice)
            assert in_page(page, "draw")["value"] == drawn
            page.close()


@pytest.fixture(scope="module")
def in_shards(speck, tmp_path_factory):
    """The same model in many shards."""
    _, checkpoint = speck
    library = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    small = partial(builder.write_shards, shard_bytes=1 << 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "write_shards", small)
        folder = tmp_path_factory.mktemp("shards") / "speck"
        return builder.build_bundle(checkpoint, library, folder, Quiet())


# What the page's worker hears of the workers that it starts, kept where the test finds it.
LISTEN = """() => {
  globalThis.heard = [];
  new BroadcastChannel("workers").onmessage = ({ data }) => heard.push(data);
}"""


def is_served_by_workers(page):
    """Return whether all workers were ended that the page's worker started, and some did something.

    The first answer of each only says that it runs.
    """
    heard = Counter(page.evaluate("heard.splice(0)"))
    return heard["started wsd-store"] == heard["ended"] == 4 and heard["answered"] > 4


@pytest.mark.full
def test_of_files_that_several_workers_keep_and_read(visitor, in_shards, drawn):
    with serving(in_shards, None) as server:
        page = visitor.new_page()
        before_worker(page, "many_cores")
        open_blank(page, server)
        page.evaluate(LISTEN)
        assert in_page(page, "load", MANIFEST) == {"value": True}
        assert is_served_by_workers(page)
        assert in_page(page, "unsoundFiles") == []
        damaged = in_page(page, "damageKeptShard", MANIFEST, "flipped")
        before = server.counts.copy()
        assert in_page(page, "load", MANIFEST) == {"value": True}
        assert [".bin" in name for name in server.counts - before].count(True) == 1
        assert any(damaged in name for name in server.counts - before)
        assert ["was damaged" in said for said in in_page(page, "notices")] == [True]
        assert is_served_by_workers(page)
        assert in_page(page, "draw")["value"] == drawn


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", range(3))
def test_of_workers_that_do_not_run(visitor, in_shards, drawn, fault):
    """The page's worker then reads and keeps all files by itself."""
    with serving(in_shards, None) as server:
        page = visitor.new_page()
        before_worker(page, "failing_workers", FAULT=fault)
        open_blank(page, server)
        assert in_page(page, "load", MANIFEST) == {"value": True}
        assert in_page(page, "unsoundFiles") == []
        before = server.counts.copy()
        assert in_page(page, "load", MANIFEST) == {"value": True}
        assert fetched(server, before) == set()
        assert in_page(page, "draw")["value"] == drawn


@pytest.mark.exhaustive
def test_of_two_tabs_whose_workers_keep_and_read_the_same_files(visitor, in_shards, drawn):
    with serving(in_shards, None) as server:
        pages = [visitor.new_page() for _ in range(2)]
        for page in pages:
            before_worker(page, "many_cores")
            open_blank(page, server)
        for again in (False, True):
            before = server.counts.copy()
            for page in pages:
                in_page(page, "start", "load", MANIFEST)
            for page in pages:
                assert in_page(page, "finished") == {"value": True}
                assert in_page(page, "notices") == []
            assert again == (fetched(server, before) == set())
        assert in_page(pages[0], "unsoundFiles") == []
        assert [in_page(page, "draw")["value"] for page in pages] == [drawn] * 2


@pytest.mark.exhaustive
def test_of_a_store_that_is_cleared_while_it_draws(visitor, speck, drawn, integrity):
    page = visitor.new_page()
    before_worker(page, "device_loss")
    with serving(speck[0], None) as server:
        open_blank(page, server)
        assert in_page(page, "load", MANIFEST, {"integrity": integrity}) == {"value": True}
        in_page(page, "start", "drawAndLoseDevice")
        in_page(page, "clearKept")
        assert in_page(page, "finished")["name"] == "DeviceLostError"
        # What was lost with the GPU is no longer kept, so it is fetched again, and checked.
        assert in_page(page, "draw")["value"] == drawn


# What a GPU does → the name of loading's or drawing's error, if any, and words of its hint.
GPUS = {
    "no_device": ("load", "UnsupportedError", "restart the browser"),
    "lost_while_loading": ("load", "DeviceLostError", "update the graphics driver"),
    "device_loss": ("drawAndLoseDevice", "DeviceLostError", "draw again"),
    "adapter_gone": ("drawAndLoseDevice", "DeviceLostError", "draw again"),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", twelfths(GPUS))
def test_of_a_gpu(visitor, speck, drawn, integrity, name):
    call, error, hint = GPUS[name]
    page = visitor.new_page()
    before_worker(page, name)
    with serving(speck[0], None) as server:
        open_blank(page, server)
        options = {"integrity": integrity}
        outcome = in_page(page, "load", MANIFEST, options)
        if call == "drawAndLoseDevice":
            assert outcome == {"value": True}
            outcome = in_page(page, call)
        assert outcome["name"] == error
        assert hint in outcome["hint"]
        kept, before = kept_files(page), server.counts.copy()
        if name == "adapter_gone":
            refused = in_page(page, "draw")
            assert refused["name"] == "UnsupportedError"
            assert "restart the browser" in refused["hint"]
            assert "graphics driver" in refused["hint"]
        elif call == "load":
            # A worker of its own has the fault once more, so this one is without.
            page.unroute_all()
            assert in_page(page, "load", MANIFEST, options) == {"value": True}
        if name != "adapter_gone":
            assert in_page(page, "draw")["value"] == drawn
        assert fetched(server, before) & kept == set()
        assert in_page(page, "unsoundFiles") == []


def gpu_processes():
    """Return the ids of GPU processes of browsers that this process has started."""
    parents, found = {}, set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(folder.name)] = int(fields[1])
        if b"--type=gpu-process" in command:
            found.add(int(folder.name))

    def is_ours(process):
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return {process for process in found if is_ours(process)}


@pytest.mark.exhaustive
def test_of_the_browsers_gpu_process(context, speck):
    """It is killed amid a picture: once, and the page recovers; twice, and it says what to do."""
    others = gpu_processes()
    # A browser of its own: the pages of other tests shall keep theirs.
    browser = context.browser.browser_type.launch(
        executable_path=chromium.find_chromium(),
        args=list(chromium.browser_flags()),
        chromium_sandbox=chromium.has_sandbox(),
    )
    try:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        with serving(speck[0], None) as server:
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            ready(page)
            status, alert = page.get_by_role("status"), page.get_by_role("alert")
            button = page.get_by_role("button", name="Draw")
            before = server.counts.copy()
            page.get_by_label("Prompt", exact=True).fill("a red circle")
            for kills in (1, 2):
                set_steps(page, 100)
                button.click()
                expect(status).to_contain_text(re.compile(r"step \d+ of 100"))
                for process in gpu_processes() - others:
                    os.kill(process, signal.SIGKILL)
                expect(alert).to_contain_text("The GPU was lost")
                expect(alert).to_contain_text("update the graphics driver")
                set_steps(page, 2)
                button.click()
                if kills == 1:
                    expect(status).to_contain_text("Done in")
                    expect(page.get_by_label("Notices")).to_contain_text("is loaded again")
            # Chromium gives no adapter to a page during which its GPU process ended twice.
            expect(alert).to_contain_text("The browser gives this page no GPU any more")
            expect(alert).to_contain_text("Restart the browser")
            expect(alert).to_contain_text("update the graphics driver")
            assert fetched(server, before) == set()
    finally:
        browser.close()
