"""Places where the package must start, and files that come in other ways than from a plain server.

Each row of a table is a page with its headers, and what its program does there: it loads the
model, or ends with an error of a class whose message and hint name the cause and the remedy.
Addresses and headers hold the word SECRET, which no error and no message on the console repeats.
"""

import json
import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from http_servers import QuietHandler, serving_folder
from marks import twelfths
from wsd.runtime.developer_build import find_developer_build

TIMEOUT_MS = 180_000
MANIFEST = "models/speck/manifest.json"
# The header that the documents name, and what pages of tests need besides.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'"
)
CORS = {"Access-Control-Allow-Origin": "*"}


class _Handler(QuietHandler):
    """Serves a bundle with a blank page, and with what a test changes of its answers."""

    def do_GET(self):  # noqa: N802 - its name in http.server
        asked = urlsplit(self.path)
        changed = self.server.change(self, asked.path) or {}
        # The developers' build is a second copy of the package.
        beside = find_developer_build().files if asked.path.startswith("/driver/") else {}
        file = beside.get(asked.path[1:], Path(self.translate_path(asked.path)))
        if asked.path in ("/", "/blank.html"):
            data, kind = b"<!doctype html><title>A page</title>", "text/html"
        elif file.is_file():
            data, kind = file.read_bytes(), self.guess_type(asked.path)
        else:
            data, kind = b"", "text/plain"
            changed = {"status": 404, **changed}
        if asked.path.endswith("worker.js"):
            kind = "text/javascript"
        self.server.asked.append(self.path)
        self.send_response(changed.pop("status", 200))
        data = changed.pop("body", data)
        headers = {"Content-Type": kind, "Content-Length": len(data), "Cache-Control": "no-store"}
        for name, value in {**headers, **changed}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def do_OPTIONS(self):  # noqa: N802 - its name in http.server
        self.send_response(204)
        for name, value in (self.server.change(self, urlsplit(self.path).path) or {}).items():
            if name.startswith("Access-Control"):
                self.send_header(name, value)
        self.end_headers()


# What a server changes of an answer, by the request and its path: status, body and headers.
Change = Callable[[SimpleHTTPRequestHandler, str], dict | None]


def nothing(_request, _path):
    return {}


@contextmanager
def serving(folder, change: Change = nothing):
    with serving_folder(_Handler, folder, change=change, asked=[]) as server:
        server.address = f"http://127.0.0.1:{server.server_port}"
        yield server


# A program gets `client`, the module; `address`, the manifest's; and `other`, another origin. It
# runs in a page or in a worker, and what it throws is returned, with all the words in it.
PROGRAM = """async ([module, address, other]) => {
  try {
    const client = await import(module);
    const load = async (given, options) => {
      const told = { logLevel: "debug", ...options };
      const pipe = await client.StableDiffusionPipeline.fromPretrained(given, told);
      await pipe.unload();
      return "loaded";
    };
    return { value: await (async () => { %s })() };
  } catch (error) {
    const words = [];
    for (let each = error; each instanceof Error && words.length < 80; each = each.cause) {
      words.push(`${each}`, `${each.hint}`, `${each.stack}`, JSON.stringify(each));
    }
    const { name, message, hint } = error;
    return { name, message, hint, words: words.join("\\n") };
  }
}"""
LOADED = {"value": "loaded"}


def run(page, program, module, address, other=""):
    return page.evaluate(PROGRAM % program, [module, address, other])


@pytest.fixture
def visitor(context):
    """Return a browser of somebody who comes for the first time; its console has no secrets."""
    fresh = context.browser.new_context(service_workers="block")
    fresh.set_default_timeout(TIMEOUT_MS)
    logged = []
    fresh.on("console", lambda message: logged.append(message.text))
    yield fresh
    fresh.close()
    # The browser's own messages name whole addresses.
    assert [text for text in logged if "web-stable-diffusion:" in text and "SECRET" in text] == []


@pytest.fixture(scope="module")
def site(speck):
    """Return the folder of a bundle, and the name of its worker's file."""
    (worker,) = (speck[0] / "assets").glob("worker.*.js")
    return speck[0], f"assets/{worker.name}"


def sends(**answers: dict):
    """Return a change of answers by how their path ends."""

    def change(_request, path):
        found = {}
        for ending, changed in answers.items():
            if path.endswith(ending.replace("_", ".")) or ending == "all":
                found |= changed
        return found

    return change


@dataclass(frozen=True)
class Place:
    """A page, and what happens where it loads the model.

    Attributes:
        error: the class that ends it, or None where the model is loaded.
        says: parts of the message and the hint.
        program: what the page does.
        page: headers of the page.
        worker: what is changed of the answer with the worker's script.
        module: whose module the page imports: its own server's, or the other one's.
        other: what the other origin changes of its answers.
        stale: whether the worker's script is of another build.
    """

    error: str | None = None
    says: tuple[str, ...] = ()
    program: str = "return load(address);"
    page: dict = field(default_factory=dict)
    worker: dict = field(default_factory=dict)
    module: str = "own"
    other: dict = field(default_factory=lambda: dict(CORS))
    stale: bool = False


def policy(**changes):
    """Return the page's header with directives changed or added."""
    directives = dict(text.split(" ", 1) for text in POLICY.split("; "))
    directives |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {text}" for name, text in directives.items())
    }


TRUSTED = "'script'; trusted-types"
PLACES = {
    "a page with the documented policy": Place(page=policy()),
    "a package of another origin": Place(module="other"),
    "a package of another origin, and a policy that allows it": Place(
        module="other",
        page=policy(script_src="'self' 'wasm-unsafe-eval' OTHER", worker_src="blob: OTHER",
                    connect_src="'self' OTHER")),
    "a package of another origin, and a policy without blob:": Place(
        "UnsupportedError", ("does not allow this worker", "worker-src blob: http://127.0.0.1:"),
        module="other", page=policy(script_src="'self' 'wasm-unsafe-eval' OTHER")),
    "a package of another origin, and a policy without that origin for the worker": Place(
        "FetchError", ("could not be run", "must allow", "worker-src blob: http://127.0.0.1:"),
        module="other",
        page=policy(script_src="'self' 'wasm-unsafe-eval' OTHER", worker_src="blob:",
                    connect_src="'self' OTHER")),
    "a worker of another origin": Place(
        program="return load(address, { workerUrl: other + WORKER });"),
    "a worker of another origin without CORS": Place(
        "FetchError", ("could not be fetched", "Access-Control-Allow-Origin: http://127.0.0.1:"),
        "return load(address, { workerUrl: other + WORKER });", other={}),
    "a worker of the page's own blob": Place(
        program="const code = `import ${JSON.stringify(new URL(WORKER, location.origin).href)}`;"
        "const blob = new Blob([code], { type: 'text/javascript' });"
        "return load(address, { workerUrl: URL.createObjectURL(blob) });"),
    "a worker of another build": Place(
        "UnsupportedError", ("the worker runs version", "copy dist/worker.js"), stale=True),
    "a worker that the page makes": Place(
        program="const worker = () => new Worker('/' + WORKER, { type: 'module' });"
        "return load(address, { worker });"),
    "a worker that the page made": Place(
        program="return load(address, { worker: new Worker('/' + WORKER, {type: 'module'}) });"),
    "a worker that was given twice": Place(
        "OptionError", ("belongs to another pipeline", "a function that makes a new worker"),
        "const worker = new Worker('/' + WORKER, { type: 'module' });"
        "await load(address, { worker }); return load(address, { worker });"),
    "something else as a worker": Place(
        "OptionError", ("worker is not a Worker", "new Worker("),
        "return load(address, { worker: async () => new Worker('/' + WORKER) });"),
    "a worker and its address": Place(
        "OptionError", ("both worker and workerUrl", "one of the two"),
        "return load(address, { worker: () => null, workerUrl: WORKER });"),
    "a given worker without a script": Place(
        "FetchError", ("could not read its script", "module"),
        "return load(address, { worker: () => new Worker('/missing.js', { type: 'module' }) });"),
    "a missing worker": Place(
        "FetchError", ("the server answered 404", "optimizeDeps", "workerUrl"),
        worker={"status": 404}),
    "a web page in the worker's place": Place(
        "FetchError", ("a web page, not the worker", "workerUrl"),
        worker={"Content-Type": "text/html", "body": b"<p>"}),
    "a worker without a type": Place(
        "FetchError", ("the server sent it as", "Content-Type: text/javascript"),
        worker={"Content-Type": "application/octet-stream"}),
    "an isolated page, and a worker without its headers": Place(
        "FetchError", ("could not be run", "Cross-Origin-Embedder-Policy: require-corp"),
        page={"Cross-Origin-Opener-Policy": "same-origin",
              "Cross-Origin-Embedder-Policy": "require-corp"}),
    "an isolated page": Place(
        page={"Cross-Origin-Opener-Policy": "same-origin",
              "Cross-Origin-Embedder-Policy": "require-corp"},
        worker={"Cross-Origin-Embedder-Policy": "require-corp"}),
    "a policy without workers": Place(
        "UnsupportedError", ("does not allow this worker", "worker-src 'self'"),
        page=policy(worker_src="'none'")),
    "a worker's policy without WebAssembly": Place(
        "UnsupportedError", ("does not allow WebAssembly", "'wasm-unsafe-eval'"),
        worker=policy(script_src="'self'")),
    "a worker's policy without connections": Place(
        "UnsupportedError", ("connect-src", "connect-src 'self'"),
        worker=policy(connect_src="'none'")),
    "a page's policy without connections": Place(
        "UnsupportedError", ("connect-src", "connect-src 'self'"),
        "return client.preflight(address);", page=policy(connect_src="'none'")),
    "a worker's policy without the model's origin": Place(
        "UnsupportedError", ("connect-src", "connect-src 'self' http://127.0.0.1:"),
        "return load(other + MANIFEST);", worker=policy()),
    "Trusted Types": Place(page=policy(require_trusted_types_for=f"{TRUSTED} wsd")),
    "Trusted Types, and a package of another origin": Place(
        module="other",
        page=policy(script_src="'self' 'wasm-unsafe-eval' OTHER", worker_src="blob: OTHER",
                    connect_src="'self' OTHER", require_trusted_types_for=f"{TRUSTED} wsd")),
    "Trusted Types, and a script that tries the package's policy": Place(
        "TypeError", ("blob:… is not a script of this page",),
        "await load(address);"
        "const policy = globalThis[Symbol.for('web-stable-diffusion.trusted-types-policy')];"
        "return policy.createScriptURL(URL.createObjectURL(new Blob(['steal()'])));",
        page=policy(require_trusted_types_for=f"{TRUSTED} wsd")),
    "Trusted Types without the policy": Place(
        "UnsupportedError", ("requires Trusted Types", "trusted-types wsd"),
        page=policy(require_trusted_types_for=f"{TRUSTED} other")),
    "Trusted Types that are not required": Place(page=policy(trusted_types="'none'")),
    "two copies of the package, and Trusted Types": Place(
        program="const copy = await import('/driver/client.js');"
        "await (await copy.StableDiffusionPipeline.fromPretrained(address)).unload();"
        "return load(address);",
        page=policy(require_trusted_types_for=f"{TRUSTED} wsd")),
    "another script that took the policy's name": Place(
        "UnsupportedError", ("requires Trusted Types", "'allow-duplicates'"),
        "trustedTypes.createPolicy('wsd', {}); return load(address);",
        page=policy(require_trusted_types_for=f"{TRUSTED} wsd")),
}  # fmt: skip
# In the usual tests; they take a second each.
QUICK = {
    "a missing worker",
    "a worker's policy without WebAssembly",
}


def check_outcome(outcome, error, says):
    if error is None:
        assert outcome == LOADED
        return
    assert outcome.get("name") == error, outcome
    told = f"{outcome['message']} | {outcome.get('hint')}"
    assert [part for part in says if part not in told] == [], told
    assert "SECRET" not in outcome["words"], outcome["words"]


def of_another_build(script):
    """Return a script of the worker with another digest of its sources."""
    text, count = re.subn(rb"\+[0-9a-f]{16}\b", b"+" + b"0" * 16, script.read_bytes())
    assert count == 1
    return text


@pytest.mark.parametrize("name", twelfths(PLACES, QUICK))
def test_the_package_starts_or_says_why_not(visitor, site, name):
    place = PLACES[name]
    folder, worker = site
    with serving(folder, sends(all=place.other)) as other:
        headers = {key: value.replace("OTHER", other.address) for key, value in place.page.items()}

        def change(_request, path):
            if path == "/blank.html":
                return dict(headers)
            if path != f"/{worker}":
                return {}
            return (
                {"body": of_another_build(folder / worker)} if place.stale else place.worker.copy()
            )

        with serving(folder, change) as own:
            page = visitor.new_page()
            page.goto(f"{own.address}/blank.html")
            constants = json.dumps([f"{worker}?key=SECRET", f"{MANIFEST}?sig=SECRET"])
            program = f"const [WORKER, MANIFEST] = {constants};{place.program}"
            module = {"own": own, "other": other}[place.module].address + "/client.js"
            manifest = f"{own.address}/{MANIFEST}?sig=SECRET"
            outcome = run(page, program, module, manifest, f"{other.address}/")
    check_outcome(outcome, place.error, place.says)


# What a program gives to the server, and nobody else may see.
TOKEN = "SECRET-token"
SIGNATURE = "SECRET/b"
SIGNED = "?sig=SECRET%2Fb"


def asks_for_token(request, path):
    """Give the model's files to those who send a token."""
    allowed = {**CORS, "Access-Control-Allow-Headers": "authorization"}
    if path.startswith("/models/") and request.headers["Authorization"] != f"Bearer {TOKEN}":
        return {"status": 401, **allowed}
    return allowed


def asks_for_signature(request, path):
    """Give the model's files to those whose address is signed."""
    query = parse_qs(urlsplit(request.path).query)
    return {"status": 403} if path.startswith("/models/") and query != {"sig": [SIGNATURE]} else {}


def asks_for_cookie(request, _path):
    allowed = {
        "Access-Control-Allow-Origin": request.headers["Origin"] or "*",
        "Access-Control-Allow-Credentials": "true",
    }
    return allowed | ({} if request.headers["Cookie"] == "user=wsd" else {"status": 401})


def sends_elsewhere(where):
    """Redirect the weights to the same path of another address."""

    def change(request, path):
        place = where(request) + path
        return {"status": 302, "Location": place} if path.endswith(".bin") else {}

    return change


@dataclass(frozen=True)
class Files:
    """How a model's files come, and how loading ends.

    Attributes:
        error, says, program: as in :class:`Place`.
        own: what the page's own server changes of its answers; OTHER in its headers is the other
            origin.
        other: what the other origin changes.
    """

    error: str | None = None
    says: tuple[str, ...] = ()
    program: str = "return load(address);"
    own: Change = nothing
    other: Change = lambda *_: dict(CORS)


BEARER = f'{{ headers: {{ Authorization: "Bearer {TOKEN}" }} }}'
# What a program gives as `fetch`.
PIECES = """const fetch = async (url, init) => {
  const bytes = new Uint8Array(await (await globalThis.fetch(url, init)).arrayBuffer());
  let at = 0;
  return new Response(new ReadableStream({ pull: (stream) => {
    if (at >= bytes.length) stream.close();
    else stream.enqueue(bytes.subarray(at, at += 999));
  } }));
};"""
BROKEN = """const broken = new Set();
const fetch = async (url, { signal }) => {
  const bytes = await (await globalThis.fetch(url, { signal })).arrayBuffer();
  if (!url.includes("vae-0") || broken.has(url)) return new Response(bytes);
  broken.add(url);
  let pieces = 0;
  return new Response(new ReadableStream({ pull: (stream) => {
    if (pieces++ < 2) stream.enqueue(new Uint8Array(bytes, 0, 100));
    else stream.error(new Error("it broke off"));
  } }));
};"""
FILES = {
    "a token that is wanted": Files(
        "FetchError", ("answered 401", "headers", "Authorization", "credentials"),
        "return load(plain);", own=asks_for_token),
    "a token that is given": Files(program=f"return load(address, {BEARER});", own=asks_for_token),
    "a wrong token": Files(
        "FetchError", ("answered 401", "does not take what it was given by headers"),
        "return load(address, { headers: [['Authorization', 'Bearer SECRET-old']] });",
        asks_for_token),
    "a token for another origin": Files(
        program=f"return load(other + MANIFEST, {BEARER});", other=asks_for_token),
    "a token for another origin, which does not allow headers": Files(
        "FetchError", ("(CORS)", "Access-Control-Allow-Headers: authorization"),
        f"return load(other + MANIFEST, {BEARER});"),
    "a signed address": Files(
        program='return load(address + "#part");', own=asks_for_signature),
    "a wrong signature": Files(
        "FetchError", ("answered 403", "the query of the address", "expired"),
        'return load(address.replace("SECRET", "SECRET-old"));', asks_for_signature),
    "a list of models by a signed address": Files(
        program=f"const [model] = await client.listModels('/{SIGNED}');"
        "const { variant, problems } = await client.chooseVariant(model);"
        "return problems.length ? problems : load(variant.manifest);",
        own=lambda request, path: {} if path == "/" else asks_for_signature(request, path)),
    "cookies of another origin": Files(
        program="return load(other + MANIFEST, { credentials: 'include' });",
        other=asks_for_cookie),
    "another origin without CORS": Files(
        "FetchError", ("(CORS)", "Access-Control-Allow-Origin: http://127.0.0.1:"),
        "return load(other + MANIFEST);", other=nothing),
    "a server that is not there": Files(
        "FetchError", ("could not be fetched", "check the network", "Access-Control-Allow-Origin"),
        "return load('http://127.0.0.1:9/manifest.json');"),
    "weights of another origin": Files(own=sends_elsewhere(lambda _: "OTHER")),
    "weights of another origin without CORS": Files(
        "FetchError", ("redirects it to a place that cannot be read", "Access-Control-Allow"),
        own=sends_elsewhere(lambda _: "OTHER"), other=nothing),
    "a log-in page": Files(
        "FetchError", ("sent a web page, http://127.0.0.1:", "/blank.html", "credentials"),
        own=lambda _, path: {"status": 302, "Location": "/blank.html?code=SECRET"}
        if path.endswith("manifest.json") else {}),
    "a user and a password": Files(
        "OptionError", ("has a user or a password", "Authorization"),
        "return load(address.replace('//', '//user:SECRET@'));"),
    "another file than .json": Files(
        "FetchError", ("/api/manifest/manifest.json?…: the server answered 404",
                       "taken for a folder", "the file manifest.json in it was asked for"),
        "return load('/api/manifest?id=SECRET');"),
    "a folder": Files(program="return load('models/speck/');"),
    "a folder without a slash": Files(program="return load('/models/speck');"),
    "a URL": Files(program="return load(new URL(address));"),
    "the list of models": Files(
        "FetchError", ("a bundle's list of models", "listModels", "speck/"),
        "return load('/models/index.json');"),
    "a manifest as the list of models": Files(
        "FetchError", ("lists no models", "fromPretrained"), "return client.listModels(address);"),
    "a hub id": Files(
        "FetchError", ("answered 404", "Hugging Face", "wsd build --model sd15 --weights some"),
        "return load('someone/stable-diffusion-v1-5');"),
    "a hub id, looked at first": Files(
        "FetchError", ("answered 404", "Hugging Face"),
        "return client.preflight('someone/stable-diffusion-v1-5');"),
    "a data: address": Files(
        "OptionError", ("address of data:", "a folder of files"),
        "return load('data:application/json,{}');"),
    "a blob: address": Files(
        "OptionError", ("address of blob:", "a folder of files"),
        "return load(URL.createObjectURL(new Blob(['{}'])));"),
    "a file: address": Files(
        "OptionError", ("no files of this kind", "wsd serve"),
        "return load('file:///models/manifest.json');"),
    "an empty address": Files("OptionError", ("manifestUrl is empty",), "return load('');"),
    "no address": Files("OptionError", ("manifestUrl is undefined",), "return load();"),
    "an object as the address": Files(
        "OptionError", ("manifestUrl is an object",), "return load({ url: address });"),
    "no URL as the address": Files(
        "OptionError", ("which is not an address",), "return load('http://');"),
    "headers that are none": Files(
        "OptionError", ("headers are not valid", "X-Key", "Authorization"),
        "return load(address, { headers: { 'X-Key': 'SECRET\\u4e00' } });"),
    "credentials that are none": Files(
        "OptionError", ("credentials is not one of", "same-origin"),
        "return client.preflight(address, { credentials: 'yes' });"),
    "no function as fetch": Files(
        "OptionError", ('fetch is "x"',), "return load(address, { fetch: 'x' });"),
    "a fetch of the page": Files(
        program="let asked = 0;"
        "const fetch = (...request) => { asked += 1; return globalThis.fetch(...request); };"
        f"const loaded = await load(address, {{ fetch, ...{BEARER} }});"
        "return asked > 3 ? loaded : asked;", own=asks_for_token),
    "a fetch that gives small pieces": Files(
        program=PIECES + "return load(address, { fetch });"),
    "a fetch that breaks off": Files(program=BROKEN + "return load(address, { fetch });"),
    "a fetch that fails": Files(
        "FetchError", ("the fetch that was given failed: Error: no token for http", "fix"),
        "const fetch = async (url, { headers }) => {"
        "throw new Error(`no token for ${url}: ${headers.get('Authorization')}`); };"
        f"return load(address, {{ fetch, ...{BEARER} }});"),
    "a fetch that throws at once": Files(
        "FetchError", ("failed: RangeError: no room", "fix"),
        "return load(address, { fetch: () => { throw new RangeError('no room'); } });"),
    "a fetch that is always aborted": Files(
        "FetchError", ("could not be fetched by the fetch that was given", "what that function"),
        "return load(address, { fetch: async (url) => { AbortSignal.abort().throwIfAborted(); } });"
    ),
    "a fetch that never answers, and is cancelled": Files(
        "AbortError", ("cancelled",),
        "const controller = new AbortController();"
        "const fetch = () => new Promise(() => setTimeout(() => controller.abort()));"
        "return load(address, { fetch, signal: controller.signal });"),
    "a fetch that gives nothing": Files(
        "FetchError", ("returned no Response", "resolve to a Response"),
        "return load(address, { fetch: async () => undefined });"),
    "a fetch without CORS": Files(
        "FetchError", ("cannot be read (opaque)", "no-cors"),
        "const fetch = (url, init) => globalThis.fetch(other, { ...init, mode: 'no-cors' });"
        "return load(address, { fetch });"),
    "a fetch that gives a web page": Files(
        "FetchError", ("sent a web page",),
        "return load(address, { fetch: () => globalThis.fetch('/blank.html') });"),
    "a fetch that has read the body": Files(
        "FetchError", ("has read the answer's body", "clone"),
        "const fetch = async (...request) => {"
        "const answer = await globalThis.fetch(...request); await answer.text(); return answer; };"
        "return load(address, { fetch });"),
    "a fetch whose body is of texts": Files(
        "FetchError", ("body is not of bytes",),
        "const stream = () => new ReadableStream({ start: (s) => s.enqueue('{}') });"
        "return client.preflight(address, { fetch: async () => new Response(stream()) });"),
    "a fetch for a file: address": Files(
        program="const fetch = (url, init) => globalThis.fetch(new URL(url).pathname, init);"
        "return load('file:///models/speck', { fetch });"),
}  # fmt: skip
QUICK_FILES = {"a token that is wanted", "a hub id"}


@pytest.mark.parametrize("name", twelfths(FILES, QUICK_FILES))
def test_a_model_loads_or_its_files_are_said_to_be_missing(visitor, site, name):
    files = FILES[name]
    with serving(site[0], files.other) as other, serving(site[0]) as own:
        own.change = lambda request, path: {
            key: value.replace("OTHER", other.address) if isinstance(value, str) else value
            for key, value in files.own(request, path).items()
        }
        visitor.add_cookies([{"name": "user", "value": "wsd", "url": other.address}])
        page = visitor.new_page()
        page.goto(f"{own.address}/blank.html")
        plain = f"{own.address}/{MANIFEST}"
        constants = json.dumps([MANIFEST + SIGNED, plain])
        program = f"const [MANIFEST, plain] = {constants}; {files.program}"
        outcome = run(
            page, program, f"{own.address}/client.js", plain + SIGNED, f"{other.address}/"
        )
    check_outcome(outcome, files.error, files.says)


# Every public function that needs a browser → how it is called.
FUNCTIONS = {
    "preflight": "client.preflight(address)",
    "listModels": "client.listModels('/models/index.json')",
    "chooseVariant": "client.chooseVariant({ variants: [{ manifest: address }] })",
    "fromPretrained": "load(address)",
    "listKept": "client.listKept()",
    "isKept": "client.isKept(address)",
    "purge": "client.purge(address)",
    "purgeAll": "client.purgeAll()",
}


def test_every_function_says_that_a_page_of_plain_http_is_not_trusted(visitor, site):
    """Such as a server on the local network that another computer opens."""

    def answer(route):
        path = site[0] / urlsplit(route.request.url).path.lstrip("/")
        body = path.read_bytes() if path.is_file() else b"<!doctype html>"
        kind = "text/javascript" if path.suffix == ".js" else "text/html"
        route.fulfill(body=body, content_type=kind)

    visitor.route("http://lan.test/**", answer)
    page = visitor.new_page()
    page.goto("http://lan.test/blank.html")
    for name, call in FUNCTIONS.items():
        outcome = run(page, f"return {call};", "/client.js", "/models/speck/manifest.json")
        says = ("does not trust this page, http://lan.test", "over https or from localhost")
        assert outcome["name"] == "UnsupportedError", name
        check_outcome(outcome, "UnsupportedError", says)


def run_in_worker(page, program, module, address):
    """Run a program in a worker of the page: a module that imports the package itself."""
    return page.evaluate(
        """([program, module, address]) => new Promise((resolve, reject) => {
          const code = `(${program})([${JSON.stringify(module)}, ${JSON.stringify(address)}, ""])
            .then((outcome) => postMessage(outcome));`;
          const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
          const worker = new Worker(url, { type: "module" });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = (event) => reject(new Error(event.message));
        })""",
        [PROGRAM % program, module, address],
    )


LOOK_AND_LOAD = """const { problems, bytes } = await client.preflight(address);
return problems.length === 0 && bytes.total > 0 ? load(address) : problems;"""


@pytest.mark.exhaustive
def test_a_worker_of_the_page_loads_the_model(visitor, site):
    """It is made of a blob, so that nothing in it is relative to an address."""
    with serving(site[0], sends(all=CORS)) as own:
        page = visitor.new_page()
        page.goto(f"{own.address}/blank.html")
        module, manifest = f"{own.address}/client.js", f"{own.address}/{MANIFEST}"
        assert run_in_worker(page, LOOK_AND_LOAD, module, manifest) == LOADED
        outcome = run_in_worker(page, LOOK_AND_LOAD, module, MANIFEST)
        check_outcome(outcome, "OptionError", ("is not an address", "give an absolute one"))


# Attributes of the frame in which the model is loaded.
FRAMES = {
    "of the page's origin": "src=/blank.html",
    "of another origin": "src=OTHER/blank.html",
    "without an address": "srcdoc='<title>A frame</title>'",
    "without an origin": "sandbox=allow-scripts src=/blank.html",
}


@pytest.mark.parametrize("name", twelfths(FRAMES))
def test_a_frame_loads_the_model_or_is_told_to_have_an_origin(visitor, site, name):
    with serving(site[0], sends(all=CORS)) as own, serving(site[0], sends(all=CORS)) as other:
        page = visitor.new_page()
        page.goto(f"{own.address}/blank.html")
        attributes = FRAMES[name].replace("OTHER", other.address)
        page.set_content(f"<iframe name=inner {attributes}></iframe>")
        frame = page.frame("inner")
        frame.wait_for_load_state()
        address = other.address if "OTHER" in FRAMES[name] else own.address
        module, manifest = f"{address}/client.js", f"{address}/{MANIFEST}"
        outcome = run(frame, LOOK_AND_LOAD, module, manifest)
    if name == "without an origin":
        check_outcome(outcome, "UnsupportedError", ("without an origin", "allow-same-origin"))
    else:
        assert outcome == LOADED


KEEP = """const signed = address + "?sig=SECRET-1";
const before = await client.isKept(address);
await load(signed, { fetch: (...request) => fetch(...request) });
const [listed, ...others] = await client.listKept();
const kept = [await client.isKept(address), await client.isKept(address + "?sig=2"),
  await client.isKept(address + "?v=2")];
const { bytes } = await client.preflight(signed);
await client.purge(address + "?sig=3");
const purged = [await client.isKept(address), (await client.listKept()).length];"""
CLEAR = """await load(address, { logLevel: "silent" });
const again = await client.isKept(address);
await client.purgeAll();
const cleared = [again, await client.isKept(address), (await client.listKept()).length];"""
RESULT = "return { before, listed, others, kept, bytes, purged, cleared };"


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "clear",
    [pytest.param("const cleared = [];", id="purge", marks=pytest.mark.exhaustive),
     pytest.param(CLEAR, id="purge and purgeAll")],
)  # fmt: skip
def test_what_is_kept_is_listed_and_removed(visitor, site, clear):
    with serving(site[0]) as own:
        page = visitor.new_page()
        logged = []
        page.on("console", lambda message: logged.append(message.text))
        page.goto(f"{own.address}/blank.html")
        manifest = f"{own.address}/{MANIFEST}"
        found = run(page, KEEP + clear + RESULT, "/client.js", manifest)["value"]
        # Each file was fetched once by its signed address, and once more where all was removed.
        weights = [path for path in own.asked if ".bin" in path]
        signed = [path for path in weights if path.endswith("?sig=SECRET-1")]
        assert len(signed) == len({path.split("?")[0] for path in weights}) > 0
        assert len(weights) == len(signed) * (2 if found["cleared"] else 1)
    assert found["listed"].pop("bytes") == found["bytes"]
    assert found["bytes"]["kept"] == found["bytes"]["total"] > 0
    assert found["listed"] == {
        "manifestUrl": manifest, "name": "speck", "title": found["listed"]["title"],
        "complete": True,
    }  # fmt: skip
    assert [found["before"], found["others"]] == [False, []]
    assert [found["kept"], found["purged"]] == [[True, True, False], [False, 0]]
    assert found["cleared"] in ([], [True, False, 0])
    # The worker tells of each file while that is wanted.
    told = [text for text in logged if "web-stable-diffusion: fetching" in text]
    assert sum("?…" in text for text in told) >= len(signed)
    assert [text for text in told if "?…" not in text] == []
