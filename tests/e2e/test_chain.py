"""What is not what the page was built with is not drawn with: lists, manifests, headers."""

import json
import re
import shutil

import pytest
from playwright.sync_api import expect

from pages import before_worker, draw, in_page, integrity_of, ready, watch
from wsd.bundle.manifest import read_index, write_index
from wsd.bundle.page_chain import link_page
from wsd.runtime.http_headers import HEADERS
from wsd.runtime.server import create_server, serve_in_thread, served, served_files

INDEX = "/models/index.json"
MANIFEST = "/models/speck/manifest.json"


@pytest.fixture
def deployed(speck, tmp_path):
    """Return a copy of the bundle that a test may change, as its server's owner would."""
    return shutil.copytree(speck[0], tmp_path / "site")


def weaken(text):
    """Return a manifest whose noise levels are halved: it draws, and something else."""
    manifest = json.loads(text)
    schedule = manifest["noise_schedule"]
    schedule["alphas_cumprod"] = [alpha / 2 for alpha in schedule["alphas_cumprod"]]
    return json.dumps(manifest)


def retitle(text):
    entries = json.loads(text)
    entries[0]["title"] = "Another"
    return json.dumps(entries)


def answer_with(change):
    def answer(route):
        response = route.fetch()
        route.fulfill(response=response, body=change(response.text()))

    return answer


@pytest.mark.parametrize(("place", "change"), [(MANIFEST, weaken), (INDEX, retitle)])
def test_what_a_server_alters_is_named_and_not_drawn_with(page, origin, place, change):
    page.route(f"**{place}", answer_with(change))
    page.goto(origin)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(f"{place[1:]}: integrity mismatch (expected sha384-")
    expect(alert).to_contain_text("deploy the bundle as a whole")
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("place", "change"), [(MANIFEST, weaken), (INDEX, retitle)])
def test_what_is_altered_in_the_browser_is_fetched_again_or_said(visitor, origin, place, change):
    page = visitor.new_page()
    page.goto(origin)
    ready(page)
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    address = origin.rstrip("/") + place
    altered = change(page.request.get(address).text())
    in_page(page, "replaceKeptText", address, altered)
    page.reload()
    ready(page)
    assert [url for url in fetched if url.endswith(".json")] == [address]
    assert in_page(page, "keptText", address) != altered
    # Where the server is gone too, it draws nothing rather than something else.
    in_page(page, "replaceKeptText", address, altered)
    page.route("**/models/**", lambda route: route.abort())
    page.reload()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("this browser keeps another version than the one")
    expect(alert).to_contain_text("Connect to the network")
    expect(alert).to_contain_text("are of two versions")
    expect(page.get_by_role("button", name="Draw")).to_be_disabled()


def wait_until(page, condition, argument):
    """Wait until an asynchronous function of JavaScript gives true, for a minute at most."""
    assert page.evaluate(
        f"""async argument => {{
            for (let tries = 0; tries < 600; tries++) {{
                if (await ({condition})(argument)) return true;
                await new Promise((done) => setTimeout(done, 100));
            }}
            return false;
        }}""",
        argument,
    )


def deploy(site, title):
    """Deploy another version of the model, with the same weights and another title."""
    path = site / "models/speck/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["model"]["title"] = title
    path.write_text(json.dumps(manifest))
    (entry,) = read_index(site)
    write_index([entry.model_copy(update={"title": title})], site)
    link_page(site)


@pytest.mark.exhaustive
def test_a_new_version_is_taken_as_a_whole(visitor, deployed):
    page = visitor.new_page()
    facts = page.locator("#model-facts")
    with served(deployed) as url:
        page.goto(url)
        ready(page)
        page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
        deploy(deployed, "The second")
        # The page that the service worker keeps goes on with the model that it was built with.
        page.reload()
        ready(page)
        expect(facts).to_contain_text("A model for tests.")
        wait_until(
            page,
            "async wanted => (await (await fetch('index.html')).text()).includes(wanted)",
            integrity_of((deployed / "models/index.json").read_bytes()),
        )
        page.reload()
        expect(facts).to_contain_text("The second.")
        ready(page)


@pytest.mark.exhaustive
def test_a_bundle_of_before_there_were_digests_draws(page, deployed):
    index = deployed / "models/index.json"
    entries = [
        {k: v for k, v in e.items() if k != "integrity"} for e in json.loads(index.read_text())
    ]
    index.write_text(json.dumps(entries))
    for name in ("index.html", "selftest.html"):
        path = deployed / name
        path.write_text(re.sub(r'<meta name="models-integrity"[^>]*>', "", path.read_text()))
    complaints = watch(page)
    with served(deployed) as url:
        page.goto(url)
        ready(page)
        draw(page)
    assert complaints == []
    assert page.get_by_role("alert").is_hidden()


@pytest.mark.full
def test_programs_give_the_digest_themselves(page, origin, speck):
    page.goto(origin + "blank.html")
    table = json.loads((speck[0] / "SRI.json").read_text())
    integrity = table[MANIFEST[1:]]
    assert in_page(page, "load", MANIFEST, {"integrity": integrity}) == {"value": True}
    for wrong, name in [("sha384-" + "A" * 64, "IntegrityError"), ("none", "OptionError")]:
        assert in_page(page, "load", MANIFEST, {"integrity": wrong})["name"] == name


@pytest.mark.exhaustive
def test_a_server_without_headers_still_confines_the_page(page, speck):
    complaints = watch(page)
    with served_files(speck[0]) as url, served_files(speck[0]) as elsewhere:
        page.goto(url)
        ready(page)
        draw(page)
        assert complaints == []
        tried = page.evaluate(
            """address => fetch(address, { mode: "no-cors" }).then(() => "sent", String)""",
            elsewhere + "index.html",
        )
        assert "Failed to fetch" in tried
        assert any("Content Security Policy" in said for said in complaints)
        # The element and the header are one policy, but for what an element cannot say.
        element = page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute(
            "content"
        )
    header = HEADERS["Content-Security-Policy"].split("; ")
    assert [part for part in header if not part.startswith("frame-ancestors")] == element.split(
        "; "
    )


@pytest.mark.exhaustive
def test_a_returning_visitor_gets_the_headers_that_the_server_sends_now(visitor, speck):
    headers = dict(HEADERS)
    page = visitor.new_page()
    policy = """() => fetch("index.html").then(kept => kept.headers.get("Permissions-Policy"))"""
    with serve_in_thread(lambda: create_server(speck[0], headers)) as url:
        page.goto(url)
        ready(page)
        page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        assert page.evaluate(policy) == HEADERS["Permissions-Policy"]
        headers["Permissions-Policy"] = "camera=(), microphone=()"
        page.goto(url)
        ready(page)
        wait_until(
            page,
            """async wanted => {
                const files = [...document.scripts].map(({ src }) => src);
                const kept = await Promise.all(["index.html", ...files].map((url) => fetch(url)));
                return kept.every(({ headers }) => headers.get("Permissions-Policy") === wanted);
            }""",
            headers["Permissions-Policy"],
        )
    # Without the server it is still there, with the new headers.
    page.goto(url)
    ready(page)
    assert page.evaluate(policy) == headers["Permissions-Policy"]


@pytest.mark.exhaustive
def test_a_worker_that_computes_in_circles_is_ended(page, origin):
    before_worker(page, "endless_loop")
    page.goto(origin)
    ready(page)
    page.evaluate(
        """() => new Promise((understood) => {
            const channel = new BroadcastChannel("endless-loop");
            channel.onmessage = understood;
            channel.postMessage("begin");
        })"""
    )
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    # A new worker, in which nobody asks for a loop.
    draw(page)
    expect(page.get_by_label("Notices")).to_contain_text("the model is loaded again")
