"""``wsd reference``: the same picture by diffusers, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from wsd.bundle.quantize import rounded
from wsd.checkpoint.reader import Checkpoint
from wsd.checkpoint.tokenizer import find_tokenizer, load_tokenizer
from wsd.errors import UsageError
from wsd.models.diffusers_pipeline import assemble_pipeline, silence_progress_bars
from wsd.models.registry import Family
from wsd.models.schedulers import build_scheduler, max_steps
from wsd.runtime.request import GenerationRequest
from wsd.spec.parameter import Parameter
from wsd.util.progress import Progress


def load_pipeline(checkpoint: Checkpoint) -> Any:
    """Load a checkpoint as the family's diffusers pipeline, float32, on the CPU."""
    silence_progress_bars()
    pipeline = _assemble(checkpoint) if checkpoint.is_single_file else _read(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _read(checkpoint: Checkpoint) -> Any:
    """Return the pipeline of a diffusers folder."""
    import diffusers

    family = checkpoint.family
    # Only the first pipeline has one, and complains when it is taken away unasked.
    more = {"safety_checker": None} if family.pipeline == "StableDiffusionPipeline" else {}
    return getattr(diffusers, family.pipeline).from_pretrained(
        checkpoint.path, dtype=torch.float32, local_files_only=True, **more
    )


def _assemble(checkpoint: Checkpoint) -> Any:
    """Return the pipeline of a single file, which diffusers would read with files of the hub."""
    parts: dict[str, Any] = {}
    for component in checkpoint.family.components:
        parts[component.name] = checkpoint.load(component)
    for entry in checkpoint.family.tokenizers:
        parts[entry.name] = load_tokenizer(
            *find_tokenizer(checkpoint.path, entry, checkpoint.tokenizer)
        )
    return assemble_pipeline(checkpoint.family, parts)


def round_weights(pipeline: Any, parameters: Mapping[str, Iterable[Parameter]]) -> None:
    """Round a pipeline's weights in place, as the compiled functions see them.

    Args:
        pipeline: of :func:`load_pipeline`, on any device.
        parameters: component → those of its parameters that are read.
    """
    with torch.no_grad():
        for component, stored in parameters.items():
            state = dict(getattr(pipeline, component).named_parameters())
            for parameter in stored:
                tensor = state[parameter.name]
                tensor.copy_(rounded(parameter, tensor))


def draw_reference(
    family: Family,
    pipeline: Any,
    drawing: GenerationRequest,
    progress: Progress,
    latents: torch.Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures with diffusers; the pipeline's scheduler is replaced.

    Args:
        family: the zoo's entry.
        pipeline: of :func:`load_pipeline`, on any device.
        drawing: what to draw.
        progress: told the steps.
        latents: what to start from, in place of the seed's noise.

    Returns:
        (images (images, height, width, 3) uint8, final latents as flat float32).
    """
    steps = drawing.steps or family.steps
    guidance = family.guidance_scale if drawing.guidance_scale is None else drawing.guidance_scale
    width, height = drawing.size or family.sizes[0]
    pipeline.scheduler = build_scheduler(family, drawing.scheduler)
    if steps > (most := max_steps(pipeline.scheduler)):
        raise UsageError(f"steps is {steps}", f"this scheduler takes 1 to {most}")
    kept: dict[str, torch.Tensor] = {}

    def on_step(_pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        kept["latents"] = tensors["latents"]
        progress.report("denoise", step + 1, steps)
        return tensors

    with progress:
        drawn = pipeline(
            prompt=drawing.prompt,
            negative_prompt=drawing.negative_prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(drawing.seed),
            width=width,
            height=height,
            latents=latents,
            output_type="np",
            eta=drawing.eta,
            num_images_per_prompt=drawing.images,
            callback_on_step_end=on_step,
        )
    images = (drawn.images * 255).round().astype(np.uint8)
    return images, kept["latents"].cpu().numpy().ravel()
