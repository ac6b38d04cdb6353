"""Types of what the driver's program in the page takes and gives, with TypeScript's names.

Each class has the fields of the interface of the same name in ``web/src``; a test compares them.
:func:`read_answer` checks what a page gives, because the page's code comes from the bundle, which
may be of another version of WSD.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any, NotRequired, TypeVar, cast

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

# pydantic reads these types, and before Python 3.12 it needs this TypedDict.
from typing_extensions import TypedDict

from wsd.errors import RenderError

# Fields that only the page's version of WSD knows stay in the answer.
_open = with_config(ConfigDict(extra="allow", arbitrary_types_allowed=True))


class LoadOptions(TypedDict, total=False):
    """How a model is loaded; ``fromPretrained`` decides what is left out."""

    offload: bool
    tiling: bool
    kernels: str
    ignoredRules: str
    textEncoder3: bool
    settings: dict[str, Any]


class GenerateOptions(TypedDict, total=False):
    """What to draw; the model decides what is left out. Arrays are float32, of any shape."""

    negativePrompt: str | list[str]
    promptSyntax: str
    prompt2: str | list[str]
    negativePrompt2: str | list[str]
    prompt3: str | list[str]
    negativePrompt3: str | list[str]
    guidanceRescale: float
    guidanceStart: float
    guidanceStop: float
    cacheInterval: int
    skipGuidanceLayers: list[int]
    skipLayerGuidanceScale: float
    skipLayerGuidanceStart: float
    skipLayerGuidanceStop: float
    clipSkip: int
    originalSize: list[int]
    cropTopLeft: list[int]
    targetSize: list[int]
    negativeOriginalSize: list[int]
    negativeCropTopLeft: list[int]
    negativeTargetSize: list[int]
    numInferenceSteps: int
    guidanceScale: float
    seed: int
    width: int
    height: int
    scheduler: str
    eta: float
    numImages: int
    imageIndex: int
    safetyChecker: bool
    settings: dict[str, Any]
    latents: np.ndarray
    promptEmbeds: np.ndarray
    negativePromptEmbeds: np.ndarray
    pooledPromptEmbeds: np.ndarray
    negativePooledPromptEmbeds: np.ndarray
    promptChunks: int
    previewEvery: int
    image: ImageData
    mask: ImageData
    strength: float
    fit: str


class LoadedInversion(TypedDict):
    """A textual inversion that is loaded: its word, how many vectors it has, and its digest."""

    token: str
    vectors: int
    sha256: str


class LoraChange(TypedDict):
    """What a change of LoRAs took in milliseconds, and the names of those that are loaded then."""

    milliseconds: float
    names: list[str]


class BenchmarkOptions(TypedDict):
    """What is measured: (width, height) in pixels, and how many calls of a stage are timed."""

    size: list[int]
    repeats: int


@_open
class ProgressEvent(TypedDict):
    """How far a stage is, in bytes, steps or pipelines."""

    stage: str
    loaded: float
    total: float


@_open
class Loaded(TypedDict):
    """What loading took, and on what.

    Attributes:
        milliseconds: from the call until the model can draw.
        adapter: vendor, architecture and description of the GPU, as WebGPU gives them.
    """

    milliseconds: float
    adapter: dict[str, str]


@_open
class ImageData(TypedDict):
    """A picture; ``data`` is flat uint8 of shape (height, width, 4)."""

    width: int
    height: int
    data: np.ndarray


@_open
class Preview(TypedDict):
    """A preview, and the step after which it was made."""

    step: int
    image: ImageData


@_open
class Timings(TypedDict):
    """Milliseconds of the stages of one request; ``firstPreview`` is None without previews."""

    encode: NotRequired[float]
    text: float
    denoise: float
    firstPreview: NotRequired[float | None]
    decode: float
    safety: NotRequired[float]
    total: float


@_open
class Usage(TypedDict):
    """What a page's runtime holds.

    Attributes:
        gpuBytes: bytes in GPU buffers now.
        peakGpuBytes: the most bytes in GPU buffers at any time since the model was loaded.
        gpuBuffers: GPU buffers now.
        pipelines: kernels whose pipelines are compiled.
        variants: how many of them run each kernel variant, by its name.
        callbacks: JavaScript functions that WebAssembly refers to.
        wasmBytes: bytes of WebAssembly memory.
    """

    gpuBytes: int
    peakGpuBytes: int
    gpuBuffers: int
    pipelines: int
    variants: NotRequired[dict[str, int]]
    callbacks: int
    wasmBytes: int


@_open
class SafetyReport(TypedDict):
    """What the safety checker says of a picture; ``concepts`` are the numbers of those it finds."""

    flagged: bool
    concepts: list[int]
    conceptScores: list[float]
    specialScores: list[float]


@_open
class Drawn(TypedDict):
    """What one request gave.

    Attributes:
        images: the pictures.
        previews: those of all pictures, in the order of their steps.
        latents: the final latents, float32, flat; (images, channels, height / factor,
            width / factor).
        timings: milliseconds by stage.
        settings: the settings of each picture as its PNG carries them.
        safety: what the safety checker says of each picture, if they were checked.
        usage: what the runtime held afterwards.
    """

    images: list[ImageData]
    previews: list[Preview]
    latents: np.ndarray
    timings: Timings
    settings: list[str]
    safety: NotRequired[list[SafetyReport]]
    usage: Usage


@_open
class StageReport(TypedDict):
    """What the self-test found of one stage.

    Attributes:
        stage: name of the compiled function.
        error: the largest relative error of its outputs; if one is not finite, it is infinite, or
            None in Node.js, whose answers are JSON.
        limit: the largest relative error that is accepted.
        repeats: whether a second call gave the same bits.
        milliseconds: time of the second call, its outputs read back.
        good: whether the error is within the limit and the call repeats.
        variants: how many of its kernels ran each kernel variant, by its name.
    """

    stage: str
    error: float | None
    limit: float
    repeats: bool
    milliseconds: float
    good: bool
    variants: NotRequired[dict[str, int]]


@_open
class Roofline(TypedDict):
    """The most that the GPU does in a second, as the page measured it."""

    operationsPerSecond: float
    bytesPerSecond: float


@_open
class VariantTime(TypedDict):
    """All runs of one kernel in one call of a stage; ``milliseconds`` is GPU time."""

    kernel: str
    calls: int
    dispatches: int
    milliseconds: float
    variant: str


@_open
class StageTimes(TypedDict):
    """Median times of one call of a compiled function, in milliseconds.

    ``gpuMilliseconds`` is None where it cannot be measured, and ``kernels`` is empty there.
    """

    stage: str
    milliseconds: float
    recordMilliseconds: float
    gpuMilliseconds: float | None
    kernels: list[VariantTime]


@_open
class VariantChoice(TypedDict):
    """What runs in a kernel.

    Attributes:
        variant: name of a variant, or ``generated``.
        index: which of the kernel's variants of that name it is, from 0.
        tile: what a workgroup of it computes at a time, in words; missing for variants without.
    """

    variant: str
    index: int
    tile: NotRequired[str]


@_open
class TunedFunction(TypedDict):
    """What tuning found of one compiled function.

    Attributes:
        name: of the function.
        calls: how often a picture of the model's default steps calls it.
        before: milliseconds of a call with the variants that run without tuning.
        after: milliseconds of a call with those that were found.
        kernels: kernels that were timed, and in how many of them another variant runs now.
        changed: see ``kernels``.
        complete: whether all of its kernels were timed before the time was up.
    """

    name: str
    calls: int
    before: float
    after: float
    kernels: int
    changed: int
    complete: bool


@_open
class TuneReport(TypedDict):
    """What tuning found of a model on a GPU.

    Attributes:
        adapter: vendor, architecture, device and description of the GPU.
        functions: those whose kernels were timed.
        kernels: kernels that were timed, and in how many of them another variant runs now.
        changed: see ``kernels``.
        gain: how many times as fast the functions draw a picture of the model's default steps.
        choices: kernel → what was found to be the fastest in it.
        complete: whether all kernels were timed.
        kept: whether the browser keeps it.
        seconds: what the call took.
    """

    adapter: dict[str, str]
    functions: list[TunedFunction]
    kernels: int
    changed: int
    gain: float
    choices: dict[str, VariantChoice]
    complete: bool
    kept: bool
    seconds: float


@_open
class BenchmarkReport(TypedDict):
    """Times of the functions that draw a picture of one size."""

    roofline: Roofline
    stages: list[StageTimes]


@_open
class AdapterDescription(TypedDict):
    """The browser's fastest adapter.

    ``fallback`` tells whether the browser says that it is only a fallback, ``f16`` whether it has
    the feature ``shader-f16``.
    """

    vendor: str
    architecture: str
    description: str
    fallback: bool
    f16: bool


class Feed(TypedDict):
    """One input of an ONNX model; ``bytes`` is its values in row-major order, as uint8."""

    name: str
    dtype: str
    shape: list[int]
    bytes: np.ndarray


class OnnxFiles(TypedDict):
    """Addresses of onnxruntime-web and of the model that it runs."""

    runtime: str
    wasm: str
    model: str


class OnnxModel(OnnxFiles):
    """What is measured; ``repeats`` calls are timed, after one that is not.

    ``weights`` are the names of the files beside the model that hold its weights.
    """

    weights: list[str]
    feeds: list[Feed]
    repeats: int


@_open
class OnnxMeasurement(TypedDict):
    """What was measured of an ONNX model.

    Attributes:
        milliseconds: mean time of one call.
        dtype: of the model's output: ``float16`` or ``float32``.
        bytes: the output of the first call, uint8.
    """

    milliseconds: float
    dtype: str
    bytes: np.ndarray


Answer = TypeVar("Answer")


@functools.cache
def _type_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_answer(kind: type[Answer], answer: object) -> Answer:
    """Return what a page gave as the type that it should be.

    Args:
        kind: a type of this module, or a list of one.
        answer: the value of :meth:`wsd.runtime.automation.Automation.call`.

    Raises:
        RenderError: if it is something else, as it may be of a bundle of another version.
    """
    try:
        found: Answer = _type_adapter(cast(Hashable, kind)).validate_python(answer)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise RenderError(
            f"the page gave something else than {getattr(kind, '__name__', kind)}: "
            f"{place}: {fault['msg']}",
            "build the bundle again with this version of WSD",
        ) from error
    return found
