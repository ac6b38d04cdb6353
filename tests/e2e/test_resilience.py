"""What goes wrong between a server and a picture: named, survived, nothing fetched twice."""

import re

import pytest

from pages import before_worker
from wsd.runtime.server import served

# A model in the page: what it reports is kept, errors come back as values.
SETUP = """
async () => {
  const { StableDiffusionPipeline } = await import("/client.js");
  globalThis.attempt = async (work) => {
    try { return { value: await work() }; }
    catch ({ name, message, hint }) { return { name, message, hint }; }
  };
  globalThis.load = (manifest, options = {}) => attempt(async () => {
    globalThis.notices = [];
    globalThis.pipe = await StableDiffusionPipeline.fromPretrained(manifest, {
      ...options, onNotice: (notice) => notices.push(notice) });
    return true;
  });
  globalThis.draw = (options = {}) => attempt(async () => {
    const { latents } = await pipe.generate("a large red circle", {
      numInferenceSteps: 2, seed: 3, ...options });
    return Array.from(latents);
  });
  globalThis.StableDiffusionPipeline = StableDiffusionPipeline;
}
"""
MANIFEST = "/models/speck/manifest.json"
LOAD = f"() => load('{MANIFEST}')"

# Put before the worker's own code.
REACH_DEVICE = """
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...given) {
  const device = await request.apply(this, given);
  const channel = new BroadcastChannel("test");
  channel.onmessage = () => { channel.close(); device.destroy(); };
  return device;
};
"""
# A GPU with room for the model part by part, and not for the whole of it.
ROOM = 1_005_000
LATENTS = 4 * 16 * 16
SMALL_GPU = (
    f"const room = {ROOM};"
    + """
let total = 0, full = false;
const create = GPUDevice.prototype.createBuffer;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = create.call(this, descriptor);
  total += descriptor.size;
  full ||= total > room;
  const destroy = buffer.destroy.bind(buffer);
  buffer.destroy = () => { total -= descriptor.size; buffer.destroy = destroy; destroy(); };
  return buffer;
};
const pop = GPUDevice.prototype.popErrorScope;
GPUDevice.prototype.popErrorScope = async function () {
  const error = await pop.call(this);
  if (!full) return error;
  full = false;
  return new GPUOutOfMemoryError("no room");
};
const lose = GPUDevice.prototype.destroy;
GPUDevice.prototype.destroy = function () { total = 0; lose.call(this); };
"""
)
LISTEN = """
() => {
  globalThis.late = 0;
  new BroadcastChannel("late").onmessage = () => late++;
}
"""
NO_ROOM_TO_KEEP = """
FileSystemWritableFileStream.prototype.write = async () => {
  throw new DOMException("full", "QuotaExceededError");
};
"""


@pytest.fixture
def open_tab(context, origin):
    """Return a function that opens a blank page of one visitor, whose storage starts empty."""
    visitor = context.browser.new_context()

    def open_page(code=""):
        tab = visitor.new_page()
        tab.set_default_timeout(0)
        tab.requests = []
        tab.on("request", lambda request: tab.requests.append(request.url))
        if code:
            before_worker(tab, code)
        tab.goto(origin + "blank.html")
        tab.evaluate(SETUP)
        return tab

    yield open_page
    visitor.close()


def fetched(tab):
    return [url for url in tab.requests if re.search(r"\.(bin|wasm)$", url)]


def test_what_was_fetched_stays(open_tab):
    first = open_tab()
    assert first.evaluate(LOAD) == {"value": True}
    expected = first.evaluate("() => draw()")["value"]
    assert len(fetched(first)) == 4
    first.close()

    # Flip a byte of what the browser keeps of one shard.
    second = open_tab()
    damaged = second.evaluate(
        """async (manifest) => {
          const { components } = await (await fetch(manifest)).json();
          const { file, sha256 } = components.vae.shards[0];
          const root = await navigator.storage.getDirectory();
          const folder = await root.getDirectoryHandle("wsd");
          const handle = await folder.getFileHandle(sha256);
          const data = new Uint8Array(await (await handle.getFile()).arrayBuffer());
          data[data.length >> 1] ^= 1;
          const writable = await handle.createWritable();
          await writable.write(data);
          await writable.close();
          return file;
        }""",
        MANIFEST,
    )
    assert second.evaluate(LOAD) == {"value": True}
    assert second.evaluate("() => notices") == [
        f"{damaged} was damaged in the browser's cache and is fetched again."
    ]
    assert [url.rpartition("/")[2] for url in fetched(second)] == [damaged]
    assert second.evaluate("() => draw()")["value"] == expected
    second.close()

    # Without a server, the manifest too is as it was.
    third = open_tab()
    third.route("**/models/**", lambda route: route.abort())
    assert third.evaluate(LOAD) == {"value": True}
    assert third.evaluate("() => draw()")["value"] == expected
    third.evaluate("() => pipe.unload()")
    # Forgotten, it needs the server again.
    third.evaluate("(manifest) => StableDiffusionPipeline.purge(manifest)", MANIFEST)
    failed = third.evaluate(LOAD)
    assert failed["name"] == "FetchError"
    assert "could not be fetched" in failed["message"]
    assert "network" in failed["hint"]


def test_nothing_is_compiled_while_it_draws(open_tab):
    # A kernel that no function names would be compiled when it is called, while all wait.
    tab = open_tab("""
        const compile = GPUDevice.prototype.createComputePipeline;
        GPUDevice.prototype.createComputePipeline = function (descriptor) {
          new BroadcastChannel("late").postMessage(0);
          return compile.call(this, descriptor);
        };
    """)
    tab.evaluate(
        "() => { globalThis.late = 0; new BroadcastChannel('late').onmessage = () => late++; }"
    )
    assert tab.evaluate("(manifest) => load(manifest, { tiling: true })", MANIFEST) == {
        "value": True
    }
    assert len(tab.evaluate("() => draw({ guidanceScale: 3, scheduler: 'euler_a' })")["value"])
    assert tab.evaluate("() => pipe.usage()")["pipelines"] > 50
    assert tab.evaluate("() => late") == 0


def test_a_server_that_comes_back(open_tab):
    tab = open_tab()
    times = {}

    def flaky(route):
        name = route.request.url.rpartition("/")[2]
        times[name] = times.get(name, 0) + 1
        if times[name] == 1:
            route.abort("connectionreset")
        elif times[name] == 2:
            route.fulfill(status=503)
        else:
            route.continue_()

    tab.route("**/*.bin", flaky)
    assert tab.evaluate(LOAD) == {"value": True}
    assert set(times.values()) == {3}
    assert tab.evaluate("() => notices") == []


def test_a_lost_device(open_tab):
    tab = open_tab(REACH_DEVICE)
    assert tab.evaluate(LOAD) == {"value": True}
    expected = tab.evaluate("() => draw()")["value"]
    lose = """() => draw({ numInferenceSteps: 50, onProgress: ({ stage, loaded }) => {
      if (stage === "denoise" && loaded === 1) new BroadcastChannel("test").postMessage(0); } })"""
    failed = tab.evaluate(lose)
    assert failed["name"] == "DeviceLostError"
    assert "draw again" in failed["hint"]
    before = len(fetched(tab))
    assert tab.evaluate("() => draw()")["value"] == expected
    assert tab.evaluate("() => notices") == ["The GPU was lost; the model is loaded again."]
    assert len(fetched(tab)) == before


def test_a_small_gpu(open_tab):
    tab = open_tab(SMALL_GPU)
    assert tab.evaluate(LOAD) == {"value": True}
    # Either as it is loaded or as the first picture is drawn; once.
    for _ in range(2):
        assert len(tab.evaluate("() => draw()")["value"]) == LATENTS
        (notice,) = tab.evaluate("() => notices")
        assert "no room for the whole model" in notice
    assert tab.evaluate("() => pipe.usage()")["peakGpuBytes"] < ROOM


def test_no_room_to_keep_anything(open_tab):
    tab = open_tab(NO_ROOM_TO_KEEP)
    assert tab.evaluate(LOAD) == {"value": True}
    (notice,) = tab.evaluate("() => notices")
    assert "no room to keep the model" in notice


CANCEL = """
async (manifest) => {
  const told = [];
  const stages = ["library", "pipelines", "parameters"];
  for (const wanted of stages) {
    const controller = new AbortController();
    const onProgress = ({ stage }) => { if (stage === wanted) controller.abort(); };
    told.push(await load(manifest, { signal: controller.signal, onProgress }));
  }
  const seen = [];
  const see = ({ stage }) => { if (seen.at(-1) !== stage) seen.push(stage); };
  told.push(await load(manifest, { onProgress: see }));
  for (const wanted of ["text", "denoise", "decode"]) {
    const controller = new AbortController();
    const onProgress = ({ stage }) => { if (stage === wanted) controller.abort(); };
    // Several pictures, so that something is left to cancel after the first is decoded.
    told.push(await draw({ signal: controller.signal, onProgress, numImages: 8 }));
  }
  await draw({ numImages: 2 });
  const before = await pipe.usage();
  told.push((await draw({ numImages: 2 })).value.length);
  return [told, before, await pipe.usage(), seen];
}
"""


def test_cancel_in_every_phase(open_tab):
    tab = open_tab()
    told, before, after, seen = tab.evaluate(CANCEL, MANIFEST)
    *loading, loaded, text, denoise, decode, drawn = told
    assert loaded == {"value": True}
    assert seen == ["library", "parameters", "pipelines"]  # though two go on at a time
    assert drawn == 2 * LATENTS
    for phase in (*loading, text, denoise, decode):
        assert phase["name"] == "AbortError"
    assert after["gpuBytes"] == before["gpuBytes"]
    assert after["callbacks"] == before["callbacks"]


THIRTY = """
async () => {
  const seen = [];
  for (let seed = 0; seed < 30; seed++) {
    await draw({ seed, numInferenceSteps: 1 });
    seen.push(await pipe.usage());
  }
  return seen;
}
"""


def test_thirty_pictures_take_no_more_than_two(open_tab):
    tab = open_tab()
    assert tab.evaluate(LOAD) == {"value": True}
    _, *seen = tab.evaluate(THIRTY)
    assert seen == [seen[0]] * 29


def test_another_origin_that_does_not_share(open_tab, speck):
    tab = open_tab()
    with served(speck[0]) as elsewhere:
        failed = tab.evaluate("(manifest) => load(manifest)", elsewhere + MANIFEST[1:])
    assert failed["name"] == "FetchError"
    assert "could not be fetched" in failed["message"]


def test_two_tabs_and_a_reload_amid_a_picture(open_tab):
    one, two = open_tab(), open_tab()
    for tab in (one, two):
        tab.evaluate(f"() => {{ globalThis.loaded = load('{MANIFEST}'); }}")
    for tab in (one, two):
        assert tab.evaluate("() => loaded") == {"value": True}
    one.evaluate("() => { globalThis.drawn = draw({ numInferenceSteps: 50 }); }")
    one.reload()
    one.evaluate(SETUP)
    assert one.evaluate(LOAD) == {"value": True}
    assert one.evaluate("() => draw()") == two.evaluate("() => draw()")
