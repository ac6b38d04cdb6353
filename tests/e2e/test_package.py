"""The npm package: packed, installed and used without the page."""

import re
import shutil
import subprocess

import pytest
from playwright.sync_api import expect

from pages import in_page
from wsd.bundle.npm import source_folder
from wsd.bundle.web_page import build_package
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.runtime.server import served

USE = """
import { StableDiffusionPipeline, preflight, type Generated, OutOfMemoryError } from
  "web-stable-diffusion";
const pipe = await StableDiffusionPipeline.fromPretrained("x", {
  tiling: true, cache: false, onNotice: (notice: string) => console.log(notice) });
const { image }: Generated = await pipe.generate("a", { numInferenceSteps: 2 });
const size: number = image.width + (await preflight("x")).bytes.total;
if (new OutOfMemoryError("a", "b").hint === "b") console.log(size);
"""
STRICT = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib",
          "es2022,dom", "--types", ""]  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a project that has installed the packed package."""
    folder = tmp_path_factory.mktemp("package")
    build_package(folder / "package", tvmjs_source())
    subprocess.run(["npm", "pack", "./package"], cwd=folder, check=True, capture_output=True)
    project = folder / "project"
    project.mkdir()
    (project / "package.json").write_text('{"type": "module"}')
    (packed,) = folder.glob("*.tgz")
    subprocess.run(
        ["npm", "install", "--offline", "--no-audit", packed],
        cwd=project, check=True, capture_output=True,
    )  # fmt: skip
    return project


def check_types(project, code):
    (project / "use.ts").write_text(code)
    tsc = source_folder("web") / "node_modules/.bin/tsc"
    return subprocess.run(
        [tsc, *STRICT, "use.ts"], cwd=project, check=False, capture_output=True, text=True
    )


def test_its_types_stand_alone(installed):
    assert check_types(installed, USE).stdout == ""
    wrong = check_types(installed, USE.replace("numInferenceSteps", "steps"))
    assert "'steps' does not exist in type 'DrawOptions'" in wrong.stdout


def test_it_carries_the_licences_of_what_is_bundled(installed):
    """TVM's runtime, the tokenizers, the worker's messages: each with its text, in the package."""
    (package,) = (installed / "node_modules").glob("web-stable-diffusion")
    said = (package / "THIRD_PARTY_NOTICES.txt").read_text()
    for name in ("apache-tvm", "@huggingface/tokenizers", "comlink", "@bjorn3/browser_wasi_shim"):
        # The reference lane's TVM is built from source, and its wheel is called tvm.
        called = "(apache-)?tvm" if name == "apache-tvm" else re.escape(name)
        assert re.search(rf"^{called} \S+\n  licence: \S+", said, re.M), name
    texts = re.findall(r"^  text: (\S+)$", said, re.M)
    assert texts
    assert all((package / text).is_file() for text in texts)
    assert "Models" not in said


def test_ten_lines_draw(installed, speck, context, tmp_path):
    site = shutil.copytree(speck[0], tmp_path / "site")
    shutil.copytree(installed / "node_modules/web-stable-diffusion", site / "web-stable-diffusion")
    (site / "models" / "speck").rename(site / "models" / "model")
    shutil.copytree(site / "models" / "model", site / "model")
    for file in (source_folder("web") / "example").iterdir():
        shutil.copy(file, site)
    lines = (site / "example.js").read_text().splitlines()
    assert len([line for line in lines if line]) <= 12
    visitor = context.browser.new_context()
    page = visitor.new_page()
    complaints = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    with served(site) as url:
        page.goto(url)
        expect(page.get_by_role("status")).to_have_text("Done.")
    _, _, pixels = in_page(page, "canvasPixels")
    assert len(set(pixels)) > 20
    assert complaints == []
    visitor.close()


def test_what_it_weighs(installed):
    folder = installed / "node_modules/web-stable-diffusion"
    assert (folder / "LICENSE").is_file()
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 500_000
    assert re.search(r"web worker|worker", (folder / "README.md").read_text())
