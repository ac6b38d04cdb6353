"""The page and the package in Firefox without WebGPU: they say so, and the rest of them works.

Puppeteer drives Firefox (``tests/firefox/visit.mjs``): Playwright drives only its own build of it.
"""

import json
import shutil

import pytest

from tools.host_packages import FIREFOX, PROGRAMS, describe_command
from wsd.bundle.npm import install_packages, source_folder
from wsd.bundle.web_page import build_package
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.runtime.http_headers import HEADERS
from wsd.runtime.server import create_server, serve_in_thread
from wsd.util.files import REPOSITORY
from wsd.util.process import run

pytestmark = pytest.mark.exhaustive

PAGES = REPOSITORY / "tests" / "firefox"
NO_WEBGPU = {
    "name": "UnsupportedError",
    "message": "this browser has no WebGPU",
    "hint": "use a current Chrome, Edge, Safari or Firefox",
}


@pytest.fixture(scope="module")
def visit():
    """Return a function that opens an address in Firefox, and returns texts and complaints."""
    firefox = next(filter(None, map(shutil.which, FIREFOX)), None)
    assert firefox, f"Firefox is missing; run: {describe_command([*PROGRAMS['firefox']])}"
    install_packages(source_folder("tests/firefox"))

    def open_page(address, *selectors):
        command = ["node", PAGES / "visit.mjs", firefox, address, *selectors]
        found = json.loads(run(command, timeout=600))
        return found["texts"], found["complaints"]

    return open_page


def test_the_page_says_what_to_do(visit, origin):
    texts, complaints = visit(origin, "[role=alert]", "h1", "button[aria-disabled=true]")
    alert, title, button = texts
    assert "This browser cannot draw here: it has no WebGPU." in alert
    assert "Update Firefox: WebGPU needs version 141" in alert
    assert "On Linux and Android, use Chrome for now." in alert
    assert title == "Web Stable Diffusion"
    assert button == "Draw"
    assert complaints == []


@pytest.fixture(scope="module")
def used(visit, speck, tmp_path_factory):
    """Return what the package did on a page of Firefox, and what the console complained about.

    The page has the policy of a bundle, which requires Trusted Types.
    """
    folder = tmp_path_factory.mktemp("firefox")
    build_package(folder / "package", tvmjs_source())
    shutil.copytree(speck[0] / "models" / "speck", folder / "model")
    for name in ("index.html", "use_package.js"):
        shutil.copy(PAGES / name, folder)
    with serve_in_thread(lambda: create_server(folder, HEADERS)) as address:
        (text,), complaints = visit(address, "#result")
    return json.loads(text), complaints


def test_the_package_says_why_it_cannot_draw(used):
    result, complaints = used
    assert "stack" not in result, result
    assert result["preflight"]["problems"] == [NO_WEBGPU]
    assert result["preflight"]["adapter"] is None
    assert result["preflight"]["bytes"]["total"] > 0
    assert result["refusal"] == NO_WEBGPU
    assert result["element"]["error"] == NO_WEBGPU
    assert result["element"]["content"] == "A picture that was drawn before."
    assert NO_WEBGPU["message"] in result["element"]["status"]
    assert complaints == []


def test_settings_are_written_into_a_png_of_firefox_and_read(used):
    settings = used[0]["settings"]
    expected = {
        "prompt": "a red circle",
        "negativePrompt": "blurry",
        "steps": 4,
        "guidanceScale": 7.5,
        "seed": str(2**63),
        "width": 64,
        "height": 64,
        "model": "speck",
    }
    assert {name: settings[name] for name in expected} == expected
