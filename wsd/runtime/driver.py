"""Models in a page: ``wsd render`` drives a bundle's own code, ``parity`` and ``bench`` more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.verify import check_bundle
from wsd.runtime import page_types
from wsd.runtime.automation import Automation, ScriptedPage
from wsd.runtime.chromium import check_browser, open_page
from wsd.runtime.dawn_node import check_node, open_node_page
from wsd.runtime.developer_build import STAGE_CLIENT, find_developer_files
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.page_types import (
    BenchmarkOptions,
    BenchmarkReport,
    Drawn,
    GenerateOptions,
    ImageData,
    Loaded,
    ProgressEvent,
    StageReport,
    Usage,
    read_answer,
)
from wsd.runtime.prompt_syntax import PromptSyntax
from wsd.runtime.request import GenerationRequest, GuidanceInterval, SkipLayerGuidance
from wsd.runtime.server import served
from wsd.runtime.settings import check_settings, settle_request
from wsd.runtime.text_encoder_choice import choose_encoders
from wsd.runtime.validation import check_ignored_rules, check_picture
from wsd.spec.inference_settings import DiffusionSettings
from wsd.util.hashing import sha256_bytes
from wsd.util.progress import Progress

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from wsd.runtime.dawn_node import NodePage
    from wsd.spec.manifest import Manifest

OpenHost = Callable[[str], "AbstractContextManager[Page | NodePage]"]

# The page's own client.
_CLIENT = "client.js"


@dataclass(frozen=True)
class RenderReport:
    """What ``wsd render --json`` writes.

    Attributes:
        timings_ms: milliseconds by stage, loading included.
        adapter: vendor, architecture and description of the GPU, as WebGPU gives them.
        usage: what the page's runtime held afterwards.
        latents_sha256: of the final latents' float32 bytes, little-endian, in hexadecimal.
        images_sha256: of each picture's (height, width, 3) uint8 bytes.
        settings: the first picture's settings as its PNG carries them.
    """

    timings_ms: dict[str, float]
    adapter: dict[str, str]
    usage: Usage
    latents_sha256: str
    images_sha256: tuple[str, ...]
    settings: str


@dataclass(frozen=True)
class Rendered:
    """Pictures, and how they were drawn.

    Attributes:
        images: (images, height, width, 3) uint8.
        latents: final latents, flat float32.
        settings: the settings of each picture as other programs read them from a PNG.
        timings: milliseconds by stage, loading included.
        adapter: vendor, architecture and description of the GPU, as WebGPU gives them.
        usage: what the page's runtime held afterwards.
        previews: (step, pixels) of each preview; pixels are (height, width, 3) uint8.
        safety: what the safety checker says of each picture; nothing if they were not checked.
    """

    images: np.ndarray
    latents: np.ndarray
    settings: tuple[str, ...]
    timings: dict[str, float]
    adapter: dict[str, str]
    usage: Usage
    previews: tuple[tuple[int, np.ndarray], ...] = ()
    safety: tuple[page_types.SafetyReport, ...] = ()

    def report(self) -> RenderReport:
        """Return what ``--json`` writes."""
        return RenderReport(
            timings_ms=self.timings,
            adapter=self.adapter,
            usage=self.usage,
            latents_sha256=sha256_bytes(self.latents.tobytes()),
            images_sha256=tuple(sha256_bytes(image.tobytes()) for image in self.images),
            settings=self.settings[0],
        )


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded; the options of the same names of ``fromPretrained``.

    Attributes:
        offload: keep the parameters of one stage on the GPU at a time.
        tiling: decode pictures in tiles.
        kernels: ``auto``, ``generated``, or names of kernel variants, separated by commas.
        ignored_rules: names of the bundle's selection rules that do not count, separated by commas.
        text_encoder_3: whether text encoders that can be left out are loaded; None for those that
            the bundle has.
        settings: what ``--settings`` gives; ``offload`` and ``tiling`` win over it where they are
            set.
    """

    offload: bool = False
    tiling: bool = False
    kernels: str | None = None
    ignored_rules: str | None = None
    text_encoder_3: bool | None = None
    settings: DiffusionSettings | None = None

    def given(self) -> page_types.LoadOptions:
        """Return the options as the page takes them, without those that are left to it."""
        given: page_types.LoadOptions = {"offload": self.offload, "tiling": self.tiling}
        if self.settings is not None:
            given = {"settings": self.settings.model_dump(mode="json", by_alias=True)}
            given |= {"offload": True} if self.offload else {}
            given |= {"tiling": True} if self.tiling else {}
        if self.kernels is not None:
            given["kernels"] = self.kernels
        if self.ignored_rules is not None:
            given["ignoredRules"] = self.ignored_rules
        if self.text_encoder_3 is not None:
            given["textEncoder3"] = self.text_encoder_3
        return given


class Renderer:
    """A model that is loaded in a page and draws one request after another."""

    def __init__(
        self,
        page: ScriptedPage,
        progress: Progress,
        manifest: str,
        options: LoadOptions,
        client: str = _CLIENT,
    ) -> None:
        """Load a model.

        Args:
            page: any page of the bundle's origin.
            progress: shows what the page does.
            manifest: address of the model's manifest, relative to the page.
            options: how the model is loaded.
            client: address of the module that loads it, relative to the page.

        Raises:
            RenderError: if the page cannot load the model.
        """
        self._progress = progress
        page.expose_function("wsdProgress", self._on_progress)
        self._page = Automation(page)
        loaded = read_answer(Loaded, self._page.call("load", client, manifest, options.given()))
        self.load_ms = loaded["milliseconds"]
        self.adapter = loaded["adapter"]

    def draw(
        self,
        request: GenerationRequest,
        preview_every: int = 0,
        picture: GivenPicture | None = None,
    ) -> Rendered:
        """Draw a request's pictures.

        Args:
            request: what to draw.
            preview_every: steps from one preview to the next; 0 means no previews.
            picture: what is drawn from, in the request's size; it names the size if the request
                names none.

        Raises:
            UsageError: for an option that the model refuses.
            RenderError: if the page fails.
        """
        options = page_options(request, picture)
        options["previewEvery"] = preview_every
        return self.draw_with(request.prompt, options)

    def draw_with(self, prompt: str | Sequence[str] | None, options: GenerateOptions) -> Rendered:
        """Draw with the options of the page's ``generate``.

        Args:
            prompt: what to draw: one text or several, or None where embeddings stand for it.
            options: what the page's ``generate`` takes beside it.

        Raises:
            UsageError: for an option that the model refuses.
            RenderError: if the page fails.
        """
        drawn = read_answer(Drawn, self._page.call("generate", prompt, dict(options)))
        return Rendered(
            images=np.stack([_pixels(image) for image in drawn["images"]]),
            latents=drawn["latents"],
            timings={"load": self.load_ms, **_present(dict(drawn["timings"]))},
            settings=tuple(drawn["settings"]),
            adapter=self.adapter,
            usage=drawn["usage"],
            safety=tuple(drawn.get("safety", ())),
            previews=tuple((shown["step"], _pixels(shown["image"])) for shown in drawn["previews"]),
        )

    def encode_prompt(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = None,
        options: GenerateOptions | None = None,
    ) -> dict[str, np.ndarray]:
        """Return what the page's ``encodePrompt`` gives.

        Args:
            prompt: one text or several.
            negative_prompt: one text for all, or one for each; None for what the model takes for
                none.
            options: how the prompts are read, and those of the second text encoder.

        Returns:
            option of ``generate`` → float32, flat.

        Raises:
            UsageError: for a prompt that the model refuses.
            RenderError: if the page fails.
        """
        more: list[Any] = []
        if negative_prompt is not None or options is not None:
            more.append(negative_prompt)
        if options is not None:
            more.append(dict(options))
        return dict(self._page.call("encodePrompt", prompt, *more))

    def load_textual_inversion(
        self, file: bytes, token: str | None = None
    ) -> page_types.LoadedInversion:
        """Load a textual inversion from the bytes of its file.

        Args:
            file: a .safetensors file.
            token: the word that stands for it; the one that the file states unless given.

        Raises:
            UsageError: if the word is taken, or cannot be one.
            RenderError: if the file is damaged or does not fit the model, or the page fails.
        """
        options = {} if token is None else {"token": token}
        data = np.frombuffer(file, np.uint8)
        answer = self._page.call("loadTextualInversion", data, options)
        return read_answer(page_types.LoadedInversion, answer)

    def unload_textual_inversion(self, token: str | None = None) -> None:
        """Forget a textual inversion, or all of them.

        Raises:
            UsageError: if there is none of this token.
        """
        self._page.call("unloadTextualInversion", *([] if token is None else [token]))

    def load_lora(self, address: str, scale: float = 1.0) -> page_types.LoraChange:
        """Load a LoRA and change the weights on the GPU.

        Args:
            address: of its file, which may be relative to the page.
            scale: factor on what it adds to the weights.

        Raises:
            RenderError: if it cannot be had, is damaged, or does not fit the model.
        """
        answer = self._page.call("loadLora", address, {"scale": scale})
        return read_answer(page_types.LoraChange, answer)

    def set_adapters(self, scales: Mapping[str, float]) -> page_types.LoraChange:
        """Give LoRAs other scales; those that are not named get 0.

        Raises:
            UsageError: if none has one of the names.
            RenderError: if the page fails.
        """
        return read_answer(page_types.LoraChange, self._page.call("setAdapters", dict(scales)))

    def unload_lora(self, name: str | None = None) -> page_types.LoraChange:
        """Take a LoRA's change back, or that of all.

        Raises:
            UsageError: if none has the name.
            RenderError: if the page fails.
        """
        given = [] if name is None else [name]
        return read_answer(page_types.LoraChange, self._page.call("unloadLora", *given))

    def self_test(self) -> list[StageReport]:
        """Run the page's self-test and return what it finds, stage by stage.

        Raises:
            UsageError: if the bundle has no expected values.
            RenderError: if the page fails.
        """
        return read_answer(list[StageReport], self._page.call("selfTest"))

    def tune(self, seconds: float, again: bool = False) -> page_types.TuneReport:
        """Time what may run in the model's kernels on this GPU, and have the fastest run.

        Args:
            seconds: how long kernels are timed at most, above 0 and up to 3600.
            again: times kernels again of which it is known what is fastest.

        Raises:
            RenderError: if the page fails, or its worker cannot tune.
        """
        options = {"seconds": seconds, "again": again}
        return read_answer(page_types.TuneReport, self._page.call("tune", options))

    def usage(self) -> Usage:
        """Return what the page's runtime holds now."""
        return read_answer(Usage, self._page.call("usage"))

    def _on_progress(self, event: ProgressEvent) -> None:
        self._progress.report(event["stage"], event["loaded"], event["total"])


class StageRenderer(Renderer):
    """A loaded model whose stages can also be called one by one.

    Arrays are float32, flat when they come back; shapes are the manifest's.
    """

    def __init__(
        self, page: ScriptedPage, progress: Progress, manifest: str, options: LoadOptions
    ) -> None:
        """Load a model with the driver's client; see :class:`Renderer`."""
        super().__init__(page, progress, manifest, options, STAGE_CLIENT)

    def encode_text(
        self,
        prompt: str,
        prompt2: str | None = None,
        syntax: PromptSyntax = "plain",
        clip_skip: int = 0,
        prompt3: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Return what conditions the denoiser.

        Args:
            prompt: text to encode.
            prompt2: what the second text encoder reads; the prompt unless given.
            syntax: how the texts are read.
            clip_skip: how many of the encoders' last layers are left out.
            prompt3: what the third text encoder reads; the prompt unless given.

        Returns:
            name of the denoiser's input → float32, flat; of a long prompt, all of its chunks.

        Raises:
            RenderError: if the page fails.
        """
        # Older bundles know no such options.
        more: list[str | int] = []
        if (prompt2, syntax, clip_skip, prompt3) != (None, "plain", 0, None):
            more = [prompt2 or "", syntax]
        if clip_skip or prompt3:
            more = [*more, clip_skip, *([prompt3] if prompt3 else [])]
        return dict(self._page.call("encodeText", prompt, *more))

    def predict_noise(
        self, inputs: Mapping[str, np.ndarray], size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the noise that one call of the denoiser predicts.

        Args:
            inputs: by the manifest's names, in the manifest's shapes.
            size: (width, height) in pixels; the model's own unless given.

        Returns:
            (1, channels, height / factor, width / factor) float32, flat.

        Raises:
            UsageError: if the model was not compiled for the size.
            RenderError: if the page fails.
        """
        floats = {name: np.asarray(array, np.float32) for name, array in inputs.items()}
        return self._array("predictNoise", floats, *_size_arguments(size))

    def decode_latents(
        self, latents: np.ndarray, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the decoded image.

        Args:
            latents: (1, channels, height / factor, width / factor), as the denoiser has them.
            size: (width, height) in pixels; the model's own unless given.

        Returns:
            (3, height, width) float32, flat, with values from about -1 to 1.

        Raises:
            UsageError: if the model was not compiled for the size.
            RenderError: if the page fails.
        """
        return self._array("decodeLatents", np.asarray(latents, np.float32), *_size_arguments(size))

    def encode_image(self, image: np.ndarray) -> np.ndarray:
        """Return what the encoder gives for a picture.

        Args:
            image: (height, width, 3) uint8, in a size that the model was compiled for.

        Returns:
            (1, planes, height / factor, width / factor) float32, flat: the mean of each channel of
            the VAE's latents, then the logarithm of its variance, not clamped; or of a VAE without
            a distribution the latents themselves.

        Raises:
            UsageError: if the model was not compiled for the size.
            RenderError: if the model has no encoder, or the page fails.
        """
        height, width = image.shape[:2]
        return self._array("encodeImage", _opaque(image), [width, height])

    def check_picture(self, image: np.ndarray) -> page_types.SafetyReport:
        """Return what the safety checker says of a picture.

        Args:
            image: (height, width, 3) uint8, of any size.

        Raises:
            RenderError: if the model has no safety checker, or the page fails.
        """
        height, width = image.shape[:2]
        answer = self._page.call("checkPicture", _opaque(image), [width, height])
        return read_answer(page_types.SafetyReport, answer)

    def combine_latents(self, terms: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
        """Return the sum of latents times weights, computed by the schedulers' kernel.

        Args:
            terms: (latents, weight) pairs, at most as many as the kernel takes; all latents have
                the shape that the model was compiled for.

        Returns:
            float32, flat.

        Raises:
            RenderError: if the page fails.
        """
        arrays = [np.asarray(array, np.float32) for array, _ in terms]
        return self._array("combineLatents", arrays, [weight for _, weight in terms])

    def run_benchmark(self, size: tuple[int, int], repeats: int) -> BenchmarkReport:
        """Time the stages of one picture size.

        Args:
            size: (width, height) in pixels.
            repeats: calls that are timed.

        Raises:
            RenderError: if the page fails.
        """
        options: BenchmarkOptions = {"size": list(size), "repeats": repeats}
        return read_answer(BenchmarkReport, self._page.call("runBenchmark", options))

    def _array(self, name: str, *arguments: Any) -> np.ndarray:
        found: np.ndarray = self._page.call(name, *arguments)
        return found


def page_options(
    request: GenerationRequest, picture: GivenPicture | None = None
) -> GenerateOptions:
    """Return a request as the page's ``generate`` takes it, without what is left to the model.

    Args:
        request: what to draw.
        picture: what is drawn from, in the request's size, if not from the prompt alone.

    Raises:
        UsageError: if the picture has another size than the request.
    """
    if picture is not None:
        request = picture.require_size(request)
    width, height = request.size or (None, None)
    options = {
        "negativePrompt": request.negative_prompt,
        "numInferenceSteps": request.steps,
        "guidanceScale": request.guidance_scale,
        "seed": request.seed,
        "width": width,
        "height": height,
        "scheduler": request.scheduler,
        "eta": request.eta,
        "numImages": request.images,
        # Older bundles know no such options.
        "promptSyntax": None if request.prompt_syntax == "plain" else request.prompt_syntax,
        "prompt2": request.prompt2,
        "negativePrompt2": request.negative_prompt2,
        "prompt3": request.prompt3,
        "negativePrompt3": request.negative_prompt3,
        "guidanceRescale": request.guidance_rescale or None,
        **_interval_options(request.guidance_interval),
        "cacheInterval": request.cache_interval if request.cache_interval > 1 else None,
        "clipSkip": request.clip_skip or None,
        **_skip_layer_options(request.skip_layers),
        **{_camel_case(name): list(pair) for name, pair in request.conditions.given().items()},
    }
    given = {name: value for name, value in options.items() if value is not None}
    of_picture = {} if picture is None else dict(_picture_options(picture))
    return cast(GenerateOptions, {**given, **of_picture})


def _interval_options(interval: GuidanceInterval) -> dict[str, Any]:
    """Return the interval of guidance as the page's ``generate`` takes it."""
    if interval.is_whole:
        return {}
    return {"guidanceStart": interval.start, "guidanceStop": interval.stop}


def _skip_layer_options(skip: SkipLayerGuidance | None) -> dict[str, Any]:
    """Return skip-layer guidance as the page's ``generate`` takes it."""
    arguments = {} if skip is None else skip.arguments()
    return {_camel_case(name): value for name, value in arguments.items()}


def _camel_case(name: str) -> str:
    """Return a name of Python's as TypeScript has it."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _picture_options(picture: GivenPicture) -> GenerateOptions:
    """Return a picture as the page's ``generate`` takes it: bytes, which no canvas changes."""
    options: GenerateOptions = {
        "image": _image_data(picture.image),
        "strength": picture.strength,
        # The picture has the size already; the drawn one's settings name how it came to it.
        "fit": picture.fit,
    }
    if picture.mask is not None:
        options["mask"] = _image_data(np.repeat(picture.mask[..., None], 3, axis=2))
    return options


def _image_data(image: np.ndarray) -> ImageData:
    """Return the ``ImageData`` of (height, width, 3) uint8 pixels."""
    height, width = image.shape[:2]
    return {"width": width, "height": height, "data": _opaque(image)}


def _opaque(image: np.ndarray) -> np.ndarray:
    """Return (height, width, 3) uint8 pixels with alpha: (height, width, 4)."""
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([np.asarray(image, np.uint8), alpha], axis=2)


def _pixels(image: ImageData) -> np.ndarray:
    """Return the (height, width, 3) uint8 pixels of an ``ImageData``, without alpha."""
    rgba = image["data"].reshape(image["height"], image["width"], 4)
    return rgba[..., :3].copy()


def _present(timings: Mapping[str, Any]) -> dict[str, float]:
    return {stage: value for stage, value in timings.items() if value is not None}


def _size_arguments(size: tuple[int, int] | None) -> list[list[int]]:
    return [] if size is None else [list(size)]


def render(
    bundle: Path,
    request: GenerationRequest,
    progress: Progress,
    options: LoadOptions,
    model: str | None = None,
    picture: GivenPicture | None = None,
) -> Rendered:
    """Verify a bundle, serve it, open it in Chromium and draw one request.

    Nothing else compares the page's own code with what was built: that code compares the model's
    files with the manifest.

    Args:
        bundle: a bundle's folder.
        request: what to draw.
        progress: shows what the page does.
        options: how the model is loaded.
        model: which one, the first unless given.
        picture: what is drawn from, if not from the prompt alone; it is fitted to the drawn size.

    Raises:
        BundleError: if the folder is not a bundle, or one of its files is not what was built.
        UsageError: for a model that it does not hold, or a request that the model refuses.
        RenderError, ToolError: if the browser cannot draw.
    """
    manifest = read_manifest(find_manifest(bundle, model))
    manifest = choose_encoders(manifest, options.text_encoder_3)
    check_ignored_rules(manifest, options.ignored_rules)
    if options.settings is not None:
        request = settle_request(manifest, request, options.settings)
    request, picture = check_picture(manifest, request, picture)
    if options.settings is not None:
        check_settings(manifest, options.settings, request.size or manifest.defaults.size)
    check_bundle(bundle)
    with open_renderer(bundle, progress, options, open_page, model) as renderer:
        return renderer.draw(request, picture=picture)


def prepare_stages(bundle: Path, manifest: Manifest, open_host: OpenHost) -> None:
    """Refuse what :func:`open_stage_renderer` would refuse, before anything slow.

    The developers' build is made, and no page is opened.

    Args:
        bundle: a bundle's folder, which has been verified.
        manifest: of the model that will be loaded.
        open_host: opens a page; a program that it starts and that is missing is noticed.

    Raises:
        ToolError: if a program is missing, or the model's library is of another TVM than tvmjs
            here.
    """
    # The page for which another host is written knows what it needs.
    checks: Mapping[OpenHost, Callable[[], None]] = {
        open_page: check_browser,
        open_node_page: check_node,
    }
    if check := checks.get(open_host):
        check()
    find_developer_files(bundle, manifest)


@contextmanager
def open_renderer(
    bundle: Path,
    progress: Progress,
    options: LoadOptions = LoadOptions(),
    open_host: OpenHost = open_page,
    model: str | None = None,
) -> Iterator[Renderer]:
    """Serve a bundle and yield a model of it that its page's own code has loaded.

    Args:
        bundle: a bundle's folder.
        progress: shows what the page does.
        options: how the model is loaded.
        open_host: opens a page at an address: :func:`wsd.runtime.chromium.open_page` in headless
            Chromium, :func:`wsd.runtime.dawn_node.open_node_page` in Node.js.
        model: which one, the first unless given.

    Raises:
        BundleError: if the folder is not a bundle.
        RenderError, ToolError: if the page cannot load the model.
    """
    with _open_blank(bundle, progress, open_host) as page:
        yield Renderer(page, progress, _manifest_address(bundle, model), options)


@contextmanager
def open_stage_renderer(
    bundle: Path,
    progress: Progress,
    options: LoadOptions = LoadOptions(),
    open_host: OpenHost = open_page,
    model: str | None = None,
    given: Mapping[str, Path] = MappingProxyType({}),
) -> Iterator[StageRenderer]:
    """Serve a bundle and yield a model of it whose stages can be called one by one.

    The developers' build loads it: the page's code, in a worker that has more calls
    (:mod:`wsd.runtime.developer_build`).

    Args:
        bundle: a bundle's folder.
        progress: shows what the page does.
        options: how the model is loaded.
        open_host: opens a page at an address; see :func:`open_renderer`.
        model: which one, the first unless given.
        given: name → a file that the page finds at this address, such as a LoRA's.

    Raises:
        BundleError: if the folder is not a bundle.
        RenderError, ToolError: if the page cannot load the model, or its library is of another
            TVM than tvmjs here.
    """
    manifest = read_manifest(find_manifest(bundle, model))
    served_too = {**find_developer_files(bundle, manifest), **given}
    with _open_blank(bundle, progress, open_host, served_too) as page:
        yield StageRenderer(page, progress, _manifest_address(bundle, model), options)


@contextmanager
def _open_blank(
    bundle: Path,
    progress: Progress,
    open_host: OpenHost,
    given: Mapping[str, Path] = MappingProxyType({}),
) -> Iterator[Page | NodePage]:
    """Serve a bundle and yield a page of its origin, which must not load a model by itself."""
    with served(bundle, given) as address, open_host(address + "blank.html") as page, progress:
        yield page


def _manifest_address(bundle: Path, model: str | None) -> str:
    return find_manifest(bundle, model).relative_to(bundle).as_posix()
