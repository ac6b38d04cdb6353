"""``wsd parity``: a bundle against PyTorch on this machine, stage by stage.

The bundle runs its own code on this machine's WebGPU adapter, and diffusers runs
the same checkpoint in float32 on the GPU that PyTorch finds, or on the CPU. The
reference's weights are rounded as the bundle stores them, so that what is compared
is the compiled code; what rounding itself costs is a line of its own.

A trajectory tells little if it is chaotic: then any two programs end far apart. So
the reference also runs from a start that is nudged by a millionth, and how many
times larger the difference is at the end is a line of the report.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.reader import Checkpoint
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import psnr, relative_error
from wsd.evaluate.tiled_decode import Tiled, decode_tiles
from wsd.runtime.driver import (
    LoadOptions,
    OpenHost,
    Rendered,
    Renderer,
    check_drawing,
    open_renderer,
)
from wsd.runtime.request import GenerationRequest
from wsd.spec.parameter import SCALE, Parameter
from wsd.spec.roles import DENOISER, VAE_DECODER_TILE
from wsd.util.progress import Progress

_TIMESTEP = 500
_NUDGE = 1e-6
# Of the pictures whose memory is measured; more steps take no more of it.
_BRIEF_STEPS = 2
# DESIGN.md, section 5; one stage of full size sums thousands of products.
_STAGE_TOLERANCE = 2e-3
_LATENTS_TOLERANCE = 1e-3
_PICTURE_PSNR = 40.0
_ROUNDING_PSNR = {"f32": 40.0, "f16": 35.0, "w8a16": 30.0}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: which comparison.
        value: what was measured.
        unit: ``relative``, ``dB``, ``bytes``, ``ms``, ``times`` or ``of 255``.
        limit: what it may be at most, for dB at least; None for what is only told.
    """

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def good(self) -> bool:
        """Tell whether the limit is kept; NaN never keeps one."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.unit == "dB" else self.value <= self.limit


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
    tiled: Tiled


@dataclass(frozen=True)
class Comparison:
    """A whole comparison.

    Attributes:
        findings: line by line.
        adapter: what WebGPU says of the GPU.
        device: where the reference ran.
        pictures: reference and bundle, (2, height, width, 3) uint8.
    """

    findings: tuple[Finding, ...]
    adapter: dict[str, str]
    device: str
    pictures: np.ndarray

    @property
    def good(self) -> bool:
        """Tell whether every limit is kept."""
        return all(finding.good for finding in self.findings)

    def report(self) -> dict[str, Any]:
        """Return the object that ``--json`` writes."""
        findings = [{**asdict(finding), "good": finding.good} for finding in self.findings]
        return {"adapter": self.adapter, "reference": self.device, "findings": findings}


def compare(
    bundle: Path,
    checkpoint: Checkpoint,
    drawing: GenerationRequest,
    open_host: OpenHost,
    progress: Progress,
    ways: Sequence[LoadOptions] | None = None,
) -> Comparison:
    """Compare a bundle's model with the checkpoint that it was built from.

    Args:
        bundle: a bundle's folder.
        checkpoint: the weights of one of its models.
        drawing: the picture of the trajectory.
        open_host: how to open a page: in Chromium or in Node.js.
        progress: told what is done.
        ways: further ways to draw, in less memory; all that the size has unless given.

    Raises:
        BundleError: if the folder is not a bundle.
        UsageError: if it is of another model, or cannot draw that.
        RenderError, ToolError: if the page cannot draw.
    """
    model = checkpoint.family.name
    manifest = read_manifest(find_manifest(bundle, model))
    check_drawing(manifest, drawing)
    size = drawing.size or tuple(manifest["defaults"]["size"])
    expected, device = _expect(checkpoint, manifest, drawing, size, progress)
    findings: list[Finding] = []
    with open_renderer(bundle, progress, LoadOptions(), open_host, model) as renderer:
        findings += _stages(renderer, drawing, size, expected)
        drawn = renderer.draw(drawing)
        findings += _trajectory(drawn, expected, manifest["model"]["dtype"])
        findings += [Finding(f"time: {name}", ms, "ms") for name, ms in drawn.timings.items()]
        findings += _memory(manifest, size, LoadOptions(), renderer)
        brief = renderer.draw(replace(drawing, steps=_BRIEF_STEPS))
    for options in _ways(manifest, size) if ways is None else ways:
        with open_renderer(bundle, progress, options, open_host, model) as renderer:
            again = renderer.draw(replace(drawing, steps=_BRIEF_STEPS))
            findings += _memory(manifest, size, options, renderer)
            error = relative_error(again.latents, brief.latents)
            findings.append(Finding(f"{_way(options)}: latents", error, "relative", 0))
            if options.tiling:
                tiled = renderer.decode_latents(expected.latents, size)
                error = relative_error(tiled, expected.tiled.image)
                what = f"{_way(options)}: decoded"
                findings.append(Finding(what, error, "relative", _STAGE_TOLERANCE))
    pictures = np.stack([expected.picture, drawn.images[0]])
    return Comparison(tuple(findings), drawn.adapter, device, pictures)


def _ways(manifest: dict[str, Any], size: tuple[int, ...]) -> list[LoadOptions]:
    """Return the ways to draw this size in less memory."""
    return [
        LoadOptions(peak["offload"], peak["tiling"])
        for peak in manifest["peak_bytes"]
        if tuple(peak["size"]) == size and (peak["offload"] or peak["tiling"])
    ]


def _expect(
    checkpoint: Checkpoint, manifest: dict[str, Any], drawing: GenerationRequest, size: Any,
    progress: Progress,
) -> tuple[Expected, str]:  # fmt: skip
    """Run the reference."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Ten bits of mantissa are no reference.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    pipeline = load_pipeline(checkpoint).to(device)
    unrounded, _ = draw_reference(checkpoint.family, pipeline, drawing, progress)
    round_weights(pipeline, stored_parameters(manifest))
    images, latents = draw_reference(checkpoint.family, pipeline, drawing, progress)
    start = torch.randn(_latent_shape(manifest, size), generator=torch.Generator().manual_seed(1))
    nudged = start + _NUDGE * torch.randn(start.shape, generator=torch.Generator().manual_seed(2))
    ends = [
        draw_reference(checkpoint.family, pipeline, drawing, progress, latents=begin.to(device))[1]
        for begin in (start, nudged)
    ]
    with torch.no_grad():
        text = _encode(pipeline, drawing.prompt, device)
        inputs = _unet_inputs(manifest, start, text, size)
        noise = _predict(pipeline, {k: torch.tensor(v, device=device) for k, v in inputs.items()})
        scaled = start.to(device) / pipeline.vae.config.scaling_factor
        image = pipeline.vae.decode(scaled).sample.cpu().numpy()
        tiled = _decode_tiles(pipeline, manifest, latents, size, device)
    expected = Expected(
        inputs=inputs,
        text=text,
        noise=noise,
        image=image,
        latents=latents,
        picture=images[0],
        unrounded_picture=unrounded[0],
        amplification=relative_error(ends[1], ends[0]) / _NUDGE,
        tiled=tiled,
    )
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    # The page wants the GPU's memory next.
    del pipeline
    gc.collect()
    torch.cuda.empty_cache()
    return expected, f"{name}, torch {torch.__version__}, float32"


def stored_parameters(manifest: dict[str, Any]) -> dict[str, list[Parameter]]:
    """Return component → its parameters, as the bundle stores them."""
    return {
        component: [
            Parameter(record["name"], tuple(record["shape"]), record["dtype"])
            for record in entry["records"]
            if not record["name"].endswith(SCALE)
        ]
        for component, entry in manifest["components"].items()
    }


def _latent_shape(manifest: dict[str, Any], size: Any) -> tuple[int, ...]:
    factor = manifest["latents"]["scale_factor"]
    return (1, manifest["latents"]["channels"], size[1] // factor, size[0] // factor)


def _encode(pipeline: Any, prompt: str, device: str) -> dict[str, np.ndarray]:
    """Return what conditions the UNet, by the manifest's names."""
    encoded = pipeline.encode_prompt(
        prompt, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    named = {"text_embeddings": encoded[0]}
    if len(encoded) > 2:
        named["pooled_text"] = encoded[2]
    return {name: tensor.cpu().numpy() for name, tensor in named.items()}


def _unet_inputs(
    manifest: dict[str, Any], latents: torch.Tensor, text: dict[str, np.ndarray], size: Any
) -> dict[str, np.ndarray]:
    width, height = size
    ids = np.array([[height, width, 0, 0, height, width]], np.float32)
    known = {
        "latents": latents.numpy(),
        "timestep": np.array([_TIMESTEP], np.float32),
        "time_ids": ids,
        **text,
    }
    denoiser = next(e for e in manifest["entry_points"] if e["role"] == DENOISER)
    return {spec["name"]: known[spec["name"]] for spec in denoiser["inputs"]}


def _predict(pipeline: Any, given: dict[str, torch.Tensor]) -> np.ndarray:
    added = {"text_embeds": given.get("pooled_text"), "time_ids": given.get("time_ids")}
    noise: np.ndarray = (
        pipeline.unet(
            given["latents"],
            _TIMESTEP,
            given["text_embeddings"],
            added_cond_kwargs=added if "pooled_text" in given else None,
        )
        .sample.cpu()
        .numpy()
    )
    return noise


def _decode_tiles(
    pipeline: Any, manifest: dict[str, Any], latents: np.ndarray, size: Any, device: str
) -> Tiled:
    (entry,) = (e for e in manifest["entry_points"] if e["role"] == VAE_DECODER_TILE)

    def decode(cut: np.ndarray) -> np.ndarray:
        scaled = torch.tensor(cut[None], device=device) / pipeline.vae.config.scaling_factor
        image: np.ndarray = pipeline.vae.decode(scaled).sample[0].cpu().numpy()
        return image

    shaped = latents.reshape(_latent_shape(manifest, size)[1:])
    tile = entry["outputs"][0]["shape"][-1]
    return decode_tiles(decode, shaped, tile, manifest["latents"]["scale_factor"])


def _stages(
    renderer: Renderer, drawing: GenerationRequest, size: Any, expected: Expected
) -> Iterator[Finding]:
    """Compare each stage on inputs of its own."""
    found = renderer.encode_text(drawing.prompt)
    for name, states in expected.text.items():
        error = relative_error(found[name], states)
        yield Finding(f"text encoders: {name}", error, "relative", _STAGE_TOLERANCE)
    noise = renderer.predict_noise(expected.inputs, size)
    error = relative_error(noise, expected.noise)
    yield Finding("one UNet step", error, "relative", _STAGE_TOLERANCE)
    image = renderer.decode_latents(expected.inputs["latents"], size)
    error = relative_error(image, expected.image)
    yield Finding("VAE decode", error, "relative", _STAGE_TOLERANCE)


def _trajectory(drawn: Rendered, expected: Expected, dtype: str) -> Iterator[Finding]:
    """Compare the end of a whole run."""
    error = relative_error(drawn.latents, expected.latents)
    yield Finding("trajectory: latents", error, "relative", _LATENTS_TOLERANCE)
    value = psnr(drawn.images[0], expected.picture)
    yield Finding("trajectory: picture", value, "dB", _PICTURE_PSNR)
    value = psnr(drawn.images[0], expected.unrounded_picture)
    yield Finding("picture by unrounded weights", value, "dB", _ROUNDING_PSNR[dtype])
    yield Finding("reference: a nudge grows", expected.amplification, "times")
    yield Finding("reference: seam between tiles", expected.tiled.seam, "of 255", 1)


def _memory(
    manifest: dict[str, Any], size: Any, options: LoadOptions, renderer: Renderer
) -> Iterator[Finding]:
    """Compare the peak since loading with the manifest's; it may be a tenth above."""
    measured = renderer.usage()["peakGpuBytes"]
    (planned,) = (
        peak["bytes"]
        for peak in manifest["peak_bytes"]
        if (tuple(peak["size"]), peak["offload"], peak["tiling"])
        == (size, options.offload, options.tiling)
    )
    yield Finding(f"{_way(options)}: peak memory", measured, "bytes", 1.1 * planned)


def _way(options: LoadOptions) -> str:
    """Say how a picture was drawn."""
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
