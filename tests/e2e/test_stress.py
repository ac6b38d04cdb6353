"""Many pictures in a row, and models that are swapped again and again: memory stays as it was."""

import re
from pathlib import Path

import pytest

from pages import browser_program
from speck import SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.merge import join_bundles
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.runtime.server import served
from wsd.util.progress import Quiet

pytestmark = pytest.mark.exhaustive

PICTURES, SWAPS = 100, 20
# Pictures and swaps after which everything that is made once has been made.
WARM = 4
# What the browser's processes may grow by, in bytes. A model that stays behind holds more with each
# swap: its WebAssembly memory, its worker and its buffers.
ROOM = 128 << 20


@pytest.fixture(scope="module")
def joined(speck, tmp_path_factory):
    """Return a bundle of two models of different libraries."""
    folder = tmp_path_factory.mktemp("stress")
    library = compile_library(SPECK_XL, SPECK_XL.sizes, "f32", Quiet())
    checkpoint = open_checkpoint(choose_checkpoint(SPECK_XL, None, 0), SPECK_XL)
    more = build_bundle(checkpoint, library, folder / "speck-xl", Quiet())
    return join_bundles([speck[0], more], folder / "joined")


@pytest.fixture(scope="module")
def call(context, joined):
    """Return a function that calls one of ``web/tests/browser/stress.ts`` in a page."""
    visitor = context.browser.new_context(service_workers="block")
    page = visitor.new_page()
    page.set_default_timeout(0)
    with served(joined) as address:
        page.goto(address + "blank.html")
        page.evaluate(f"() => {{ {browser_program('stress')} }}")
        yield lambda name, argument: page.evaluate(
            "([name, argument]) => wsdStress[name](argument)", [name, argument]
        )
    visitor.close()


@pytest.fixture
def resident(context):
    """Return a function that says how many bytes of memory the browser's processes hold."""

    def read():
        session = context.browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        # One that has just ended has no entry any more.
        texts = [
            path.read_text()
            for path in (Path(f"/proc/{found['id']}/status") for found in processes)
            if path.is_file()
        ]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024 for text in texts)

    return read


def address_of(name):
    return f"/models/{name}/manifest.json"


def test_a_hundred_pictures_take_the_memory_of_the_first(call, resident):
    call("load", address_of("speck"))
    call("draw", WARM)
    before = resident()
    held = call("draw", PICTURES)
    grown = resident() - before
    print(f"{PICTURES} pictures: {held[-1]}, the processes have {grown >> 20} MiB more")
    assert len(held) == PICTURES
    assert held == [held[0]] * PICTURES
    assert grown < ROOM


def test_models_that_are_swapped_leave_nothing_behind(call, resident):
    names = [("speck", "speck-xl")[swap % 2] for swap in range(SWAPS)]
    held, sizes = {}, []
    for name in names:
        call("load", address_of(name))
        held.setdefault(name, []).append(call("draw", 1)[0])
        sizes.append(resident())
    print(f"{SWAPS} swaps: MiB of the processes {[size >> 20 for size in sizes]}")
    for found in held.values():
        assert len(found) == SWAPS // 2
        assert found == [found[0]] * len(found)
    assert max(sizes[-2:]) - max(sizes[WARM - 2 : WARM]) < ROOM
