"""``wsd render``: a picture drawn by the bundle's own page code in Chromium."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.errors import RenderError, UsageError
from wsd.runtime.chromium import open_page
from wsd.runtime.request import GenerationRequest
from wsd.runtime.server import served
from wsd.util.hashing import sha256_bytes
from wsd.util.progress import Progress

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from wsd.runtime.dawn_node import NodePage

OpenHost = Callable[[str], "AbstractContextManager[Page | NodePage]"]


@dataclass(frozen=True)
class Rendered:
    """A picture and what is known of how it was drawn.

    Attributes:
        images: (images, height, width, 3) uint8.
        latents: final latents, flat float32.
        settings: the settings as other programs read them from a PNG.
        timings: milliseconds by stage, loading included.
        adapter: what WebGPU says of the GPU.
        usage: what the runtime held afterwards.
    """

    images: np.ndarray
    latents: np.ndarray
    settings: str
    timings: dict[str, float]
    adapter: dict[str, str]
    usage: dict[str, int]

    def report(self) -> dict[str, Any]:
        """Return the object that ``--json`` writes."""
        return {
            "timings_ms": self.timings,
            "adapter": self.adapter,
            "usage": self.usage,
            "latents_sha256": sha256_bytes(self.latents.tobytes()),
            "images_sha256": [sha256_bytes(image.tobytes()) for image in self.images],
            "settings": self.settings,
        }


# Runs in the page. Arrays come back as base64, which is faster than JSON.
_LOAD = """
async ([manifest, options]) => {
  // Node.js has its own way to the bundle (web/node/page.mjs).
  const { StableDiffusionPipeline, formatSettings } =
    await (globalThis.importModule?.("client.js") ?? import("/client.js"));
  globalThis.formatSettings = formatSettings;
  const started = performance.now();
  const failed = (error) => ({ error: { name: error.name, message: error.message,
                                        hint: error.hint ?? "" } });
  try {
    globalThis.pipe = await StableDiffusionPipeline.fromPretrained(manifest, {
      ...options,
      onProgress: (event) => globalThis.wsdProgress(event),
    });
  } catch (error) { return failed(error); }
  globalThis.bytes = (array) => {
    const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = "";
    for (let i = 0; i < view.length; i += 32768)
      text += String.fromCharCode(...view.subarray(i, i + 32768));
    return btoa(text);
  };
  globalThis.floats = (text) => new Float32Array(
    Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);
  globalThis.attempt = async (work) => {
    try { return { value: await work() }; } catch (error) { return failed(error); }
  };
  return { value: { load: performance.now() - started, adapter: globalThis.pipe.adapter } };
}
"""

_DRAW = """
([prompt, options]) => attempt(async () => {
  const { images, latents, timings, settings } = await pipe.generate(prompt, {
    ...options, onProgress: (event) => globalThis.wsdProgress(event) });
  const [{ width, height }] = images;
  return { width, height, rgba: images.map(({ data }) => bytes(data)), latents: bytes(latents),
           timings, settings: formatSettings(settings), usage: await pipe.remote.usage() };
})
"""

_ENCODE_TEXT = """
([prompt]) => attempt(async () => {
  const found = Object.entries(await pipe.remote.encodeText(prompt));
  return Object.fromEntries(found.map(([name, array]) => [name, bytes(array)]));
})
"""

_PREDICT_NOISE = """
([inputs, size]) => attempt(async () => {
  const named = Object.entries(inputs).map(([name, text]) => [name, floats(text)]);
  return bytes(await pipe.remote.predictNoise(Object.fromEntries(named), size));
})
"""

_DECODE_LATENTS = """
([latents, size]) => attempt(async () =>
  bytes(await pipe.remote.decodeLatents(floats(latents), size)))
"""


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded; the page's options of the same names.

    Attributes:
        offload: keep the parameters of one stage on the GPU at a time.
        tiling: decode pictures in tiles.
        kernels: which kernels run, as :func:`wsd.kernels.choice.resolve_kernel_choice` has it.
    """

    offload: bool = False
    tiling: bool = False
    kernels: str | None = None

    def given(self) -> dict[str, Any]:
        """Return those that are not left to the page."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Renderer:
    """A model loaded in a page; draws one picture after another."""

    def __init__(
        self, page: Page | NodePage, progress: Progress, manifest: str, options: LoadOptions
    ) -> None:
        self._page = page
        self._progress = progress
        self._stage = ""
        page.expose_function("wsdProgress", self._on_progress)
        loaded = self.call(_LOAD, [manifest, options.given()])
        self.load_ms: float = loaded["load"]
        self.adapter: dict[str, str] = loaded["adapter"]

    def draw(self, drawing: GenerationRequest) -> Rendered:
        """Draw one picture.

        Raises:
            UsageError: for an option that the model refuses.
            RenderError: if the page fails.
        """
        options = {
            "negativePrompt": drawing.negative_prompt,
            "numInferenceSteps": drawing.steps,
            "guidanceScale": drawing.guidance_scale,
            "seed": drawing.seed,
            "width": drawing.size[0] if drawing.size else None,
            "height": drawing.size[1] if drawing.size else None,
            "scheduler": drawing.scheduler,
            "eta": drawing.eta,
            "numImages": drawing.images,
        }
        given = {key: value for key, value in options.items() if value is not None}
        drawn = self.call(_DRAW, [drawing.prompt, given])
        rgba = b"".join(base64.b64decode(image) for image in drawn["rgba"])
        pixels = np.frombuffer(rgba, np.uint8).reshape(-1, drawn["height"], drawn["width"], 4)
        return Rendered(
            images=pixels[..., :3].copy(),
            latents=np.frombuffer(base64.b64decode(drawn["latents"]), np.float32).copy(),
            timings={"load": self.load_ms, **_present(drawn["timings"])},
            settings=drawn["settings"],
            adapter=self.adapter,
            usage=drawn["usage"],
        )

    def encode_text(self, prompt: str) -> dict[str, np.ndarray]:
        """Return what conditions the UNet, by the manifest's names, as flat float32."""
        encoded = self.call(_ENCODE_TEXT, [prompt])
        return {name: _decode(text) for name, text in encoded.items()}

    def predict_noise(
        self, inputs: dict[str, np.ndarray], size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return one UNet call's prediction as flat float32; inputs by the manifest's names."""
        encoded = {name: _encode(array) for name, array in inputs.items()}
        return self._array(_PREDICT_NOISE, [encoded, *_given(size)])

    def decode_latents(
        self, latents: np.ndarray, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the decoded image, about -1 to 1, as flat float32."""
        return self._array(_DECODE_LATENTS, [_encode(latents), *_given(size)])

    def self_test(self) -> list[dict[str, Any]]:
        """Return what the page's self-test finds, stage by stage."""
        return list(self.call("() => attempt(() => pipe.selfTest())", []))

    def usage(self) -> dict[str, int]:
        """Return what the runtime holds now."""
        return dict(self.call("() => attempt(() => pipe.remote.usage())", []))

    def _array(self, script: str, arguments: list[Any]) -> np.ndarray:
        return _decode(self.call(script, arguments))

    def call(self, script: str, arguments: list[Any]) -> Any:
        """Run a function in the page and return its value; its errors become ours."""
        answer = self._page.evaluate(script, arguments)
        if error := answer.get("error"):
            kind = UsageError if error["name"] == "OptionError" else RenderError
            raise kind(f"{error['name']}: {error['message']}", error["hint"] or "report this")
        return answer["value"]

    def _on_progress(self, event: dict[str, Any]) -> None:
        self._progress.report(event["stage"], event["loaded"], event["total"])


def _present(timings: dict[str, float | None]) -> dict[str, float]:
    return {stage: value for stage, value in timings.items() if value is not None}


def _given(size: tuple[int, int] | None) -> list[list[int]]:
    return [] if size is None else [list(size)]


def _encode(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def _decode(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32).copy()


def render(
    bundle: Path,
    drawing: GenerationRequest,
    progress: Progress,
    options: LoadOptions,
    model: str | None = None,
) -> Rendered:
    """Serve a bundle, open it in Chromium and draw one picture.

    Raises:
        BundleError: if the folder is not a bundle.
        UsageError: for a model that it does not hold, or a size that was not compiled.
        RenderError, ToolError: if the browser cannot draw.
    """
    check_drawing(read_manifest(find_manifest(bundle, model)), drawing)
    with open_renderer(bundle, progress, options, open_page, model) as renderer:
        return renderer.draw(drawing)


@contextmanager
def open_renderer(
    bundle: Path,
    progress: Progress,
    options: LoadOptions = LoadOptions(),
    open_host: OpenHost = open_page,
    model: str | None = None,
) -> Iterator[Renderer]:
    """Serve a bundle and yield a model of it, loaded in a page.

    Args:
        bundle: a bundle's folder.
        progress: told what the page does.
        options: how the model is loaded.
        open_host: opens a page at an address: :func:`wsd.runtime.chromium.open_page` in headless
            Chromium, :func:`wsd.runtime.dawn_node.open_node_page` in Node.js.
        model: which one, the first unless given.

    Raises:
        BundleError: if the folder is not a bundle.
        RenderError, ToolError: if the page cannot load the model.
    """
    manifest = find_manifest(bundle, model).relative_to(bundle).as_posix()
    # Not the page itself, which would load the model a second time.
    with served(bundle) as address, open_host(address + "blank.html") as page, progress:
        yield Renderer(page, progress, f"/{manifest}", options)


def check_drawing(manifest: dict[str, Any], drawing: GenerationRequest) -> None:
    """Refuse what a bundle's model cannot draw, before anything slow.

    Raises:
        UsageError: for a size that was not compiled, or too many steps.
    """
    sizes = {
        tuple(entry["size"]) for entry in manifest["entry_points"] if entry["size"] is not None
    }
    if drawing.size is not None and drawing.size not in sizes:
        listed = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise UsageError(
            f"size {drawing.size[0]}x{drawing.size[1]} was not compiled",
            f"sizes of this bundle: {listed}",
        )
    scheduler = manifest["scheduler"]
    name = drawing.scheduler or scheduler["default"]
    most = scheduler["schedulers"][name]["max_steps"]
    steps = drawing.steps or manifest["defaults"]["steps"]
    if steps > most:
        raise UsageError(f"steps is {steps}", f"scheduler {name} takes 1 to {most}")


def write_pngs(images: np.ndarray, path: Path, settings: str | None = None) -> list[Path]:
    """Write pictures as PNG files, each of which appears whole.

    Args:
        images: (images, height, width, 3) uint8.
        path: of the file; several pictures get a number before the suffix.
        settings: text that each file carries, for pages and programs to read.

    Returns:
        the files' paths.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = PngInfo()
    if settings is not None:
        texts.add_itxt("parameters", settings)
    paths = [path.with_stem(f"{path.stem}-{n}") for n in range(1, len(images) + 1)]
    for image, name in zip(images, paths if len(images) > 1 else [path], strict=True):
        scratch = name.with_name(f".{name.name}.tmp")
        Image.fromarray(image).save(scratch, format="PNG", pnginfo=texts)
        scratch.rename(name)
    return paths if len(images) > 1 else [path]
