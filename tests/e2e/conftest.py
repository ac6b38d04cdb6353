"""A page for each small model with it loaded, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from wsd.browser import open_browser
from wsd.build import build_bundle
from wsd.checkpoint import Checkpoint, choose_checkpoint
from wsd.progress import Quiet
from wsd.render import Renderer
from wsd.serve import served
from wsd.zoo import find_family

# A software adapter on two busy cores takes its time.
TIMEOUT_MS = 180_000
MANIFEST = "models/tiny-sd15/manifest.json"


@pytest.fixture(scope="session")
def address(bundle: Path) -> Iterator[str]:
    with served(bundle) as url:
        yield url


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    expect.set_options(timeout=TIMEOUT_MS)
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def renderer(context: BrowserContext, address: str) -> Renderer:
    return load(context, address, MANIFEST)


@pytest.fixture(scope="session")
def xl_renderer(
    context: BrowserContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Renderer]:
    family = find_family("tiny-sdxl")
    out = tmp_path_factory.mktemp("bundle") / "xl"
    checkpoint = Checkpoint(choose_checkpoint(family, None, None), family)
    build_bundle(checkpoint, family.sizes, out, Quiet())
    with served(out) as url:
        yield load(context, url, "models/tiny-sdxl/manifest.json")


def load(context: BrowserContext, address: str, manifest: str) -> Renderer:
    page = context.new_page()
    # Not the page itself, which would load the model a second time.
    page.goto(address + "blank.html")
    page.set_default_timeout(0)
    return Renderer(page, Quiet(), "/" + manifest)


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    fresh = context.new_page()
    fresh.set_default_timeout(TIMEOUT_MS)
    yield fresh
    fresh.close()
