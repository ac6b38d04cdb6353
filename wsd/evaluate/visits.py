"""``wsd bench --visit``: a first and a second visit to a bundle's page, in Chromium.

Chromium gets a profile of its own, which keeps nothing from before and is on a disk, as a visitor's
is. The page is opened and draws two pictures, of the model's first example if it has one; then it
is opened again in another tab, where the model comes from the browser's store, and draws one more.
Each figure is the page's own: it is what the button below the page's table of times copies, so that
what other people send has the same words. The page counts from the moment when it was opened; for a
model that it offers and does not load by itself, from the moment when the download was chosen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from wsd.bundle.layout import SRI
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.verify import check_bundle
from wsd.errors import BundleError, RenderError
from wsd.evaluate.benchmark_plot import draw_bars
from wsd.runtime.chromium import check_gpu, open_browser
from wsd.runtime.request import GenerationRequest
from wsd.runtime.server import served
from wsd.runtime.validation import check_picture
from wsd.util.progress import Progress

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

# What the page's status begins with.
_READY, _DONE = "Ready.", "Done in"
_OFFERED = "offered"
_COPY = "#figures-copy"
# What the page copies is kept where this program finds it: a clipboard is everybody's.
_TAKE_COPIES = """() => {
  navigator.clipboard.writeText = async (text) => { globalThis.wsdCopied = text; };
}"""
_TAKEN = "() => globalThis.wsdCopied"
# Which of the awaited states the page is in, if any, and what went wrong.
_STATE = """(awaited) => {
  const [error, load, status] =
    ["error", "load", "status"].map((id) => document.getElementById(id));
  if (error.checkVisibility()) return { error: error.innerText };
  const said = load.checkVisibility() ? "offered" : status.textContent;
  const state = awaited.find((state) => said.startsWith(state));
  return state === undefined ? false : { state };
}"""
# The names of the page's figures that are the point of a visit; the page's English has them.
_READY_AFTER, _WHOLE = "Ready after", "Whole picture"
_POLLING_MS = 100
# Drawn where the form has no prompt: a model without examples leaves it empty, and the browser
# submits no form that lacks one.
_PROMPT = "a lighthouse at dusk"
# The first field that keeps the browser from submitting the form, and what it says of it.
_INVALID = """() => {
  const fields = document.querySelector("#form").elements;
  const wrong = [...fields].find((each) => each.willValidate && !each.validity.valid);
  return wrong && `${wrong.id}: ${wrong.validationMessage}`;
}"""
_LABELS = ("first visit", "first visit, second picture", "second visit")


@dataclass(frozen=True)
class Picture:
    """One picture of a visit.

    Attributes:
        label: which one of the visits' pictures it is.
        figures: the page's table: name → value, with units, in English.
    """

    label: str
    figures: Mapping[str, str]

    def seconds(self, name: str) -> float:
        """Return one of the times.

        Args:
            name: of a figure that is a time, such as ``Ready after``.
        """
        return float(self.figures[name].removesuffix(" s"))


@dataclass(frozen=True)
class Visits:
    """What ``wsd bench --visit --json`` writes.

    Attributes:
        model: name of the family.
        dtype: how the bundle stores weights.
        pictures: the first visit's two, and the second visit's.
    """

    model: str
    dtype: str
    pictures: tuple[Picture, ...]


def visit(bundle: Path, model: str | None, progress: Progress) -> Visits:
    """Visit a bundle's page twice, and draw.

    Args:
        bundle: a bundle's folder.
        model: which of its models; the first unless given.
        progress: shows which picture is drawn.

    Raises:
        BundleError: if the folder is not a bundle, or one of its files is not what was built, or
            if its page is of a version that does not copy its figures.
        UsageError: for a model that it does not hold, or that draws only from a picture.
        RenderError, ToolError: if the page cannot be opened, or does not draw.
    """
    manifest = read_manifest(find_manifest(bundle, model))
    described = manifest.model
    check_picture(manifest, GenerationRequest(prompt=""), None)
    check_bundle(bundle)
    query = urlencode({"model": described.name, "dtype": described.dtype})
    with (
        served(bundle) as address,
        tempfile.TemporaryDirectory() as profile,
        open_browser(Path(profile)) as context,
    ):
        check_gpu(context, f"{address}{SRI}")
        pictures: list[Picture] = []
        for labels in (_LABELS[:2], _LABELS[2:]):
            with _open(context, f"{address}?{query}") as page:
                with progress.stage(f"{labels[0]}, loading", total=1) as advance:
                    _load(page)
                    advance(1)
                for label in labels:
                    with progress.stage(f"{label}, drawing", total=1) as advance:
                        pictures.append(Picture(label, _draw(page)))
                        advance(1)
    return Visits(described.name, described.dtype, tuple(pictures))


@contextmanager
def _open(context: BrowserContext, address: str) -> Iterator[Page]:
    """Open the page in a tab of its own."""
    page = context.new_page()
    page.set_default_timeout(0)
    page.goto(address)
    if page.locator(_COPY).count() == 0:
        raise BundleError(
            "the bundle's page does not copy its figures: it is of an earlier version",
            "build the bundle again with this version",
        )
    page.evaluate(_TAKE_COPIES)
    yield page
    page.close()


def _load(page: Page) -> None:
    """Wait until the page's model is ready."""
    if _wait(page, _READY, _OFFERED) == _OFFERED:
        page.locator("#load").click()
        _wait(page, _READY)


def _draw(page: Page) -> dict[str, str]:
    """Draw what the form has, and return the page's figures.

    Raises:
        RenderError: if the form cannot be submitted, or the page shows an error.
    """
    prompt = page.locator("#prompt")
    if not prompt.input_value():
        prompt.fill(_PROMPT)
    if wrong := page.evaluate(_INVALID):
        raise RenderError(
            f"the page's form cannot be submitted: {wrong}",
            "`wsd serve` shows it in your own browser",
        )
    page.locator("#draw").click()
    _wait(page, _DONE)
    # The table is folded.
    page.locator(_COPY).dispatch_event("click")
    page.wait_for_function(_TAKEN)
    return read_markdown(page.evaluate(_TAKEN))


def read_markdown(text: str) -> dict[str, str]:
    """Return the rows of what the page copies: name → value."""
    rows = [line.removeprefix("| ").removesuffix(" |") for line in text.splitlines()[2:]]
    return dict(row.split(" | ", 1) for row in rows)


def _wait(page: Page, *states: str) -> str:
    """Wait until the page comes to one of the states, and return it.

    Raises:
        RenderError: if it shows an error.
    """
    # Playwright would ask again at each frame, of which there may be none while the GPU works.
    asked = page.wait_for_function(_STATE, arg=states, polling=_POLLING_MS)
    found: dict[str, str] = asked.json_value()
    if "error" in found:
        said = " ".join(found["error"].split())
        raise RenderError(f"the page says: {said}", "`wsd serve` shows it in your own browser")
    return found["state"]


def describe_visits(found: Visits) -> list[str]:
    """Return the report's lines: a Markdown table, a column for each picture."""
    names = dict.fromkeys(name for picture in found.pictures for name in picture.figures)
    head = ["", *(picture.label for picture in found.pictures)]
    rows = [
        [name, *(picture.figures.get(name, "") for picture in found.pictures)] for name in names
    ]
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def draw_visits(found: Visits) -> str:
    """Return an SVG: how long each visit took to be ready, and its pictures.

    Raises:
        ToolError: if matplotlib is missing.
    """
    first, again, second = found.pictures
    bars = {
        "first visit, ready": first.seconds(_READY_AFTER),
        "first visit, first picture": first.seconds(_WHOLE),
        "first visit, second picture": again.seconds(_WHOLE),
        "second visit, ready": second.seconds(_READY_AFTER),
        "second visit, picture": second.seconds(_WHOLE),
    }
    gpu = first.figures.get("GPU", "")
    return draw_bars(f"{found.model} {found.dtype}, {gpu}: seconds", bars)
