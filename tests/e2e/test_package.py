"""The npm package: packed, installed and used without the page."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from developer_words import REMOTE_CALLS, WORDS
from pages import in_page
from wsd.bundle.npm import source_folder
from wsd.bundle.web_page import build_package
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.runtime.http_headers import HEADERS
from wsd.runtime.server import create_server, serve_in_thread
from wsd.util.files import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "vanilla"
REPOSITORY_URL = "https://code.example/owner/wsd"
USE = """
import { StableDiffusionPipeline, preflight, type Generated, OutOfMemoryError } from
  "web-stable-diffusion";
const pipe = await StableDiffusionPipeline.fromPretrained("x", {
  tiling: true, cache: false, onNotice: (notice: string) => console.log(notice) });
const { image }: Generated = await pipe.generate("a", { numInferenceSteps: 2 });
const size: number = image.width + (await preflight("x")).bytes.total;
if (new OutOfMemoryError("a", "b").hint === "b") console.log(size);
"""
# What may be undefined where it is given, and what differs between versions of TypeScript's DOM.
MAYBE = """
import { StableDiffusionPipeline, writeText, type OnProgress } from "web-stable-diffusion";
declare const signal: AbortSignal | undefined, onProgress: OnProgress | undefined;
const pipe = await StableDiffusionPipeline.fromPretrained("x", { signal, onProgress });
await pipe.generate("a", { signal, onProgress, seed: undefined, scheduler: undefined });
const blob = new Blob([writeText(new Uint8Array(8), "a")]);
if (blob.size > 8) await pipe.unload();
"""
DISPOSED = """
import { StableDiffusionPipeline } from "web-stable-diffusion";
await using pipe = await StableDiffusionPipeline.fromPretrained("x");
await pipe.generate("a");
"""
ELEMENT = """
import { StableDiffusionImage } from "web-stable-diffusion/element";
import "web-stable-diffusion/worker.js";
const element: StableDiffusionImage = document.createElement("stable-diffusion-image");
element.prompt = "a red circle";
const seed: number | bigint | undefined = element.generated?.settings.seed;
if (document.querySelector("stable-diffusion-image")?.error !== undefined) console.log(seed);
"""
# What the examples of the reference use: names of the package, and what a program has.
CONTEXT = """
import {
  StableDiffusionPipeline, chooseVariant, formatSettings, listKept, listModels, preflight, purge,
  readPicture, readSettings, readText, writeText, type Generated,
} from "web-stable-diffusion";
declare const pipe: StableDiffusionPipeline, result: Generated, file: Blob;
declare const canvas: HTMLCanvasElement, progress: HTMLProgressElement;
"""
STRICT = {
    "noEmit": True, "strict": True, "target": "es2022", "types": [], "skipLibCheck": False,
    "exactOptionalPropertyTypes": True,
}  # fmt: skip
DOM = ("es2022", "dom")


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Return the packed package, built as for a repository of a known address."""
    folder = tmp_path_factory.mktemp("package")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSD_REPOSITORY", REPOSITORY_URL)
        build_package(folder / "package", tvmjs_source())
    subprocess.run(["npm", "pack", "./package"], cwd=folder, check=True, capture_output=True)
    (found,) = folder.glob("*.tgz")
    return found


@pytest.fixture(scope="module")
def installed(packed):
    """Return a project that has installed the packed package."""
    project = packed.parent / "project"
    project.mkdir()
    (project / "package.json").write_text('{"type": "module"}')
    subprocess.run(
        ["npm", "install", "--offline", "--no-audit", packed],
        cwd=project, check=True, capture_output=True,
    )  # fmt: skip
    return project


@pytest.fixture(scope="module")
def package(installed):
    """Return the installed package."""
    return installed / "node_modules" / "web-stable-diffusion"


def run_tool(folder, name, *arguments):
    """Run a program of ``web/publish``; what it prints is shown if it fails."""
    program = source_folder("web/publish") / "node_modules" / ".bin" / name
    done = subprocess.run(
        [program, *arguments], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_types(project, *programs, tsc="web/node_modules/typescript", module="nodenext", lib=DOM):
    """Return what a TypeScript compiler of the repository says of programs."""
    names = [f"use{number}.ts" for number, _ in enumerate(programs)]
    for name, code in zip(names, programs, strict=True):
        (project / name).write_text(code)
    resolution = {"esnext": "bundler"}.get(module, module)
    options = {**STRICT, "module": module, "moduleResolution": resolution, "lib": lib}
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": names}))
    return subprocess.run(
        [REPOSITORY / tsc / "bin" / "tsc"],
        cwd=project, check=False, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.mark.exhaustive
def test_it_has_no_developers_tools(package):
    """Neither its modules nor their source maps, which name the sources. Its worker has a clock."""
    for name in ("client", "element", "worker"):
        text = (package / "dist" / f"{name}.js").read_text(encoding="utf-8")
        words = [word for tool in WORDS for word in WORDS[tool]]
        assert [word for word in (*words, *REMOTE_CALLS) if word in text] == [], name
        sources = json.loads((package / "dist" / f"{name}.js.map").read_text())["sources"]
        assert [each for each in sources if re.search("driver/|gpu_profiler|roofline", each)] == []


@pytest.mark.exhaustive
def test_its_types_stand_alone(installed):
    assert check_types(installed, USE, MAYBE, DISPOSED, ELEMENT) == ""
    wrong = check_types(installed, USE.replace("numInferenceSteps", "steps"))
    assert re.search("'steps' does not exist in type 'DrawOptions", wrong)


@pytest.mark.full
def test_the_examples_of_its_reference_are_typed(installed, package):
    reference = (package / "API.md").read_text(encoding="utf-8")
    examples = re.findall(r"^#+ Example\n\n[^`#]*```ts\n(.*?)```", reference, re.M | re.S)
    assert len(examples) > 7
    program = CONTEXT + "".join(f"{{\n{example}}}\n" for example in examples)
    assert check_types(installed, program) == ""


@pytest.mark.exhaustive
@pytest.mark.parametrize("version", ["5.6", "5.9", "6"])
@pytest.mark.parametrize("module", ["nodenext", "esnext"])
def test_its_types_stand_alone_for_each_typescript(installed, version, module):
    """Declarations are checked too, without the types of WebGPU, which TypeScript 5 lacks."""
    suffix = "" if version == "6" else f"-{version}"
    compiler = {"tsc": f"web/publish/node_modules/typescript{suffix}", "module": module}
    assert check_types(installed, USE, MAYBE, DISPOSED, ELEMENT, **compiler) == ""
    assert check_types(installed, USE, MAYBE, lib=("es2022", "webworker"), **compiler) == ""


@pytest.mark.full
def test_its_types_are_the_public_ones(package):
    """One file for each entry point: nothing of the kernels, the profiler or the worker's calls."""
    declared = {file.name for file in package.rglob("*.d.ts")}
    assert declared == {"client.d.ts", "element.d.ts", "worker.d.ts"}
    text = (package / "dist/client.d.ts").read_text()
    for internal in (
        "GPUDevice",
        "GPUBuffer",
        "Comlink",
        "WorkerPipeline",
        "Profiler",
        "@internal",
    ):
        assert internal not in text, internal


@pytest.mark.full
def test_publint_finds_nothing(packed):
    run_tool(packed.parent / "package", "publint", "run", "--strict")


@pytest.mark.full
def test_attw_finds_nothing(packed):
    """It asks as a program does that is an ES module; CommonJS imports it with ``import()``."""
    run_tool(packed.parent, "attw", packed, "--profile", "esm-only", "--no-emoji")


def test_package_json_says_what_registries_show(package):
    said = json.loads((package / "package.json").read_text())
    assert said["homepage"] == f"{REPOSITORY_URL}#readme"
    assert said["bugs"] == {"url": f"{REPOSITORY_URL}/issues"}
    assert said["repository"] == {
        "type": "git", "url": f"git+{REPOSITORY_URL}.git", "directory": "web"
    }  # fmt: skip
    for field in ("author", "license", "keywords", "engines", "description"):
        assert said[field], field
    assert "private" not in said
    assert "dependencies" not in said
    named = [target for entry in said["exports"].values() for target in
             (entry.values() if isinstance(entry, dict) else [entry])]  # fmt: skip
    assert all((package / target).is_file() for target in named)


def test_node_imports_it(installed):
    """Servers that render pages import modules that only browsers run; helpers work there."""
    code = (
        'import { parseSeed } from "web-stable-diffusion";'
        'import { StableDiffusionImage } from "web-stable-diffusion/element";'
        'import described from "web-stable-diffusion/package.json" with { type: "json" };'
        "console.log(parseSeed('7'), typeof StableDiffusionImage, described.name)"
    )
    done = subprocess.run(
        ["node", "--no-warnings", "--input-type=module", "--eval", code],
        cwd=installed, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "7 function web-stable-diffusion\n"


def read_sources(package):
    """Return what the source maps name as sources, from the package's folder."""
    maps = [json.loads(file.read_text()) for file in (package / "dist").glob("*.js.map")]
    for found in maps:
        assert len(found["sources"]) == len(found["sourcesContent"])
        assert all(found["sourcesContent"])
    return {name.removeprefix("../") for found in maps for name in found["sources"]}


def test_source_maps_show_the_sources(package):
    sources = read_sources(package)
    assert {
        "src/api/client.ts",
        "src/worker/worker.ts",
        "src/element.ts",
        "tvmjs/runtime.ts",
    } <= sources
    # Their names say nothing of the machine that built the package.
    assert {name.split("/")[0] for name in sources} == {"src", "tvmjs", "node_modules"}
    for name in ("client", "element", "worker"):
        end = (package / f"dist/{name}.js").read_text().splitlines()[-1]
        assert end == f"//# sourceMappingURL={name}.js.map"


def test_it_carries_the_licences_of_what_is_bundled(package):
    """TVM's runtime and each npm package, by the source maps: each with its text in the package."""
    said = (package / "THIRD_PARTY_NOTICES.txt").read_text()
    found = {re.match(r"node_modules/((?:@[^/]+/)?[^/]+)/", name) for name in read_sources(package)}
    bundled = {match[1] for match in found if match}
    assert {"comlink", "@huggingface/tokenizers", "@bjorn3/browser_wasi_shim"} <= bundled
    for name in ("apache-tvm", *sorted(bundled)):
        # The reference lane's TVM is built from source, and its wheel is called tvm.
        called = "(apache-)?tvm" if name == "apache-tvm" else re.escape(name)
        assert re.search(rf"^{called} \S+\n  licence: \S+", said, re.M), name
    texts = re.findall(r"^  text: (\S+)$", said, re.M)
    assert texts
    assert all((package / text).is_file() for text in texts)
    assert "Models" not in said
    # One list of licences, which no other contradicts.
    assert list(package.rglob("*LEGAL*")) == []


def canvas_colours(page):
    """Return the bytes that occur in a page's canvas."""
    return set(in_page(page, "canvasPixels")[2])


@pytest.fixture(scope="module")
def site(package, speck, tmp_path_factory):
    """Return the example of ten lines with its model, as a folder that a server serves."""
    folder = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("site"), dirs_exist_ok=True)
    modules = folder / "node_modules" / "web-stable-diffusion"
    shutil.copytree(package, modules, dirs_exist_ok=True)
    shutil.copytree(speck[0] / "models" / "speck", folder / "model")
    return folder


@pytest.fixture(scope="module")
def strict_origin(site):
    """Serve the site under a bundle's Content-Security-Policy, its import map's digest allowed.

    The policy requires Trusted Types.
    """
    (inline,) = re.findall(
        r'<script type="importmap">(.*?)</script>', (site / "index.html").read_text(), re.S
    )
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    policy = HEADERS["Content-Security-Policy"]
    allowed = policy.replace("script-src", f"script-src 'sha256-{digest}'")
    assert allowed != policy
    headers = {**HEADERS, "Content-Security-Policy": allowed}
    with serve_in_thread(lambda: create_server(site, headers)) as url:
        yield url


@pytest.mark.full
def test_ten_lines_draw(site, strict_origin, page):
    lines = (site / "example.js").read_text().splitlines()
    assert len([line for line in lines if line]) <= 12
    complaints = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.goto(strict_origin)
    expect(page.get_by_role("status")).to_have_text("Done.")
    assert len(canvas_colours(page)) > 20
    assert complaints == []


ELEMENT_PAGE = """<!doctype html><html lang="en"><title>Two pictures</title>
<script type="module" src="node_modules/web-stable-diffusion/dist/element.js"></script>
<stable-diffusion-image src="model/manifest.json" prompt="a red circle" seed="7"
  num-inference-steps="2">What is shown before.</stable-diffusion-image>
<stable-diffusion-image src="model/manifest.json" prompt="a star" alt="A star" seed="x">
</stable-diffusion-image></html>"""


@pytest.mark.exhaustive
def test_an_element_draws(site, strict_origin, page):
    """Its model is loaded once for all, a change draws anew, and errors are told."""
    (site / "element.html").write_text(ELEMENT_PAGE)
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(f"{strict_origin}element.html")
    first, second = page.locator("stable-diffusion-image").all()
    expect(first).to_contain_text("What is shown before.")
    picture = page.get_by_role("img", name="a red circle")
    expect(picture).to_be_visible()
    draw = "element => { const { data } = element.getContext('2d').getImageData(0, 0, 8, 8);"
    pixels = picture.evaluate(f"{draw} return Array.from(data); }}")
    assert first.evaluate("element => element.generated.settings.seed") == 7
    expect(second.get_by_role("status")).to_contain_text("seed")
    assert second.evaluate("element => element.error.name") == "OptionError"
    second.evaluate(
        "element => { element.setAttribute('seed', '7'); element.prompt = 'a circle'; }"
    )
    expect(page.get_by_role("img", name="A star")).to_be_visible()
    first.evaluate(
        "element => new Promise((resolve) => { element.addEventListener('load', resolve);"
        " element.setAttribute('seed', '8'); })"
    )
    assert picture.evaluate(f"{draw} return Array.from(data); }}") != pixels
    # One that is moved keeps its picture; `draw` draws it again.
    kept = first.evaluate(
        "async (element) => { const { generated } = element; document.body.append(element);"
        " await new Promise((resolve) => setTimeout(resolve)); const before = element.generated;"
        " await new Promise((resolve) => { element.onload = resolve; element.draw(); });"
        " return [generated === before, generated === element.generated]; }"
    )
    assert kept == [True, False]
    assert asked.count("/node_modules/web-stable-diffusion/dist/worker.js") == 1


def test_it_is_small_and_has_its_licence_and_readme(packed, package):
    """Most of it are the source maps, which only debuggers load and bundlers leave out."""
    assert (package / "LICENSE").is_file()
    assert packed.stat().st_size < 1_004_000
    readme = (package / "README.md").read_text(encoding="utf-8")
    for word in ("wsd build", "workerUrl", "Content-Security-Policy", "API.md"):
        assert word in readme, word


def kilobytes_with_gzip(file):
    return len(gzip.compress(file.read_bytes())) / 1e3


def test_the_sizes_in_its_readme_are_measured(package):
    """Within a tenth; a size that has changed more needs a new number in web/README.md."""
    words = " ".join((package / "README.md").read_text(encoding="utf-8").split())
    dist = package / "dist"
    maps = sum(file.stat().st_size for file in dist.glob("*.js.map"))
    for said, measured in (
        (r"a page loads (\d+) kB of it", kilobytes_with_gzip(dist / "client.js")),
        (r"its worker (\d+) kB \(with gzip\)", kilobytes_with_gzip(dist / "worker.js")),
        (r"its sources \((\d\.\d) MB, which only debuggers load\)", maps / 1e6),
    ):
        (number,) = re.findall(said, words)
        assert float(number) == pytest.approx(measured, rel=0.1), said
