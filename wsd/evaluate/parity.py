"""``wsd parity``: compare a bundle with PyTorch on this machine, stage by stage.

The bundle runs on this machine's WebGPU adapter. diffusers runs the same checkpoint in float32, on
the GPU if PyTorch finds one and on the CPU otherwise. The reference's weights are rounded as the
bundle stores them, so that the compiled code is compared and not the rounding; the cost of rounding
is a line of its own.

How exact the final latents must be depends on the scheduler and the number of steps
(:func:`wsd.spec.tolerances.latents_tolerance`): with few steps, one prediction decides them.

The end of a trajectory tells little if the trajectory is chaotic, because then any two programs end
far apart. So the reference also starts from noise that is changed by a millionth, and the report
says how many times larger the difference is at the end.

With a picture to draw from, the trajectory is that of diffusers' pipeline for pictures, or for
pictures and masks, and the memory that is compared is that of drawing from a picture.
"""

from __future__ import annotations

import gc
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.merged_adapters import check_adapters
from wsd.bundle.verify import check_bundle
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.evaluate.diffusers_reference import (
    draw_reference,
    load_pipeline,
    restored_level,
    round_weights,
)
from wsd.evaluate.encoder_output import encoded_planes
from wsd.evaluate.error_growth import weigh_predictions
from wsd.evaluate.metrics import psnr, relative_error
from wsd.evaluate.safety_reference import Decision, SafetyReference, differ_most
from wsd.evaluate.tiled_decode import Tiled, decode_tiles, encode_tiles
from wsd.evaluate.weighted_prompts import encode_prompt
from wsd.models.family import Family
from wsd.models.schedulers import MAX_STEPS, noise_kind
from wsd.runtime.driver import (
    LoadOptions,
    OpenHost,
    Rendered,
    StageRenderer,
    open_stage_renderer,
    prepare_stages,
)
from wsd.runtime.given_picture import MASKED_FROM, GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.runtime.settings import check_settings, planned_peak, tile_of, with_ways
from wsd.runtime.text_encoder_choice import choose_encoders
from wsd.runtime.validation import check_picture
from wsd.spec.inference_settings import DiffusionSettings
from wsd.spec.manifest import Manifest
from wsd.spec.roles import BLOCK_SCALES, DENOISER, SAFETY_CHECKER, VAE_ENCODER
from wsd.spec.tensor import Size
from wsd.spec.tolerances import (
    PEAK_MEMORY_MARGIN,
    PICTURE_PSNR,
    ROUNDING_PSNR,
    SAFETY_TOLERANCE,
    STAGE_TOLERANCE,
    latents_tolerance,
)
from wsd.util.progress import Progress

# Timestep of the single call of the denoiser, of 1000.
_TIMESTEP = 500
# Relative change of the initial noise that shows how chaotic the trajectory is.
_NUDGE = 1e-6
# Steps of the pictures whose memory is measured; more steps do not take more memory.
_BRIEF_STEPS = 2


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: name of the comparison.
        value: what was measured, in ``unit``.
        unit: ``relative``, ``dB``, ``bytes``, ``ms``, ``times``, ``of 255``, ``score`` or
            ``pictures``.
        limit: the most that the value may be, the least for dB; None if there is no limit.
    """

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def good(self) -> bool:
        """Tell whether the value is within the limit; NaN never is."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.unit == "dB" else self.value <= self.limit


@dataclass(frozen=True)
class Encoded:
    """What the reference's encoder gives for its picture: encoded whole, and in tiles."""

    whole: np.ndarray
    tiled: np.ndarray


@dataclass(frozen=True)
class Expected:
    """What the reference computed: inputs and results of each stage, float32."""

    inputs: dict[str, np.ndarray]
    text: dict[str, np.ndarray]
    noise: np.ndarray
    image: np.ndarray
    latents: np.ndarray
    picture: np.ndarray
    unrounded_picture: np.ndarray
    amplification: float
    error_weight: float
    tiled: Tiled
    encoded: Encoded | None
    safety: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class FindingReport:
    """A line of the report as ``--json`` has it; see :class:`Finding`."""

    what: str
    value: float
    unit: str
    limit: float | None
    good: bool


@dataclass(frozen=True)
class ParityReport:
    """What ``wsd parity --json`` writes.

    Attributes:
        adapter: vendor, architecture and description of the GPU, as WebGPU gives them.
        reference: where the reference ran, with PyTorch's version.
        findings: the lines of the report.
    """

    adapter: dict[str, str]
    reference: str
    findings: tuple[FindingReport, ...]


@dataclass(frozen=True)
class Comparison:
    """A whole comparison.

    Attributes:
        findings: the lines of the report.
        adapter: vendor, architecture and description of the GPU, as WebGPU tells them.
        device: where the reference ran.
        pictures: the reference's and the bundle's, (2, height, width, 3) uint8.
    """

    findings: tuple[Finding, ...]
    adapter: dict[str, str]
    device: str
    pictures: np.ndarray

    @property
    def good(self) -> bool:
        """Tell whether every value is within its limit."""
        return all(finding.good for finding in self.findings)

    def report(self) -> ParityReport:
        """Return what ``--json`` writes."""
        findings = tuple(
            FindingReport(finding.what, finding.value, finding.unit, finding.limit, finding.good)
            for finding in self.findings
        )
        return ParityReport(self.adapter, self.device, findings)


def compare(
    bundle: Path,
    checkpoint: Checkpoint,
    request: GenerationRequest,
    open_host: OpenHost,
    progress: Progress,
    low_memory: Sequence[LoadOptions] | None = None,
    model: str | None = None,
    picture: GivenPicture | None = None,
    settings: DiffusionSettings | None = None,
    options: LoadOptions | None = None,
) -> Comparison:
    """Compare a bundle's model with the checkpoint that it was built from.

    Args:
        bundle: a bundle's folder.
        checkpoint: the weights of one of its models.
        request: the picture whose trajectory is compared.
        open_host: opens a page, in Chromium or in Node.js.
        progress: shows what has been done.
        low_memory: options of further runs, which draw in less memory; all that the picture's
            size has unless given.
        model: its name in the bundle; that of the checkpoint's family unless given.
        picture: what the request is drawn from, if not from its prompt alone; it is fitted to the
            drawn size.
        settings: the tiles that are compared, and what is evicted where stages are offloaded.
        options: how the model is loaded each time: its kernels, the rules that do not count, and
            whether text encoders that can be left out are loaded, and are in the checkpoint.

    Raises:
        BundleError: if the folder is not a bundle, or one of its files is not what was built.
        UsageError: if it is of another model, has other adapters merged in, or cannot draw that.
        RenderError, ToolError: if the page cannot draw.
    """
    model = model or checkpoint.family.name
    usual = options or LoadOptions()
    manifest = choose_encoders(read_manifest(find_manifest(bundle, model)), usual.text_encoder_3)
    request, picture = check_picture(manifest, request, picture)
    size = request.size or manifest.defaults.size
    if settings is not None:
        check_settings(manifest, settings, size)
    check_adapters(manifest, checkpoint)
    # The bundle may have been built for fewer chunks of a prompt.
    family = replace(checkpoint.family, prompt_chunks=manifest.prompt_chunks)
    checkpoint = replace(checkpoint, family=family)
    check_bundle(bundle)
    prepare_stages(bundle, manifest, open_host)
    drawn_from = picture is not None
    expected, device = _expect(checkpoint, manifest, request, size, progress, picture, settings)
    findings: list[Finding] = []
    resident_way = _with_settings(usual, settings)
    with open_stage_renderer(bundle, progress, resident_way, open_host, model) as renderer:
        findings += _stages(renderer, request, size, expected, _name_denoiser(family))
        drawn = renderer.draw(request, picture=picture)
        findings += _trajectory(drawn, expected, manifest.model.dtype)
        findings += [Finding(f"time: {name}", ms, "ms") for name, ms in drawn.timings.items()]
        findings += _memory(manifest, size, resident_way, renderer, image=drawn_from)
        brief = _shorten(request, picture)
        resident = renderer.draw(brief, picture=picture).latents
        findings += _encoding(manifest, size, resident_way, renderer, expected)
        findings += _safety(manifest, size, resident_way, renderer, expected)
    # A picture that is encoded in tiles has other latents than one that is encoded whole.
    ends = {False: resident} if drawn_from else {False: resident, True: resident}
    for low in _low_memory_options(manifest, size) if low_memory is None else low_memory:
        way = _with_settings(replace(usual, offload=low.offload, tiling=low.tiling), settings)
        with open_stage_renderer(bundle, progress, way, open_host, model) as renderer:
            again = renderer.draw(brief, picture=picture)
            findings += _memory(manifest, size, way, renderer, image=drawn_from)
            if (end := ends.setdefault(way.tiling, again.latents)) is not again.latents:
                error = relative_error(again.latents, end)
                what = f"{_describe_options(way)}: latents"
                findings.append(Finding(what, error, "relative", 0))
            if way.tiling:
                tiled = renderer.decode_latents(expected.latents, size)
                error = relative_error(tiled, expected.tiled.image)
                what = f"{_describe_options(way)}: decoded"
                findings.append(Finding(what, error, "relative", STAGE_TOLERANCE))
            findings += _encoding(manifest, size, way, renderer, expected)
            findings += _safety(manifest, size, way, renderer, expected)
    pictures = np.stack([expected.picture, drawn.images[0]])
    return Comparison(tuple(findings), drawn.adapter, device, pictures)


def _name_denoiser(family: Family) -> str:
    name = family.component(DENOISER).id
    return "UNet" if name == "unet" else name


def _shorten(request: GenerationRequest, picture: GivenPicture | None) -> GenerationRequest:
    """Return a request with few steps; with a picture, with so many that some of them are run."""
    if picture is None:
        return replace(request, steps=_BRIEF_STEPS)
    steps = math.ceil(_BRIEF_STEPS / picture.strength)
    return request if steps > MAX_STEPS else replace(request, steps=steps)


def _low_memory_options(manifest: Manifest, size: Size) -> list[LoadOptions]:
    """Return every way to draw a size in less memory."""
    return [
        LoadOptions(peak.offload, peak.tiling)
        for peak in manifest.peak_bytes
        if peak.size == size and (peak.offload or peak.tiling)
    ]


def _with_settings(options: LoadOptions, settings: DiffusionSettings | None) -> LoadOptions:
    """Return load options with settings that say the same of offloading and tiling."""
    if settings is None:
        return options
    given = with_ways(settings, offload=options.offload, tiling=options.tiling)
    return replace(options, settings=given)


def _plan(
    manifest: Manifest, size: Size, options: LoadOptions, *, image: bool, checked: bool = False
) -> int:
    """Return the most GPU memory that is planned for a way of drawing, in bytes."""
    if options.settings is not None:
        return planned_peak(manifest, options.settings, size, image=image, safety_checker=checked)
    return manifest.peak(
        size, offload=options.offload, tiling=options.tiling, image=image, safety_checker=checked
    )


def _expect(
    checkpoint: Checkpoint,
    manifest: Manifest,
    request: GenerationRequest,
    size: Size,
    progress: Progress,
    picture: GivenPicture | None,
    settings: DiffusionSettings | None = None,
) -> tuple[Expected, str]:
    """Run the reference; returns its results and where it ran."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # TF32 has 10 bits of mantissa, too few for a reference.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    expected = _run_reference(
        checkpoint, manifest, request, size, device, progress, picture, settings
    )
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    # Free the GPU's memory: the page needs it next.
    gc.collect()
    torch.cuda.empty_cache()
    return expected, f"{name}, torch {torch.__version__}, float32"


def _run_reference(
    checkpoint: Checkpoint,
    manifest: Manifest,
    request: GenerationRequest,
    size: Size,
    device: str,
    progress: Progress,
    picture: GivenPicture | None,
    settings: DiffusionSettings | None,
) -> Expected:
    space = checkpoint.family.latent_space
    pipeline = load_pipeline(checkpoint).to(device)

    def draw(**options: Any) -> tuple[np.ndarray, np.ndarray]:
        return draw_reference(checkpoint, pipeline, request, progress, picture=picture, **options)

    unrounded, _ = draw()
    round_weights(pipeline, manifest.storages())
    images, latents = draw()
    start = torch.randn(space.shape(size), generator=torch.Generator().manual_seed(1))
    if picture is None:
        change = torch.randn(start.shape, generator=torch.Generator().manual_seed(2))
        begins = (start, start + _NUDGE * change)
        ends = [draw(latents=begin.to(device))[1] for begin in begins]
    else:
        ends = [latents, draw(nudge=_NUDGE)[1]]

    def decode(latents: np.ndarray) -> np.ndarray:
        unscaled = space.unscale(torch.tensor(latents, device=device))
        image: np.ndarray = pipeline.vae.decode(unscaled).sample.cpu().numpy()
        return image

    def encode(image: np.ndarray) -> np.ndarray:
        """Return what the encoder gives for a picture (3, height, width), -1 to 1."""
        given = torch.tensor(image[None], dtype=torch.float32, device=device)
        planes: np.ndarray = encoded_planes(pipeline.vae.encode(given))[0].cpu().numpy()
        return planes

    with torch.no_grad():
        text = _encode(pipeline, checkpoint, request, device)
        inputs = _make_denoiser_inputs(checkpoint, manifest, request, start, text, size)
        inputs |= _make_mask_inputs(manifest, picture, size)
        noise = _predict(pipeline, {k: torch.tensor(v, device=device) for k, v in inputs.items()})
        image = decode(start.numpy())
        edge, overlap = tile_of(manifest, settings)
        tiled = decode_tiles(
            lambda cut: decode(cut[None])[0],
            latents.reshape(space.shape(size)[1:]),
            edge,
            space.scale_factor,
            overlap,
        )
        encoded = None
        if manifest.entries(VAE_ENCODER):
            # As diffusers' VaeImageProcessor brings a picture to the model's range.
            scaled = 2 * (np.moveaxis(images[0], -1, 0).astype(np.float32) / 255) - 1
            whole = in_tiles = encode(scaled)
            if any(peak.tiling for peak in manifest.peak_bytes if peak.size == size):
                in_tiles = encode_tiles(encode, scaled, edge, space.scale_factor, overlap)
            encoded = Encoded(whole, in_tiles)
    return Expected(
        inputs=inputs,
        text=text,
        noise=noise,
        image=image,
        latents=latents,
        picture=images[0],
        unrounded_picture=unrounded[0],
        amplification=relative_error(ends[1], ends[0]) / _NUDGE,
        error_weight=weigh_predictions(
            checkpoint.scheduler,
            request.scheduler or checkpoint.default_scheduler,
            request.steps or checkpoint.family.steps,
            checkpoint.family.eta if request.eta is None else request.eta,
            None
            if picture is None
            else picture.count_steps(
                request.steps or checkpoint.family.steps, noise_kind(checkpoint.scheduler)
            ),
            space.tokens(size),
        ),
        tiled=tiled,
        encoded=encoded,
        safety=_expect_safety(checkpoint, manifest, images[0]),
    )


def _expect_safety(
    checkpoint: Checkpoint, manifest: Manifest, picture: np.ndarray
) -> tuple[Decision, ...]:
    """Return what the reference says of the pictures that are checked; nothing without a checker.

    Args:
        checkpoint: with the safety checker that the bundle was built with.
        manifest: of the bundle.
        picture: what the reference drew.
    """
    if checkpoint.safety_checker is None or manifest.safety_checker is None:
        return ()
    reference = SafetyReference(checkpoint, manifest.storages()[SAFETY_CHECKER])
    return tuple(reference.check(_checked_pictures(picture)))


def _checked_pictures(picture: np.ndarray) -> list[np.ndarray]:
    """Return what is checked: a picture, its negative, one half of it, and noise."""
    noise = np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8)
    return [picture, 255 - picture, picture[:, : picture.shape[1] // 2], noise]


def _safety(
    manifest: Manifest, size: Size, options: LoadOptions, renderer: StageRenderer,
    expected: Expected,
) -> Iterator[Finding]:  # fmt: skip
    """Compare the safety checker's decisions and scores, and the memory that it takes."""
    if not expected.safety:
        return
    reports = [renderer.check_picture(each) for each in _checked_pictures(expected.picture)]
    found = [
        Decision(
            report["flagged"],
            np.array(report["conceptScores"], np.float32),
            np.array(report["specialScores"], np.float32),
        )
        for report in reports
    ]
    way = _describe_options(options)
    pairs = zip(found, expected.safety, strict=True)
    others = sum(one.flagged != other.flagged for one, other in pairs)
    yield Finding(f"{way}: decided otherwise", others, "pictures", 0)
    error = differ_most(found, expected.safety)
    yield Finding(f"{way}: safety scores", error, "score", SAFETY_TOLERANCE)
    measured = renderer.usage()["peakGpuBytes"]
    image = bool(manifest.entries(VAE_ENCODER))
    planned = _plan(manifest, size, options, image=image, checked=True)
    yield Finding(f"{way}: peak memory, checked", measured, "bytes", PEAK_MEMORY_MARGIN * planned)


def _encode(
    pipeline: Any, checkpoint: Checkpoint, request: GenerationRequest, device: str
) -> dict[str, np.ndarray]:
    """Return what conditions the denoiser, by the names of its inputs in the manifest."""
    if request.prompt_syntax != "plain":
        family = checkpoint.family
        weighted = encode_prompt(
            pipeline,
            family.conditioning,
            request.texts(),
            clip_skip=request.clip_skip,
            chunks=family.prompt_chunks,
        )
        named = {"text_embeddings": weighted.embeddings}
        if weighted.pooled is not None:
            named["pooled_text"] = weighted.pooled
        return {name: tensor.cpu().numpy() for name, tensor in named.items()}
    family = checkpoint.family
    others: dict[str, Any] = {"prompt_2": request.prompt2, "prompt_3": request.prompt3}
    needed = inspect.signature(pipeline.encode_prompt).parameters
    with restored_level(pipeline):
        encoded = pipeline.encode_prompt(
            request.prompt,
            device=device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
            # Stable Diffusion 3's pipeline takes a prompt for each encoder; None is the first one.
            **{name: text for name, text in others.items() if name in needed},
            **({"clip_skip": request.clip_skip} if request.clip_skip else {}),
            **family.architecture.call_options(family),
        )
    named = {"text_embeddings": encoded[0]}
    if len(encoded) > 2:
        named["pooled_text"] = encoded[2]
    return {name: tensor.cpu().numpy() for name, tensor in named.items()}


def _make_denoiser_inputs(
    checkpoint: Checkpoint,
    manifest: Manifest,
    request: GenerationRequest,
    latents: torch.Tensor,
    text: dict[str, np.ndarray],
    size: Size,
) -> dict[str, np.ndarray]:
    family = checkpoint.family
    constant = family.architecture.constant_inputs(family, size, request.guidance_scale)
    known = {
        "latents": latents.numpy(),
        "timestep": np.array([_TIMESTEP], np.float32),
        **{name: np.array([values], np.float32) for name, values in constant.items()},
        **text,
    }
    if request.skip_layers is not None:
        known[BLOCK_SCALES][0, list(request.skip_layers.layers)] = 0
    (denoiser,) = manifest.entries(DENOISER, size)
    return {spec.name: known[spec.name] for spec in denoiser.inputs if spec.name in known}


def _make_mask_inputs(
    manifest: Manifest, picture: GivenPicture | None, size: Size
) -> dict[str, np.ndarray]:
    """Return what a UNet of 9 channels takes beside the latents; nothing for other UNets.

    The mask is the picture's, and the latents of what is kept are random numbers.
    """
    (denoiser,) = manifest.entries(DENOISER, size)
    shapes = {spec.name: spec.shape for spec in denoiser.inputs}
    if "mask" not in shapes or picture is None or picture.mask is None:
        return {}
    factor = manifest.latent_space.scale_factor
    mask = (picture.mask[::factor, ::factor] >= MASKED_FROM).astype(np.float32)
    kept = torch.randn(shapes["masked_latents"], generator=torch.Generator().manual_seed(3))
    return {"mask": mask.reshape(shapes["mask"]), "masked_latents": kept.numpy()}


def _predict(pipeline: Any, given: dict[str, torch.Tensor]) -> np.ndarray:
    if hasattr(pipeline, "transformer"):
        flow: np.ndarray = (
            pipeline.transformer(
                given["latents"],
                given["text_embeddings"],
                given["pooled_text"],
                given["timestep"],
                skip_layers=(given[BLOCK_SCALES][0] == 0).nonzero().flatten().tolist()
                if BLOCK_SCALES in given
                else None,
            )
            .sample.cpu()
            .numpy()
        )
        return flow
    added = {"text_embeds": given.get("pooled_text"), "time_ids": given.get("time_ids")}
    joined = [given[name] for name in ("latents", "mask", "masked_latents") if name in given]
    noise: np.ndarray = (
        pipeline.unet(
            torch.cat(joined, dim=1),
            _TIMESTEP,
            given["text_embeddings"],
            timestep_cond=given.get("timestep_cond"),
            added_cond_kwargs=added if "pooled_text" in given else None,
        )
        .sample.cpu()
        .numpy()
    )
    return noise


def _stages(
    renderer: StageRenderer, request: GenerationRequest, size: Size, expected: Expected,
    denoiser: str,
) -> Iterator[Finding]:  # fmt: skip
    """Compare each stage on the reference's inputs; ``denoiser`` is what the report calls it."""
    found = renderer.encode_text(
        request.prompt,
        request.prompt2,
        request.prompt_syntax,
        request.clip_skip,
        request.prompt3,
    )
    for name, states in expected.text.items():
        error = relative_error(found[name], states)
        yield Finding(f"text encoders: {name}", error, "relative", STAGE_TOLERANCE)
    noise = renderer.predict_noise(expected.inputs, size)
    error = relative_error(noise, expected.noise)
    yield Finding(f"one {denoiser} step", error, "relative", STAGE_TOLERANCE)
    image = renderer.decode_latents(expected.inputs["latents"], size)
    error = relative_error(image, expected.image)
    yield Finding("VAE decode", error, "relative", STAGE_TOLERANCE)


def _trajectory(drawn: Rendered, expected: Expected, dtype: str) -> Iterator[Finding]:
    """Compare the end of a whole run."""
    error = relative_error(drawn.latents, expected.latents)
    limit = latents_tolerance(expected.error_weight)
    yield Finding("trajectory: latents", error, "relative", limit)
    value = psnr(drawn.images[0], expected.picture)
    yield Finding("trajectory: picture", value, "dB", PICTURE_PSNR)
    value = psnr(drawn.images[0], expected.unrounded_picture)
    yield Finding("picture by unrounded weights", value, "dB", ROUNDING_PSNR[dtype])
    yield Finding("reference: a nudge grows", expected.amplification, "times")
    yield Finding("reference: seam between tiles", expected.tiled.seam, "of 255", 1)


def _memory(
    manifest: Manifest, size: Size, options: LoadOptions, renderer: StageRenderer, *, image: bool
) -> Iterator[Finding]:
    """Compare the most GPU memory since loading with the manifest's."""
    measured = renderer.usage()["peakGpuBytes"]
    planned = _plan(manifest, size, options, image=image)
    limit = PEAK_MEMORY_MARGIN * planned
    yield Finding(f"{_describe_options(options)}: peak memory", measured, "bytes", limit)


def _encoding(
    manifest: Manifest,
    size: Size,
    options: LoadOptions,
    renderer: StageRenderer,
    expected: Expected,
) -> Iterator[Finding]:
    """Compare the encoder, and the memory that it takes beside what was drawn before."""
    if expected.encoded is None:
        return
    found = renderer.encode_image(expected.picture)
    planes = expected.encoded.tiled if options.tiling else expected.encoded.whole
    error = relative_error(found, planes)
    way = _describe_options(options)
    yield Finding(f"{way}: encoded", error, "relative", STAGE_TOLERANCE)
    measured = renderer.usage()["peakGpuBytes"]
    planned = _plan(manifest, size, options, image=True)
    limit = PEAK_MEMORY_MARGIN * planned
    yield Finding(f"{way}: peak memory with a picture", measured, "bytes", limit)


def _describe_options(options: LoadOptions) -> str:
    """Return how a picture was drawn, for the report."""
    return ("offload" if options.offload else "resident") + (", tiles" if options.tiling else "")


def describe(comparison: Comparison) -> Iterator[str]:
    """Yield the report's lines."""
    adapter = " ".join(value for value in comparison.adapter.values() if value)
    yield f"WebGPU: {adapter}"
    yield f"reference: {comparison.device}"
    for finding in comparison.findings:
        limit = "" if finding.limit is None else f"  limit {finding.limit:.4g}"
        mark = "ok " if finding.good else "BAD"
        yield f"{mark} {finding.what:<36}{finding.value:>14.4g} {finding.unit}{limit}"
