"""Tuning on the adapter at hand: what is found runs, is kept, is applied and is removed."""

import copy
import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from lora_pages import read_picture, served_with_tools
from pages import before_worker, browser_program
from speck import BROAD, SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.kernel_choices import serialize_kernels
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import psnr, relative_error
from wsd.kernels.choice import GENERATED
from wsd.kernels.registry import GEMM_TILED_F32
from wsd.kernels.variant import FEATURES
from wsd.runtime.request import GenerationRequest
from wsd.spec.kernel_choices import VERSION
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.hashing import sha256_bytes, sha256_file
from wsd.util.progress import Quiet

MANIFEST = f"/models/{BROAD.name}/manifest.json"
SMALL = f"/models/{SPECK.name}/manifest.json"
# What the variants of normalisations' sums are called, and the problem that they solve.
SUMS = "norm_sums"
# The adapter of tests computes on the processor, where rules refuse written variants.
OPTIONS = {"ignoredRules": "software-adapter,fallback-adapter"}
TILED = GEMM_TILED_F32.name
REQUEST = GenerationRequest(prompt="a red circle", steps=2, guidance_scale=3.0, seed=7)
# What has nothing to time, or waits for one kernel at most, takes far less, also on a busy machine;
# timing all kernels takes minutes.
MOST_SECONDS = 10
DRAWN = {"seed": 7, "numInferenceSteps": 2, "guidanceScale": 3.0}


@pytest.fixture(scope="module")
def broad(tmp_path_factory):
    """Return a bundle of broad layers, and what diffusers draws with its weights."""
    checkpoint = open_checkpoint(random_checkpoint(BROAD, 0), BROAD)
    library = keep_for_tuning(compile_library(BROAD, BROAD.sizes, "w4a16", Quiet()))
    bundle = build_bundle(checkpoint, library, tmp_path_factory.mktemp("tune") / "b", Quiet())
    pipeline = load_pipeline(checkpoint)
    round_weights(pipeline, read_manifest(find_manifest(bundle, None)).storages())
    return bundle, draw_reference(checkpoint, pipeline, REQUEST, Quiet())


def keep_for_tuning(library):
    """Return a library whose tiles of one kind are all for tuning alone, as further tiles are."""
    table = copy.deepcopy(library.variants)
    marked = [v for found in table["kernels"].values() for v in found if v["name"] == TILED]
    assert len(marked) > 5
    for variant in marked:
        variant["tuning_only"] = True
    return replace(library, variants=table)


@contextmanager
def opened(bundle, visitor, fault=None):
    """Yield a function that calls one of ``web/tests/browser/tuning.ts`` in a page.

    Its workers have a fault of ``web/tests/browser/faults``, if one is named.
    """
    with served_with_tools(bundle) as address:
        page = visitor.new_page()
        if fault:
            before_worker(page, fault)
        page.goto(address + "blank.html")
        page.set_default_timeout(0)
        page.evaluate(f"() => {{ {browser_program('tuning')} }}")
        yield lambda name, *given: page.evaluate(
            "([name, given]) => wsdTuning[name](...given)", [name, list(given)]
        )


def table_of(library, adapter_class, choices):
    return {
        "model": SPECK.name, "dtype": "f32", "adapter_class": adapter_class,
        "adapter": {"features": " ".join(FEATURES)},
        "kernels": sha256_bytes(serialize_kernels(library.variants)),
        "library": sha256_file(library.wasm), "gain": 1.1, "complete": True, "choices": choices,
    }  # fmt: skip


@pytest.fixture(scope="module")
def advised(speck, tmp_path_factory):
    """Return a bundle that says of software adapters and of a GPU what is the fastest there."""
    library = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    generated = {"variant": GENERATED, "index": 0}
    kernels = library.variants["kernels"]
    sums = {name: generated for name, found in kernels.items() if found[0]["problem"] == SUMS}
    tables = [
        table_of(library, "google swiftshader", sums),
        table_of(library, "nvidia hopper", dict.fromkeys(kernels, generated)),
    ]
    folder = tmp_path_factory.mktemp("advised")
    path = folder / "choices.json"
    path.write_text(json.dumps({"version": VERSION, "tables": tables}), encoding="utf-8")
    assert 0 < len(sums) < len(kernels)
    return build_bundle(speck[1], library, folder / "b", Quiet(), kernel_choices=[path])


@pytest.fixture
def call(broad, visitor):
    with opened(broad[0], visitor) as found:
        yield found


@pytest.fixture
def small(speck, visitor):
    with opened(speck[0], visitor) as found:
        yield found


def assert_drawn(drawn, expected):
    images, latents = expected
    picture, found = read_picture(drawn, BROAD)
    assert relative_error(found, latents.ravel()) < LATENTS_TOLERANCE
    assert psnr(picture, images[0]) > PICTURE_PSNR
    # A flat picture would agree too easily.
    assert picture.std() > 5


@pytest.mark.full
def test_what_is_found_is_kept_and_applied_and_removed(small):
    small("load", SMALL, OPTIONS)
    found = small("tune", {"seconds": 2})["report"]
    assert found["choices"]
    assert found["kept"]
    ran = small("variants")
    drawn = small("draw", REQUEST.prompt, DRAWN)
    small("unload")
    small("load", SMALL, OPTIONS)
    assert small("variants") == ran
    again = small("draw", REQUEST.prompt, DRAWN)
    assert again["latents"] == drawn["latents"]
    small("unload")
    assert small("tunings") == [1]
    small("purge", SMALL)
    assert small("tunings") == []


@pytest.mark.exhaustive
def test_what_is_found_is_drawn_with_and_kept_and_applied_and_removed(broad, call):
    expected = broad[1]
    call("load", MANIFEST, OPTIONS)
    before = call("draw", REQUEST.prompt, DRAWN)
    assert_drawn(before, expected)
    assert set(before["variants"]) > {GENERATED}
    assert TILED not in before["variants"]
    assert call("tunings") == [0]
    # A short call times one kernel at least, and the next one goes on behind it.
    first = call("tune", {"seconds": 0.001})["report"]
    assert first["choices"]
    assert not first["complete"]
    second = call("tune", {"seconds": 20})["report"]
    assert second["choices"].items() > first["choices"].items()
    assert second["kept"]
    written = [each for each in second["choices"].values() if each["variant"] == "attention_flash"]
    assert all("queries" in choice["tile"] for choice in written)
    # On the processor, generated kernels are faster than some of those for GPUs.
    assert second["changed"] > 0
    assert second["gain"] > 1
    after = call("draw", REQUEST.prompt, DRAWN)
    assert_drawn(after, expected)
    assert after["variants"] != before["variants"]
    call("unload")
    # The next visit runs it from the first picture on.
    call("load", MANIFEST, OPTIONS)
    assert call("variants") == after["variants"]
    drawn = call("draw", REQUEST.prompt, DRAWN)
    np.testing.assert_array_equal(drawn["latents"], after["latents"])
    call("unload")
    # Rules refuse it where they are not ignored, and names of kernels overrule it.
    call("load", MANIFEST)
    assert set(call("variants")) == {GENERATED}
    call("unload")
    call("load", MANIFEST, {"kernels": "norm_sums_workgroup"})
    assert set(call("variants")) == {GENERATED, "norm_sums_workgroup"}
    call("unload")
    call("load", MANIFEST, {"kernels": TILED})
    assert set(call("variants")) == {GENERATED}
    call("unload")
    assert call("tunings") == [1]
    call("purge", MANIFEST)
    assert call("tunings") == []
    call("load", MANIFEST, OPTIONS)
    assert call("variants") == before["variants"]
    call("unload")


@pytest.mark.exhaustive
def test_all_kernels_are_timed_once(speck, small):
    small("load", SMALL, OPTIONS)
    tuned = small("tune", {"seconds": 600})
    assert tuned["stages"] == ["tune"]
    assert tuned["rises"]
    report = tuned["report"]
    check_report(report, speck[0])
    ran = small("variants")
    again = small("tune", {"seconds": 600})["report"]
    assert again["choices"] == report["choices"]
    assert again["functions"] == report["functions"]
    assert again["seconds"] < MOST_SECONDS
    # One that is cancelled changes nothing.
    assert small("tuneAborted") == "AbortError"
    assert small("variants") == ran
    small("unload")
    small("load", SMALL, OPTIONS)
    assert small("variants") == ran
    known = small("tune", {})["report"]
    assert known["choices"] == report["choices"]
    assert known["kept"]
    small("unload")
    small("load", SMALL, {"kernels": "norm_sums_workgroup"})
    named = small("tune", {"seconds": 600})["report"]
    assert named["complete"]
    assert not named["kept"]
    names = {choice["variant"] for choice in named["choices"].values()}
    assert names <= {GENERATED, "norm_sums_workgroup"}
    small("unload")


def check_report(report, bundle):
    manifest = read_manifest(find_manifest(bundle, None))
    table = json.loads(
        (bundle / "models" / SPECK.name / manifest.kernels.file).read_text(encoding="utf-8")
    )["kernels"]
    assert report["complete"]
    assert report["kept"]
    assert report["adapter"]["vendor"] == "google"
    assert report["gain"] >= 1
    roles = {entry.name: entry.role for entry in manifest.entry_points}
    tuned = [roles[function["name"]] for function in report["functions"]]
    assert tuned[0] == "guided_denoiser"
    assert {"guided_denoiser", "vae_decoder", "text_encoder"} <= {*tuned}
    for function in report["functions"]:
        assert function["complete"]
        assert function["after"] <= function["before"]
        assert function["changed"] <= function["kernels"]
    assert report["kernels"] == len(report["choices"]) > 0
    for kernel, choice in report["choices"].items():
        if choice["variant"] != GENERATED:
            same = [each for each in table[kernel] if each["name"] == choice["variant"]]
            assert choice["index"] < len(same)


@pytest.mark.exhaustive
def test_a_bundle_says_what_runs_on_adapters_of_a_class(speck, advised, visitor):
    drawn = {}
    for name, bundle in (("plain", speck[0]), ("advised", advised)):
        with opened(bundle, visitor) as call:
            # The page's own worker, which cannot tune, reads it too.
            call("load", SMALL, OPTIONS, "/client.js")
            drawn[name] = call("draw", REQUEST.prompt, DRAWN)
            call("unload")
    plain, other = (drawn[name]["variants"] for name in ("plain", "advised"))
    of_sums = {name for name in plain if name.startswith(SUMS)}
    assert of_sums
    # Those of the other class, which name every kernel, are not taken.
    moved = sum(plain[name] for name in of_sums)
    assert other == {
        **{name: count for name, count in plain.items() if name not in of_sums},
        GENERATED: plain[GENERATED] + moved,
    }
    pixels, expected = (np.array(drawn[name]["pixels"], int) for name in ("advised", "plain"))
    assert expected.std() > 5
    assert np.abs(pixels - expected).max() <= 1
    with opened(advised, visitor) as call:
        # Names of kernels overrule it, and rules refuse what runs elsewhere.
        call("load", SMALL, {"kernels": ",".join(of_sums)})
        assert set(call("variants")) == {GENERATED, *of_sums}
        call("unload")
        call("load", SMALL)
        assert set(call("variants")) == {GENERATED}
        call("unload")


@pytest.mark.full
def test_what_cannot_be_tuned_is_refused(small):
    small("load", SMALL, OPTIONS)
    for options, wanted in [
        ({"seconds": 0}, "above 0"),
        ({"seconds": "5"}, "above 0"),
        ({"again": 1}, "true or false"),
        ({"second": 5}, "seconds"),
    ]:
        refused = small("refusal", options)
        assert refused["name"] == "OptionError", options
        assert wanted in refused["hint"]
    small("unload")


@pytest.mark.full
def test_nothing_is_tuned_in_idle_time_on_an_adapter_that_computes_on_the_processor(small):
    small("loadIdle", SMALL, {})
    small("draw", REQUEST.prompt, DRAWN)
    [report] = small("slices", 1)
    assert report["complete"]
    assert report["functions"] == []
    assert report["seconds"] < MOST_SECONDS
    assert set(small("variants")) == {GENERATED}
    assert small("tunings") == [0]
    small("unload")


@pytest.mark.exhaustive
def test_a_gpu_that_tuning_lost_is_not_tuned_by_itself_again(speck, visitor):
    with opened(speck[0], visitor, "device_loss") as call:
        call("loadIdle", SMALL, OPTIONS)
        first = call("draw", REQUEST.prompt, DRAWN)
        call("loseAmidSlice")
        # The next picture is drawn all the same.
        second = call("draw", REQUEST.prompt, DRAWN)
        pixels, expected = (np.array(drawn["pixels"], int) for drawn in (second, first))
        assert expected.std() > 5
        assert np.abs(pixels - expected).max() <= 1
        call("unload")
        call("loadIdle", SMALL, OPTIONS)
        call("draw", REQUEST.prompt, DRAWN)
        [report] = call("slices", 1)
        assert report["complete"]
        assert report["functions"] == []
        # Whoever asks for it tunes it, and takes that back.
        assert call("tune", {"seconds": 0.001})["report"]["choices"]
        call("unload")
        call("loadIdle", SMALL, OPTIONS)
        call("draw", REQUEST.prompt, DRAWN)
        assert not call("slices", 1)[0]["complete"]
        call("unload")


@pytest.mark.exhaustive
def test_a_model_is_tuned_in_slices_while_nothing_is_drawn(speck, small):
    small("loadIdle", SMALL, OPTIONS)
    first = small("draw", REQUEST.prompt, DRAWN)
    assert not small("slices", 2)[-1]["complete"]
    # A slice that runs ends soon, and what it found is not lost.
    between = small("drawBetween", REQUEST.prompt, DRAWN)
    assert between["waited"] < MOST_SECONDS * 1000
    pixels, expected = (np.array(drawn["pixels"], int) for drawn in (between, first))
    assert expected.std() > 5
    assert np.abs(pixels - expected).max() <= 1
    last = small("slices", 10_000)[-1]
    check_report(last, speck[0])
    ran = small("variants")
    tuned = small("draw", REQUEST.prompt, DRAWN)
    assert np.abs(np.array(tuned["pixels"], int) - expected).max() <= 1
    small("unload")
    # The next visit runs it, and does nothing more.
    small("loadIdle", SMALL, OPTIONS)
    assert small("variants") == ran
    small("draw", REQUEST.prompt, DRAWN)
    [known] = small("slices", 1)
    assert known["complete"]
    assert known["choices"] == last["choices"]
    assert known["seconds"] < MOST_SECONDS
    small("unload")
