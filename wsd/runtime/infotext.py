"""Settings as text, in the form of AUTOMATIC1111's web UI: the page writes the same.

``web/src/settings/infotext.ts`` writes the same text in the page, and reads it. A test compares the
two.
"""

from __future__ import annotations

import json
import re

import numpy as np

from wsd.models.schedulers import SCHEDULERS
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.prompt_syntax import has_syntax
from wsd.runtime.request import GenerationRequest, GuidanceInterval, SkipLayerGuidance

_WEB_UI = "A1111"
# Characters for which a value stands in quotation marks.
_SEPARATORS = re.compile(r"[,:\n]|^\s|\s$|^\"|^$")
# What the conditions are called, and what stands between their two numbers.
_CONDITIONS = {
    "original_size": ("Original size", "x"),
    "crop_top_left": ("Crop top left", " "),
    "target_size": ("Target size", "x"),
    "negative_original_size": ("Negative original size", "x"),
    "negative_crop_top_left": ("Negative crop top left", " "),
    "negative_target_size": ("Negative target size", "x"),
}


def format_settings(
    request: GenerationRequest, model: str, picture: GivenPicture | None = None
) -> list[str]:
    """Return the text for each picture of a request.

    Args:
        request: what was drawn; all of its options are set, but perhaps the negative prompt.
        model: the model's name.
        picture: what was drawn from, if not the prompt alone.

    Raises:
        ValueError: if an option is left to the model's default.
    """
    if None in (request.steps, request.scheduler, request.guidance_scale, request.eta):
        raise ValueError("options that are left to the model cannot be written")
    if request.size is None:
        raise ValueError("a size that is left to the model cannot be written")
    sampler, schedule = _name_sampler(str(request.scheduler))
    width, height = request.size
    before = [
        f"Steps: {request.steps}",
        f"Sampler: {sampler}",
        *([f"Schedule type: {schedule}"] if schedule else []),
        f"CFG scale: {_number(request.guidance_scale)}",
        f"Seed: {request.seed}",
        f"Size: {width}x{height}",
        f"Model: {_quote(model)}",
        "RNG: CPU",
        f"Eta DDIM: {_number(request.eta)}",
    ]
    after = _pairs_of_prompt(request)
    if picture is not None:
        after += _pairs_of_picture(picture)
    negative = request.negative_prompt
    words = [request.prompt, *([] if negative is None else [f"Negative prompt: {negative}"])]
    count = request.images
    return [
        "\n".join([*words, ", ".join([*before, *_pairs_of_batch(index, count), *after])])
        for index in range(count)
    ]


def _name_sampler(scheduler: str) -> tuple[str, str]:
    """Return the web UI's name of a scheduler and its schedule type; its own if it has none."""
    named = SCHEDULERS[scheduler].samplers
    names = ((sampler, schedule) for program, sampler, schedule in named if program == _WEB_UI)
    return next(names, (scheduler, ""))


def _pairs_of_batch(index: int, count: int) -> list[str]:
    if count == 1:
        return []
    return [f"Batch size: {count}", f"Batch pos: {index}", f"Picture: {index + 1} of {count}"]


def _pairs_of_prompt(request: GenerationRequest) -> list[str]:
    second, negative = request.prompt2, request.negative_prompt2
    third, third_negative = request.prompt3, request.negative_prompt3
    texts = (request.prompt, second, third, request.negative_prompt, negative, third_negative)
    # Other programs read weights in every prompt.
    matters = request.prompt_syntax != "plain" or any(has_syntax(text or "") for text in texts)
    rescale = request.guidance_rescale
    return [
        *([f"Prompt syntax: {request.prompt_syntax}"] if matters else []),
        *([] if second is None else [f"Prompt 2: {_quote(second)}"]),
        *([] if negative is None else [f"Negative prompt 2: {_quote(negative)}"]),
        *([] if third is None else [f"Prompt 3: {_quote(third)}"]),
        *([] if third_negative is None else [f"Negative prompt 3: {_quote(third_negative)}"]),
        *([f"CFG rescale: {_number(rescale)}"] if rescale > 0 else []),
        *_pairs_of_interval(request.guidance_interval),
        *([f"Cache interval: {request.cache_interval}"] if request.cache_interval > 1 else []),
        *_pairs_of_skip_layers(request.skip_layers),
        # The web UI counts the layer at which it stops, from the last one.
        *([f"Clip skip: {request.clip_skip + 1}"] if request.clip_skip else []),
        *(
            f"{_CONDITIONS[name][0]}: {_CONDITIONS[name][1].join(map(str, pair))}"
            for name, pair in request.conditions.given().items()
        ),
    ]


def _pairs_of_interval(interval: GuidanceInterval) -> list[str]:
    if interval.is_whole:
        return []
    return [
        f"Guidance start: {_number(interval.start)}",
        f"Guidance stop: {_number(interval.stop)}",
    ]


def _pairs_of_skip_layers(skip: SkipLayerGuidance | None) -> list[str]:
    if skip is None:
        return []
    return [
        f"Skip guidance layers: {' '.join(map(str, skip.layers))}",
        f"Skip layer guidance scale: {_number(skip.scale)}",
        f"Skip layer guidance start: {_number(skip.start)}",
        f"Skip layer guidance stop: {_number(skip.stop)}",
    ]


def _pairs_of_picture(picture: GivenPicture) -> list[str]:
    masked = ["Mask blur: 0", "Masked content: original", "Inpaint area: Whole picture"]
    given = "image" if picture.mask is None else "image, mask"
    return [
        f"Denoising strength: {_number(picture.strength)}",
        *([] if picture.mask is None else masked),
        f"Fit: {picture.fit}",
        f"Given: {_quote(given)}",
    ]


def _number(value: float | None) -> str:
    """Return a number as JavaScript writes it: 7 for 7.0."""
    return str(np.format_float_positional(value or 0, trim="-"))


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if _SEPARATORS.search(value) else value
