"""Calls of pipelines in a browser: they wait for each other, and each is cancelled by itself."""

import pytest

from pages import before_worker, browser_program
from timing import check_seconds

MANIFEST = "/models/speck/manifest.json"
CANCELLED = {"name": "AbortError", "hint": True}


@pytest.fixture
def open_tab(page, origin):
    """Return a function that opens a blank page, with a fault in its workers, and a model."""

    def open_page(*names, fault=None, **options):
        if fault:
            before_worker(page, fault)
        page.goto(origin + "blank.html")
        page.evaluate(f"() => {{ {browser_program('calls')} }}")
        for name in names:
            call(page, "load", name, MANIFEST, options)
        return page

    return open_page


def call(tab, name, *arguments):
    """Call a function of ``web/tests/browser/calls.ts`` in a page, and return its value."""
    return tab.evaluate("([name, args]) => wsdCalls[name](...args)", [name, list(arguments)])


def wait_for_workers(tab, count):
    """Wait until a page has so many workers: one that was ended is gone a moment later."""
    for _ in range(100):
        if len(tab.workers) == count:
            return
        tab.wait_for_timeout(50)
    assert len(tab.workers) == count


@pytest.mark.full
def test_each_call_is_cancelled_by_its_own_signal(open_tab):
    tab = open_tab("model")
    usual = call(tab, "draw", "model")
    assert len(usual["latents"]) == 4 * 16 * 16

    found = call(tab, "abortedBefore", "model")
    assert found["outcomes"] == [CANCELLED, {"name": "TimeoutError", "hint": False}, usual]
    before, after = found["usage"]
    assert before == after

    found = call(tab, "cancelTwoOfFour", "model")
    assert found["outcomes"] == [CANCELLED, {"name": "RangeError", "hint": False}, usual, usual]
    assert found["late"] == 0

    # It runs in one worker throughout; unloading ends that one, whatever runs or waits.
    wait_for_workers(tab, 1)
    found = call(tab, "unloadAmid", "model")
    assert found["outcomes"] == [CANCELLED] * 3
    assert found["after"] == [{"name": "UnloadedError", "hint": True}]
    wait_for_workers(tab, 0)


@pytest.mark.exhaustive
def test_a_lost_gpu_takes_the_picture_that_is_drawn_and_not_those_that_wait(open_tab):
    tab = open_tab("model", fault="device_loss")
    usual = call(tab, "draw", "model")
    assert call(tab, "loseAmid", "model") == [
        {"name": "DeviceLostError", "hint": True}, usual, usual,
    ]  # fmt: skip
    assert call(tab, "takeNotices") == ["The GPU was lost; the model is loaded again."]


@pytest.mark.exhaustive
@pytest.mark.timed
def test_a_worker_that_hangs_is_ended_and_waiting_calls_draw_in_another(open_tab):
    tab = open_tab("model", fault="endless_loop")
    found = call(tab, "hangAmid", "model")
    cancelled, drawn = found["outcomes"]
    assert cancelled == CANCELLED
    assert drawn == call(tab, "draw", "model")
    (notice,) = call(tab, "takeNotices")
    assert "the model is loaded again" in notice
    wait_for_workers(tab, 1)
    check_seconds(found["rejectedAfter"] / 1000, 1, "refusing a call")


@pytest.mark.exhaustive
def test_two_pipelines_of_a_page_know_nothing_of_each_other(open_tab):
    tab = open_tab("left", "right")
    wait_for_workers(tab, 2)
    usual = call(tab, "draw", "right")
    assert call(tab, "draw", "left") == usual
    assert call(tab, "drawWithTwo", "left", "right") == [CANCELLED, usual, usual]
    wait_for_workers(tab, 1)


@pytest.mark.exhaustive
def test_a_call_that_is_refused_does_not_disturb_the_one_that_runs(open_tab):
    tab = open_tab("model", concurrency="refuse")
    first, second, third = call(tab, "refuse", "model")
    assert first == CANCELLED
    assert second == {"name": "BusyError", "hint": True}
    assert third == call(tab, "draw", "model")


@pytest.mark.exhaustive
@pytest.mark.parametrize("offload", [False, True])
def test_progress_is_one_share_that_never_falls(open_tab, offload):
    tab = open_tab()
    options = {"numImages": 2, "numInferenceSteps": 3}
    told = call(tab, "tellProgress", "model", MANIFEST, options, {"offload": offload})
    for events in told.values():
        shares = [event["overall"] for event in events]
        assert shares == sorted(shares)
        assert 0 <= shares[0] < 0.5
        assert shares[-1] == 1
        assert len(set(shares)) > 5
        for event in events:
            assert event["remainingMs"] is None or event["remainingMs"] >= 0
    stages = [event["stage"] for event in told["loading"]]
    assert set(stages) == {"library", "parameters", "pipelines"}
    drawing = [
        event for event in told["drawing"] if event["stage"] in ("text", "denoise", "decode")
    ]
    assert [
        (event["stage"], event.get("image"), event["images"], event["loaded"], event["total"])
        for event in drawing
    ] == [
        ("text", None, 2, 0, 1), ("text", None, 2, 1, 1),
        *[("denoise", image, 2, step, 3) for image in (0, 1) for step in (0, 1, 2, 3)],
        *[("decode", image, 2, step, 1) for image in (0, 1) for step in (0, 1)],
    ]  # fmt: skip
    assert ("parameters" in {event["stage"] for event in told["drawing"]}) == offload
    assert told["drawing"][-1]["remainingMs"] == 0
