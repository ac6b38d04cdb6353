"""The npm package in each bundler: every row of the matrix draws the same picture in Chromium.

The rows are the examples of ``examples/``, and the pages of ``tests/bundlers`` in other bundlers.
Packages of npm are installed below the cache folder, by the lock files.
"""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from playwright.sync_api import expect

from pages import in_page
from wsd.bundle.web_page import build_package
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.runtime.request import GenerationRequest
from wsd.runtime.server import create_server, serve_in_thread, served_files
from wsd.util.files import REPOSITORY, cache_folder, hold_lock

pytestmark = pytest.mark.full

NAME = "web-stable-diffusion"
# Where each project's package.json names the package: ../../out/NAME-VERSION.tgz.
FOLDERS = {
    **{name: f"examples/{name}" for name in ("nextjs", "vanilla", "vite", "webpack")},
    "bundlers": "tests/bundlers",
}
# What bundlers write into a project, and a model that somebody has copied there.
MADE = shutil.ignore_patterns("node_modules", "dist", ".next", "assets", "model")
START_SECONDS = 120


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Yield a folder that is laid out as the repository is, and holds the packed package."""
    folder = cache_folder() / "bundlers"
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / ".lock", "another run of these tests uses the same folder"):
        for path in out.iterdir():
            path.unlink()
        package = tmp_path_factory.mktemp("package") / "package"
        build_package(package, tvmjs_source())
        subprocess.run(["npm", "pack", package], cwd=out, check=True, capture_output=True)
        yield folder


@pytest.fixture(scope="module")
def project(work, speck):
    """Return a function that copies a project of the repository and installs its packages."""
    (packed,) = (work / "out").glob("*.tgz")
    prepared = {}

    def prepare(name):
        if name not in prepared:
            folder = work / FOLDERS[name]
            copy_sources(REPOSITORY / FOLDERS[name], folder)
            install(folder, packed)
            place = "model" if name in ("vanilla", "bundlers") else "public/model"
            shutil.copytree(speck[0] / "models/speck", folder / place)
            prepared[name] = folder
        return prepared[name]

    return prepare


def copy_sources(source, folder):
    """Copy a project without what is made in it; what is there is removed, except its packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and path.name != "node_modules":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=MADE)


def install(folder, packed):
    """Install a project's packages unless those of its lock file are there, and the package."""
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        run(folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
        stamp.write_text(digest)
    # Vite keeps the packages that it has bundled until a lock file changes.
    shutil.rmtree(modules / ".vite", ignore_errors=True)
    shutil.rmtree(modules / NAME)
    (modules / NAME).mkdir()
    shutil.unpack_archive(packed, modules / NAME, "gztar", filter="data")
    for path in (modules / NAME / "package").iterdir():
        path.rename(modules / NAME / path.name)


def environment(**variables):
    """Return the environment of a bundler: it asks nobody, and reports to nobody."""
    quiet = {"NEXT_TELEMETRY_DISABLED": "1", "PARCEL_DISABLE_TELEMETRY": "1", "CI": "1"}
    return {**os.environ, **quiet, **variables}


def run(folder, *command, **variables):
    """Run a bundler; what it prints is shown if it fails."""
    done = subprocess.run(
        command, cwd=folder, check=False, env=environment(**variables),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def program(folder, name):
    return folder / "node_modules" / ".bin" / name


@contextmanager
def running(folder, *command, **variables):
    """Run a development server on a free port; yields its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=environment(**variables),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            address = f"http://localhost:{port}/"
            deadline = time.monotonic() + START_SECONDS
            while not answers(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(address):
    try:
        with urlopen(address, timeout=START_SECONDS):
            return True
    except (URLError, ConnectionError):
        return False


def site(project, tmp_path, page="index.html"):
    """Return a folder for a page of ``tests/bundlers`` that loads its program as ``main.js``."""
    text = (project("bundlers") / page).read_text()
    (tmp_path / "index.html").write_text(text)
    shutil.copytree(project("bundlers") / "model", tmp_path / "model")
    return tmp_path


def package_of(project):
    return project("bundlers") / "node_modules" / NAME


# Rows: each is a context manager that yields the address of a page.


@contextmanager
def vanilla(project, tmp_path):
    """Serve the example with an import map, without a bundler, under a path of its own."""
    shutil.copytree(project("vanilla"), tmp_path / "my" / "app")
    with served_files(tmp_path) as url:
        yield f"{url}my/app/index.html"


IMPORT_MAP = '<script type="importmap">{{"imports": {{"{name}": "{url}"}}}}</script>'


@contextmanager
def other_origin(project, tmp_path):
    """Serve the package from another origin, as a CDN does."""
    folder = site(project, tmp_path)
    for name in ("main.js", "draw.js"):
        shutil.copy(project("bundlers") / name, folder)
    allowing = {"Access-Control-Allow-Origin": "*"}
    with serve_in_thread(lambda: create_server(package_of(project), allowing)) as cdn:
        entry = IMPORT_MAP.format(name=NAME, url=f"{cdn}dist/client.js")
        text = (folder / "index.html").read_text()
        (folder / "index.html").write_text(text.replace("<title>", f"{entry}<title>"))
        with served_files(folder) as url:
            yield url


@contextmanager
def own_worker(project, tmp_path):
    """Draw in a worker of the program's own, where there is no document and no import map."""
    folder = site(project, tmp_path, "worker.html")
    shutil.copy(project("bundlers") / "worker_page.js", folder)
    job = (project("bundlers") / "worker_job.js").read_text()
    (folder / "worker_job.js").write_text(job.replace(f'"{NAME}"', '"./package/client.js"'))
    shutil.copytree(package_of(project) / "dist", folder / "package")
    with served_files(folder) as url:
        yield url


def vite_development(version, page, **variables):
    """Return the row of a page in Vite's development server."""

    @contextmanager
    def row(project, tmp_path):
        folder = project("bundlers")
        vite = folder / "node_modules" / f"vite-{version}" / "bin" / "vite.js"
        command = ("node", vite, "--host", "localhost", "--strictPort")
        with running(folder, *command, CACHE=str(tmp_path / "vite"), **variables) as url:
            yield f"{url}{page}"

    return row


def vite_production(version, page):
    """Return the row of a page that Vite builds, served under a path of its own."""

    @contextmanager
    def row(project, tmp_path):
        folder = project("bundlers")
        vite = folder / "node_modules" / f"vite-{version}" / "bin" / "vite.js"
        out = tmp_path / "my" / "app"
        run(folder, "node", vite, "build", "--outDir", out, CACHE=str(tmp_path / "vite"))
        shutil.copytree(folder / "model", out / "model")
        with served_files(tmp_path) as url:
            yield f"{url}my/app/{page}"

    return row


@contextmanager
def vite_example_development(project, _tmp_path):
    folder = project("vite")
    with running(folder, program(folder, "vite"), "--host", "localhost") as url:
        yield url


@contextmanager
def vite_example(project, tmp_path):
    folder = project("vite")
    run(folder, "npm", "run", "build")
    shutil.copytree(folder / "dist", tmp_path / "my" / "app")
    with served_files(tmp_path) as url:
        yield f"{url}my/app/index.html"


def webpack(mode):
    """Return the row of webpack's example."""

    @contextmanager
    def row(project, tmp_path):
        folder = project("webpack")
        run(folder, "npm", "run", "build", "--", f"--mode={mode}")
        shutil.copytree(folder / "public", tmp_path / "my" / "app")
        with served_files(tmp_path) as url:
            yield f"{url}my/app/index.html"

    return row


@contextmanager
def next_development(project, _tmp_path):
    """Serve Next.js's example by its development server: Turbopack, and React's StrictMode."""
    folder = project("nextjs")
    with running(folder, program(folder, "next"), "dev") as url:
        yield url


def next_production(bundler):
    """Return the row of Next.js's example, built by one of its bundlers."""

    @contextmanager
    def row(project, _tmp_path):
        folder = project("nextjs")
        run(folder, program(folder, "next"), "build", bundler)
        with running(folder, program(folder, "next"), "start") as url:
            yield url

    return row


@contextmanager
def rollup(project, tmp_path):
    """Bundle with Rollup, and copy the worker beside the bundle."""
    folder = site(project, tmp_path)
    sources = project("bundlers")
    run(sources, program(sources, "rollup"), "--config", OUT=str(folder))
    shutil.copy(package_of(project) / "dist" / "worker.js", folder)
    with served_files(folder) as url:
        yield url


@contextmanager
def parcel(project, tmp_path):
    """Bundle with Parcel."""
    sources = project("bundlers")
    places = ("--dist-dir", tmp_path / "out", "--cache-dir", tmp_path / "cache")
    relative = ("--public-url", "./")
    run(sources, program(sources, "parcel"), "build", "index.html", *places, *relative)
    shutil.copytree(sources / "model", tmp_path / "out" / "model")
    with served_files(tmp_path / "out") as url:
        yield url


def esbuild(entry, worker):
    """Return the row of a program that esbuild bundles, and where the worker is copied."""

    @contextmanager
    def row(project, tmp_path):
        folder = site(project, tmp_path)
        sources = project("bundlers")
        options = ("--bundle", "--format=esm", "--minify", f"--outfile={folder / 'main.js'}")
        run(sources, program(sources, "esbuild"), entry, *options)
        shutil.copy(package_of(project) / "dist" / "worker.js", folder / worker)
        with served_files(folder) as url:
            yield url

    return row


ROWS = {
    "import map": vanilla,
    "another origin": other_origin,
    "in a worker": own_worker,
    "Vite 8's example in development": vite_example_development,
    "Vite 8's example": vite_example,
    "Vite 8 and React StrictMode in development": vite_development(8, "react.html"),
    "Vite 8 and React": vite_production(8, "react.html"),
    "Vite 8 and a worker": vite_production(8, "worker.html"),
    "Vite 7 in development": vite_development(7, "index.html", EXCLUDE="1"),
    "Vite 7": vite_production(7, "index.html"),
    "Vite 6 in development": vite_development(6, "index.html", EXCLUDE="1"),
    "Vite 6 in development with workerUrl": vite_development(6, "worker_url.html"),
    "Vite 6 with workerUrl": vite_production(6, "worker_url.html"),
    "Vite 5 in development": vite_development(5, "index.html", EXCLUDE="1"),
    "Vite 5": vite_production(5, "index.html"),
    "webpack": webpack("production"),
    "webpack in development": webpack("development"),
    "Next.js in development": next_development,
    "Next.js with Turbopack": next_production("--turbopack"),
    "Next.js with webpack": next_production("--webpack"),
    "Rollup": rollup,
    "Parcel": parcel,
    "esbuild": esbuild("main.js", "worker.js"),
    "esbuild with workerUrl": esbuild("worker_beside.js", "copied-worker.js"),
}


@pytest.fixture(scope="module")
def expected(speck_renderer):
    """Return the picture that all rows draw, as the bundle's own page draws it."""
    (image,) = speck_renderer.draw(GenerationRequest("a red circle", steps=4, seed=7)).images
    return image


# Without a bundler, and by the one that most pages use; the others are for the exhaustive tests.
FULL = ("import map", "Vite 8's example")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=() if name in FULL else pytest.mark.exhaustive)
        for name, row in ROWS.items()
    ],
)
def test_a_bundlers_page_draws(row, project, expected, tmp_path, page):
    """Each draws the same picture, and nothing complains."""
    complaints = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    with row(project, tmp_path) as address:
        page.goto(address)
        if (draw := page.get_by_role("button", name="Draw")).count():
            draw.click()
        expect(page.locator("p[role=status]")).to_have_text(re.compile(r"Done\.|Error|;"))
        assert page.locator("p[role=status]").text_content() == "Done."
        width, height, pixels = in_page(page, "canvasPixels")
    drawn = np.array(pixels, np.uint8).reshape(height, width, 4)
    np.testing.assert_array_equal(drawn[..., :3], expected)
    assert complaints == []


@pytest.mark.exhaustive
def test_nexts_example_draws_each_prompt_with_the_model_it_has(project, tmp_path, page):
    """A model is loaded in a worker of its own, so another worker would be another model."""
    workers = []
    page.on("worker", lambda worker: workers.append(worker.url))
    with next_development(project, tmp_path) as address:
        page.goto(address)
        status = page.locator("p[role=status]")
        expect(status).to_have_text("Done.")
        started = len(workers)
        before = page.locator("canvas").evaluate("canvas => canvas.toDataURL()")
        page.get_by_label("Prompt").fill("a blue star")
        page.wait_for_function(
            "before => document.querySelector('canvas').toDataURL() !== before", arg=before
        )
        expect(status).to_have_text("Done.")
        assert started > 0
        assert len(workers) == started


@pytest.mark.exhaustive
@pytest.mark.parametrize("version", [6, 7])
def test_vites_development_server_is_explained(version, project, tmp_path, page):
    """Before version 8 it moves the client and not the worker, unless the package is excluded."""
    with vite_development(version, "index.html")(project, tmp_path) as address:
        page.goto(address)
        status = page.get_by_role("status")
        expect(status).to_contain_text("worker.js")
        expect(status).to_contain_text('optimizeDeps: { exclude: ["web-stable-diffusion"] }')
