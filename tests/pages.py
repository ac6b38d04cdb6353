"""What tests of the page share: what a visitor does, and ways to come between."""

import json
from contextlib import contextmanager

from playwright.sync_api import expect

_KEPT = """
async () => {
  const root = await navigator.storage.getDirectory();
  const found = [];
  for await (const key of (await root.getDirectoryHandle("wsd")).keys()) found.push(key);
  return found.filter((key) => !key.startsWith("text-"));
}
"""


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


def draw(page):
    """Draw a picture of two steps."""
    page.get_by_label("Prompt", exact=True).fill("a red circle")
    page.get_by_label("Steps").fill("2")
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
    tasks = [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in threads
    ]
    assert tasks
    found += [milliseconds for milliseconds in tasks if milliseconds >= 50]


def kept_files(page):
    """Return the digests of what the browser keeps, texts left out."""
    return set(page.evaluate(_KEPT))


def flip(route):
    """Answer with a byte of the body changed."""
    response = route.fetch()
    data = bytearray(response.body())
    data[len(data) // 2] ^= 1
    route.fulfill(response=response, body=bytes(data))


def change_manifest(page, pattern, change):
    """Have a page see manifests that ``change`` has altered."""

    def answer(route):
        response = route.fetch()
        manifest = response.json()
        change(manifest)
        route.fulfill(response=response, body=json.dumps(manifest))

    page.route(pattern, answer)


def before_worker(page, code):
    """Run code in a page's worker before the worker's own."""

    def prepend(route):
        response = route.fetch()
        # In a block: the worker may have names of its own that are the same.
        route.fulfill(response=response, body=f"{{{code}}}" + response.text())

    page.route("**/worker.*.js", prepend)
