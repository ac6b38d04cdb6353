"""A visitor of the container: pictures as diffusers draws them, nothing refused."""

import numpy as np
import pytest
from playwright.sync_api import expect

from pages import browser_program, set_steps
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import find_family
from wsd.runtime.chromium import open_browser
from wsd.runtime.driver import LoadOptions, Renderer
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

DRAWING = GenerationRequest("a large red circle left of a small blue square", seed=7, steps=4)
TIMEOUT_MS = 180_000

# What the page must refuse: web/tests/browser/policy.ts.
ATTEMPTS = ["a worker's address from a string", "a policy of another name", "markup from a string",
            "a program from a string"]  # fmt: skip


@pytest.fixture(scope="module")
def context():
    with open_browser() as opened:
        yield opened


def _complains(message):
    """Tell what a good run may not say; browsers ask a page that is no HTML for an icon."""
    icon = message.location["url"].endswith("/favicon.ico")
    return message.type in ("error", "warning") and not icon


@pytest.fixture
def page(context):
    complaints = []
    # A visitor of its own: the service worker of one would answer for the next.
    visitor = context.browser.new_context()
    visitor.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    fresh = visitor.new_page()
    fresh.on("console", lambda message: _complains(message) and complaints.append(message.text))
    fresh.on("pageerror", lambda error: complaints.append(str(error)))
    fresh.add_init_script(browser_program("policy"))
    fresh.complaints = complaints
    yield fresh
    visitor.close()


@pytest.mark.parametrize("name", ["tiny-sd15", "tiny-sdxl", "tiny-sd35"])
def test_pictures_as_diffusers_draws_them(page, container, name):
    family = find_family(name)
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    pipeline = load_pipeline(checkpoint)
    images, latents = draw_reference(checkpoint, pipeline, DRAWING, Quiet())
    # Not the page itself, which would load a model of its own.
    page.goto(f"{container.url}SRI.json")
    page.set_default_timeout(0)
    drawn = Renderer(page, Quiet(), f"/models/{name}/manifest.json", LoadOptions()).draw(DRAWING)
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40
    assert np.std(drawn.images) > 10
    assert page.evaluate("wsdPolicy.violations()") == []
    assert page.complaints == []


def test_a_person_draws_a_picture(page, container):
    page.goto(container.url)
    expect(page.get_by_role("status")).to_have_text("Ready.")
    assert page.evaluate("crossOriginIsolated")
    models = page.get_by_label("Model", exact=True)
    expect(models.get_by_role("option")).to_have_text(["tiny-sd15", "tiny-sd35", "tiny-sdxl"])
    set_steps(page, 2)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text("Done in")
    assert page.evaluate("wsdPolicy.violations()") == []
    assert page.complaints == []


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_what_the_policy_refuses(page, container, attempt):
    page.goto(container.url)
    assert page.evaluate("wsdPolicy.attempt", attempt) in ("TypeError", "EvalError")
    assert page.evaluate("wsdPolicy.violations()")


def test_an_altered_script_does_not_run(page, container):
    """Whoever alters a file between nginx and the browser gets nothing."""
    page.route(
        "**/assets/main.*.js",
        lambda route: (
            (answer := route.fetch())
            and route.fulfill(response=answer, body=answer.text() + "\nglobalThis.evil = 1;")
        ),
    )
    with page.expect_console_message(lambda message: "integrity" in message.text):
        page.goto(container.url)
    assert page.evaluate("globalThis.evil") is None
    expect(page.get_by_role("status")).to_have_text("Starting …")
