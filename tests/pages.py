"""Helpers for tests of the page: what a visitor does, and ways to cause faults."""

import base64
import functools
import hashlib
import json
import re
from contextlib import contextmanager
from urllib.parse import urljoin

from playwright.sync_api import expect

from wsd.bundle.npm import install_packages, source_folder
from wsd.util.process import run


@functools.cache
def browser_program(name, **defines):
    """Return a program of ``web/tests/browser`` as JavaScript that a browser can evaluate.

    Args:
        name: of the file, without its suffix.
        defines: numbers that the program declares and does not define.
    """
    web = source_folder("web")
    install_packages(web)
    esbuild = web / "node_modules" / ".bin" / "esbuild"
    given = [f"--define:{key}={value}" for key, value in defines.items()]
    return run([esbuild, f"tests/browser/{name}.ts", "--bundle", "--format=iife", *given], cwd=web)


def in_page(page, name, *arguments):
    """Call a function of ``web/tests/browser/page.ts`` in a page, and return its value."""
    if not page.evaluate("() => 'wsdTests' in globalThis"):
        page.evaluate(f"() => {{ {browser_program('page')} }}")
    return page.evaluate("([name, args]) => wsdTests[name](...args)", [name, list(arguments)])


def files_of(page):
    """Return a function that lists what a page has asked for of its model's large files."""
    found = []
    page.on("request", lambda request: found.append(request.url))
    return lambda: [url for url in found if url.endswith((".bin", ".wasm"))]


def watch(page):
    """Return a list that collects what a page complains about."""
    complaints = []

    def listen(message):
        # Some contexts forbid service workers, and say so of the page's.
        if message.type in ("error", "warning") and "Playwright" not in message.text:
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def ready(page):
    """Wait until a picture can be drawn."""
    expect(page.get_by_role("status")).to_have_text("Ready.")


def unfold(page, title, wanted=True):
    """Open what is folded away under a title, or fold it again."""
    begins = re.compile(rf"^\s*{re.escape(title)}")
    folded = page.locator("details").filter(has=page.locator("summary", has_text=begins))
    if folded.evaluate("element => element.open") != wanted:
        folded.locator("summary").click()


def set_steps(page, steps):
    """Set how many steps a picture takes; the field is among the folded settings."""
    unfold(page, "Settings")
    page.get_by_label("Steps").fill(str(steps))


def draw(page, prompt="a red circle", steps=2):
    """Draw a picture."""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    set_steps(page, steps)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("status")).to_contain_text("Done in")


@contextmanager
def long_tasks(page):
    """Yield a list that gets, at the end, the page's own thread's tasks of 50 ms and more.

    Milliseconds by the thread's clock: others take turns with it on a busy machine, which no
    page can help.
    """
    browser, found = page.context.browser, []
    browser.start_tracing(
        page=page, categories=["__metadata", "disabled-by-default-devtools.timeline"]
    )
    try:
        yield found
    finally:
        events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    # A task without the thread's own time was not over when the recording began or ended.
    tasks = [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in threads
        if "tdur" in event
    ]
    assert tasks
    found += [milliseconds for milliseconds in tasks if milliseconds >= 50]


def find_violations(page):
    """Return what axe finds on a page as it is now, in both schemes, by rule and element."""
    if not page.evaluate("() => 'axe' in globalThis"):
        page.evaluate((source_folder("web") / "node_modules/axe-core/axe.min.js").read_text())
    violations = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate("() => axe.run()")
        assert len(found["passes"]) > 10
        for rule in found["violations"]:
            node = rule["nodes"][0]
            violations.append((scheme, rule["id"], node["html"], node["failureSummary"]))
    return violations


def kept_files(page):
    """Return the digests of what the browser keeps, texts left out."""
    return set(in_page(page, "keptFiles"))


def flip(route):
    """Answer with a byte of the body changed."""
    response = route.fetch()
    data = bytearray(response.body())
    data[len(data) // 2] ^= 1
    route.fulfill(response=response, body=bytes(data))


def integrity_of(data):
    """Return the digest of bytes as the page's own ``integrity`` has it."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def change_manifest(page, suffix, change):
    """Have a page see a bundle that was built with other manifests.

    Args:
        page: the visitor's page.
        suffix: how the addresses end of the manifests that are altered.
        change: alters a manifest, a dictionary.
    """

    def build_manifest(address):
        manifest = page.request.get(address).json()
        change(manifest)
        return json.dumps(manifest).encode()

    def build_index(address):
        entries = page.request.get(address).json()
        for entry in entries:
            manifest = urljoin(address, f"{entry['manifest']}manifest.json")
            if manifest.endswith(suffix):
                entry["integrity"] = integrity_of(build_manifest(manifest))
        return json.dumps(entries).encode()

    def build_page(address):
        index = build_index(urljoin(address, "models/index.json"))
        html = page.request.get(address).text()
        named = f'content="{integrity_of(index)}"'
        return re.sub(r'(?<="models-integrity" )content="[^"]*"', named, html).encode()

    def answer(build):
        return lambda route: route.fulfill(response=route.fetch(), body=build(route.request.url))

    page.route(f"**{suffix}", answer(build_manifest))
    page.route("**/models/index.json", answer(build_index))
    page.route(re.compile(r"/(index\.html|selftest\.html)?(\?.*)?$"), answer(build_page))


def before_worker(page, fault, **defines):
    """Run a program of ``web/tests/browser/faults`` in a page's worker, before the worker's own."""
    code = browser_program(f"faults/{fault}", **defines)

    def prepend(route):
        response = route.fetch()
        route.fulfill(response=response, body=code + response.text())

    page.route("**/worker.*.js", prepend)
