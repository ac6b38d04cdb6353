"""A page for each small model with it loaded, shared by the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from web_coverage import WebCoverage

from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.self_test import write_fixtures
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.runtime.chromium import open_browser
from wsd.runtime.driver import LoadOptions, OpenHost, StageRenderer, open_stage_renderer
from wsd.runtime.server import served
from wsd.util.progress import Quiet

# A software adapter on two busy cores takes its time.
TIMEOUT_MS = 180_000


@pytest.fixture(scope="session")
def address(bundle: Path) -> Iterator[str]:
    with served(bundle) as url:
        yield url


@contextmanager
def counted(page: Page) -> Iterator[None]:
    """Write what ran of a page, where WSD_COVERAGE names a folder for it."""
    folder = os.environ.get("WSD_COVERAGE")
    if folder is None:
        yield
        return
    coverage = WebCoverage(page)
    yield
    coverage.write(Path(folder))


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    expect.set_options(timeout=TIMEOUT_MS)
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visitor(context: BrowserContext) -> Iterator[BrowserContext]:
    """Return a browser that has never been to the page."""
    assert context.browser is not None
    fresh = context.browser.new_context()
    fresh.set_default_timeout(TIMEOUT_MS)
    yield fresh
    fresh.close()


OpenModel = Callable[..., AbstractContextManager[StageRenderer]]


@pytest.fixture(scope="session")
def open_host(context: BrowserContext) -> OpenHost:
    """Return a function that opens a page at an address, in the browser that tests share."""

    @contextmanager
    def open_page(address: str) -> Iterator[Page]:
        page = context.new_page()
        with counted(page):
            page.goto(address)
            page.set_default_timeout(0)
            yield page
        page.close()

    return open_page


@pytest.fixture(scope="session")
def open_model(open_host: OpenHost) -> OpenModel:
    """Return a function that opens a bundle's model in a page of its own."""

    def open_bundle(bundle: Path, **options: bool) -> AbstractContextManager[StageRenderer]:
        return open_stage_renderer(bundle, Quiet(), LoadOptions(**options), open_host)

    return open_bundle


@pytest.fixture(scope="session")
def renderer(open_model: OpenModel, bundle: Path) -> Iterator[StageRenderer]:
    with open_model(bundle) as opened:
        yield opened


@pytest.fixture(scope="session")
def speck(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    """Return the bundle of a model of few kernels, and its checkpoint."""
    checkpoint = open_checkpoint(choose_checkpoint(SPECK, None, 0), SPECK)
    folder = tmp_path_factory.mktemp("bundle")
    library = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    (size,) = SPECK.sizes
    expected = write_fixtures(checkpoint, size, "a star", folder / "expected.json", Quiet())
    return build_bundle(checkpoint, library, folder / "speck", Quiet(), expected), checkpoint


@pytest.fixture(scope="session")
def origin(speck: tuple[Path, Checkpoint]) -> Iterator[str]:
    with served(speck[0]) as url:
        yield url


@pytest.fixture(scope="session")
def speck_renderer(
    open_model: OpenModel, speck: tuple[Path, Checkpoint]
) -> Iterator[StageRenderer]:
    with open_model(speck[0]) as opened:
        yield opened


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    # A visitor of its own: what the browser keeps for one must not help the next, nor
    # a service worker answer what a test means to.
    visitor = context.browser.new_context(service_workers="block")
    fresh = visitor.new_page()
    fresh.set_default_timeout(TIMEOUT_MS)
    with counted(fresh):
        yield fresh
    visitor.close()
