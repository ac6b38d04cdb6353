"""The self-test page: good files on a good GPU, and who is at fault when one is not."""

import re

import pytest
from playwright.sync_api import expect

from pages import before_worker, change_manifest, files_of, find_violations, flip, watch
from wsd.bundle.builder import build_bundle
from wsd.compiler.driver import compile_library
from wsd.runtime.server import served
from wsd.util.progress import Quiet

STAGES = ["text_encoder", "denoiser_16x16", "guided_denoiser_16x16", "vae_decoder_16x16",
          "vae_decoder_tile", "vae_encoder_16x16", "vae_encoder_tile"]  # fmt: skip


def run(page, origin):
    page.goto(f"{origin}selftest.html?model=speck")
    page.get_by_role("button", name="Run the self-test").click()
    expect(page.locator("#results")).to_be_visible()
    return page.locator("#verdict").inner_text()


def rows(page):
    return [row.inner_text().split("\t") for row in page.locator("#stages tr").all()]


@pytest.mark.exhaustive
def test_all_is_well(page, origin):
    complaints = watch(page)
    assert run(page, origin) == "All is well: the GPU computes what PyTorch does."
    assert [cells[0] for cells in rows(page)] == STAGES
    assert all(float(cells[2]) < 1e-4 for cells in rows(page))
    report = page.get_by_label("Report").input_value()
    for fact in ("speck, f32", "swiftshader", "Chrome", "torch ", *STAGES):
        assert fact in report
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the report").click()
    assert page.evaluate("navigator.clipboard.readText()") == report
    assert find_violations(page) == []
    # The results are written again in another language; the report is for those who read issues.
    page.get_by_label("Language").select_option("de")
    expect(page.locator("#verdict")).not_to_contain_text("All is well")
    assert page.locator("#report").input_value() == report
    assert find_violations(page) == []
    assert complaints == []


@pytest.mark.exhaustive
def test_a_gpu_that_computes_wrongly(page, origin):
    before_worker(page, "wrong_exp")
    said = run(page, origin)
    assert said.startswith("The files are right, but the GPU or its driver computes wrongly")
    bad = [cells[0] for cells in rows(page) if float(cells[2]) > 1e-3]
    assert said.endswith(f": {', '.join(bad)}.")
    assert "text_encoder" in bad
    assert page.get_by_role("alert").is_hidden()


@pytest.mark.exhaustive
def test_a_gpu_that_changes_its_mind(page, origin):
    before_worker(page, "unsteady")
    assert "denoiser_16x16" in run(page, origin)
    (unet,) = (cells for cells in rows(page) if cells[0] == "denoiser_16x16")
    assert unet[1] == "BAD"
    assert unet[4] == "NO"
    assert float(unet[2]) < 1e-3


@pytest.mark.exhaustive
def test_a_stage_too_large_for_the_gpu_is_left_out(page, origin):
    def enlarge(manifest):
        for entry in manifest["entry_points"]:
            if entry["name"] == "vae_decoder_16x16":
                entry["largest_buffer_bytes"] = 2**50

    change_manifest(page, "/manifest.json", enlarge)
    assert run(page, origin) == "All is well: the GPU computes what PyTorch does."
    assert [cells[0] for cells in rows(page)] == [s for s in STAGES if s != "vae_decoder_16x16"]


@pytest.mark.full
def test_a_damaged_file(page, origin):
    page.route("**/unet-0.*", flip)
    assert run(page, origin) == "The download is at fault: a file is damaged."
    assert "sha256 mismatch" in page.get_by_label("Report").input_value()


@pytest.mark.exhaustive
def test_a_model_without_expected_values(page, speck, tmp_path):
    _, checkpoint = speck
    library = compile_library(checkpoint.family, checkpoint.family.sizes, "f32", Quiet())
    files = files_of(page)
    with served(build_bundle(checkpoint, library, tmp_path / "plain", Quiet())) as url:
        assert run(page, url) == "The self-test could not be finished."
        alert = page.get_by_role("alert").inner_text()
    assert files() == []
    assert alert.startswith("This model has no self-test.\n")
    assert re.search(r"without expected values\.\s+.*wsd expect", alert)


def test_stop(page, origin):
    page.goto(f"{origin}selftest.html")
    # The button is disabled until the list of models is there, and `press` does not wait for that.
    expect(page.get_by_role("button", name="Run the self-test")).to_be_enabled()
    page.get_by_role("button", name="Run the self-test").press("Enter")
    # The button that is of no use any more leaves its focus to the other one.
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.get_by_role("button", name="Stop").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Run the self-test")).to_be_focused()
    assert page.locator("#results").is_hidden()
    assert page.get_by_role("button", name="Run the self-test").is_enabled()


@pytest.mark.exhaustive
def test_the_shipped_models_know_what_to_expect(renderer):
    stages = renderer.self_test()
    assert [stage["good"] for stage in stages] == [True] * 7
    assert max(stage["error"] for stage in stages) < 1e-4
