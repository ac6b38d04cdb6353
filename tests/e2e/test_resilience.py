"""What goes wrong between a server and a picture: named, survived, nothing fetched twice."""

import re

import pytest

from pages import before_worker, in_page
from wsd.runtime.server import served

MANIFEST = "/models/speck/manifest.json"
# Bytes that the GPU of faults/small_gpu.ts has: enough for one stage at a time, and not for
# the whole of it.
ROOM = 850_000
LATENTS = 4 * 16 * 16


@pytest.fixture
def open_tab(context, origin):
    """Return a function that opens a blank page of one visitor, whose storage starts empty."""
    visitor = context.browser.new_context()

    def open_page(fault=None, **defines):
        tab = visitor.new_page()
        tab.set_default_timeout(0)
        tab.requests = []
        tab.on("request", lambda request: tab.requests.append(request.url))
        if fault:
            before_worker(tab, fault, **defines)
        tab.goto(origin + "blank.html")
        return tab

    yield open_page
    visitor.close()


def fetched(tab):
    return [url for url in tab.requests if re.search(r"\.(bin|wasm)$", url)]


@pytest.mark.exhaustive
def test_what_was_fetched_stays(open_tab):
    first = open_tab()
    assert in_page(first, "load", MANIFEST) == {"value": True}
    expected = in_page(first, "draw")["value"]
    assert len(fetched(first)) == 4
    first.close()

    # Flip a byte of what the browser keeps of one shard.
    second = open_tab()
    damaged = in_page(second, "damageKeptShard", MANIFEST)
    assert in_page(second, "load", MANIFEST) == {"value": True}
    assert in_page(second, "notices") == [
        f"{damaged} was damaged in the browser's cache and is fetched again."
    ]
    assert [url.rpartition("/")[2] for url in fetched(second)] == [damaged]
    assert in_page(second, "draw")["value"] == expected
    second.close()

    # Without a server, the manifest too is as it was.
    third = open_tab()
    third.route("**/models/**", lambda route: route.abort())
    assert in_page(third, "load", MANIFEST) == {"value": True}
    assert in_page(third, "draw")["value"] == expected
    in_page(third, "unload")
    # Forgotten, it needs the server again.
    in_page(third, "purge", MANIFEST)
    failed = in_page(third, "load", MANIFEST)
    assert failed["name"] == "FetchError"
    assert "could not be fetched" in failed["message"]
    assert "network" in failed["hint"]


@pytest.mark.exhaustive
def test_nothing_is_compiled_while_it_draws(open_tab):
    tab = open_tab("late_pipelines")
    in_page(tab, "countSignals", "late-pipeline")
    assert in_page(tab, "load", MANIFEST, {"tiling": True}) == {"value": True}
    assert in_page(tab, "draw", {"guidanceScale": 3, "scheduler": "euler_a"})["value"]
    assert in_page(tab, "usage")["pipelines"] > 50
    assert in_page(tab, "countedSignals") == 0


@pytest.mark.full
def test_a_server_that_comes_back(open_tab):
    tab = open_tab()
    times = {}

    def flaky(route):
        name = route.request.url.rpartition("/")[2]
        times[name] = times.get(name, 0) + 1
        if times[name] == 1:
            route.abort("connectionreset")
        elif times[name] == 2:
            route.fulfill(status=503)
        else:
            route.continue_()

    tab.route("**/*.bin", flaky)
    assert in_page(tab, "load", MANIFEST) == {"value": True}
    assert set(times.values()) == {3}
    assert in_page(tab, "notices") == []


@pytest.mark.exhaustive
def test_a_lost_device(open_tab):
    tab = open_tab("device_loss")
    assert in_page(tab, "load", MANIFEST) == {"value": True}
    expected = in_page(tab, "draw")["value"]
    failed = in_page(tab, "drawAndLoseDevice")
    assert failed["name"] == "DeviceLostError"
    assert "draw again" in failed["hint"]
    before = len(fetched(tab))
    assert in_page(tab, "draw")["value"] == expected
    assert in_page(tab, "notices") == ["The GPU was lost; the model is loaded again."]
    assert len(fetched(tab)) == before


@pytest.mark.exhaustive
def test_a_small_gpu(open_tab):
    tab = open_tab("small_gpu", ROOM=ROOM)
    assert in_page(tab, "load", MANIFEST) == {"value": True}
    # Either as it is loaded or as the first picture is drawn; once.
    for _ in range(2):
        assert len(in_page(tab, "draw")["value"]) == LATENTS
        (notice,) = in_page(tab, "notices")
        assert "no room for the whole model" in notice
    assert in_page(tab, "usage")["peakGpuBytes"] < ROOM


@pytest.mark.exhaustive
def test_no_room_to_keep_anything(open_tab):
    tab = open_tab("no_quota")
    assert in_page(tab, "load", MANIFEST) == {"value": True}
    (notice,) = in_page(tab, "notices")
    assert "no room to keep the model" in notice


@pytest.mark.exhaustive
def test_cancel_in_every_phase(open_tab):
    tab = open_tab()
    found = in_page(tab, "cancelEverywhere", MANIFEST)
    assert found["loaded"] == {"value": True}
    # Weights load while pipelines compile, and are reported first.
    assert found["stages"] == ["library", "parameters", "pipelines"]
    assert len(found["drawn"]["value"]) == 2 * LATENTS
    cancelled = found["loading"] + found["drawing"]
    assert [outcome.get("name") for outcome in cancelled] == ["AbortError"] * 6
    for kind in ("gpuBytes", "callbacks"):
        assert found["after"][kind] == found["before"][kind]


@pytest.mark.exhaustive
@pytest.mark.parametrize("count", [8, pytest.param(30, marks=pytest.mark.exhaustive)])
def test_pictures_take_no_more_than_two(open_tab, count):
    tab = open_tab()
    assert in_page(tab, "load", MANIFEST) == {"value": True}
    _, *seen = in_page(tab, "drawMany", count)
    assert seen == [seen[0]] * (count - 1)


def test_another_origin_that_does_not_share(open_tab, speck):
    tab = open_tab()
    with served(speck[0]) as elsewhere:
        failed = in_page(tab, "load", elsewhere + MANIFEST[1:])
    # The policy of the page and its worker allows their own server alone.
    assert failed["name"] == "UnsupportedError"
    assert "Content-Security-Policy does not allow it (connect-src)" in failed["message"]
    assert elsewhere.rstrip("/") in failed["hint"]


@pytest.mark.exhaustive
def test_two_tabs_and_a_reload_amid_a_picture(open_tab):
    one, two = open_tab(), open_tab()
    for tab in (one, two):
        in_page(tab, "start", "load", MANIFEST)
    for tab in (one, two):
        assert in_page(tab, "finished") == {"value": True}
    in_page(one, "start", "draw", {"numInferenceSteps": 50})
    one.reload()
    assert in_page(one, "load", MANIFEST) == {"value": True}
    assert in_page(one, "draw") == in_page(two, "draw")
