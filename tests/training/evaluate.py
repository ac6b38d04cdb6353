"""``python -m training.evaluate``: draw held-out prompts and measure how often they are right."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image, ImageDraw

from training.scenes import Scene, scenes, scenes_with
from training.shape_metrics import Score, score
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import run_command
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import (
    cached_within,
    guided_within,
    load_pipeline,
    round_pipeline,
)
from wsd.models.registry import Family, find_family
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.spec.precision import DTYPES
from wsd.util.files import write_atomically
from wsd.util.progress import Progress

# Seed of the prompts. Training takes other seeds, which never yield held-out scenes.
PROMPT_SEED = 2026
_BATCH = 50
_SHEET_COLUMNS = 6

Draw = Callable[[Sequence[str]], np.ndarray]


def held_out_scenes(count: int, word: str | None = None) -> list[Scene]:
    """Return different scenes whose captions are never trained on.

    Args:
        count: how many.
        word: a new colour or shape that each has (:func:`training.scenes.scenes_with`); None for
            scenes of what the models know.
    """
    unique: dict[str, Scene] = {}
    found = (
        scenes(PROMPT_SEED, held_out=True)
        if word is None
        else scenes_with(word, PROMPT_SEED, held_out=True)
    )
    for scene in found:
        unique.setdefault(scene.caption, scene)
        if len(unique) == count:
            break
    return list(unique.values())


def rates(scores: Sequence[Score]) -> dict[str, float]:
    """Return, for each measure, the share of right pictures among those that it applies to."""
    found = {}
    for name in Score.__dataclass_fields__:
        right = [value for one in scores if (value := getattr(one, name)) is not None]
        found[name] = sum(right) / len(right) if right else float("nan")
    found["all"] = sum(False not in asdict(one).values() for one in scores) / len(scores)
    return found


def diffusers_draw(
    family: Family,
    pipeline: Any,
    guidance: float,
    steps: int,
    seed: int,
    interval: GuidanceInterval | None = None,
    cache_interval: int = 1,
) -> Draw:
    """Return a function that draws prompts (n) as images (n, edge, edge, 3) uint8 with diffusers.

    Picture ``n`` of a call starts from ``seed + n``. Guidance has an effect in all steps, or in
    those of an interval; the whole UNet runs every ``cache_interval`` steps.
    """
    width, height = family.sizes[0]

    def draw(prompts: Sequence[str]) -> np.ndarray:
        request = GenerationRequest(
            "", guidance_interval=interval or GuidanceInterval(), cache_interval=cache_interval
        )
        with (
            guided_within(pipeline, request.guidance_interval),
            cached_within(family, pipeline, request),
        ):
            drawn = pipeline(
                list(prompts),
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=[torch.Generator().manual_seed(seed + n) for n in range(len(prompts))],
                width=width,
                height=height,
                output_type="np",
                **family.architecture.call_options(family),
            )
        pictures: np.ndarray = (drawn.images * 255).round().astype(np.uint8)
        return pictures

    return draw


def evaluate(
    scenes: Sequence[Scene], draw: Draw, progress: Progress, new: Collection[str] = ()
) -> tuple[list[Score], np.ndarray]:
    """Draw scenes' captions and score the pictures, (n, edge, edge, 3) uint8.

    ``new`` is as in :func:`training.shape_metrics.find_things`.
    """
    drawn, waiting = [], iter(scenes)
    with progress.stage("draw", total=len(scenes)) as advance:
        while batch := list(islice(waiting, _BATCH)):
            drawn.append(draw([scene.caption for scene in batch]))
            advance(len(batch))
    images = np.concatenate(drawn)
    found = [score(scene, image, new) for scene, image in zip(scenes, images, strict=True)]
    return found, images


def contact_sheet(scenes: Sequence[Scene], images: np.ndarray) -> Image.Image:
    """Return one image with all pictures in rows, each above its prompt."""
    edge = images.shape[1]
    text_height, gap = 56, 8
    rows = -(-len(images) // _SHEET_COLUMNS)
    cell = (edge + gap, edge + text_height + gap)
    sheet = Image.new("RGB", (cell[0] * _SHEET_COLUMNS + gap, cell[1] * rows + gap), "white")
    pen = ImageDraw.Draw(sheet)
    for n, (scene, image) in enumerate(zip(scenes, images, strict=True)):
        x = gap + (n % _SHEET_COLUMNS) * cell[0]
        y = gap + n // _SHEET_COLUMNS * cell[1]
        sheet.paste(Image.fromarray(image), (x, y))
        pen.rectangle((x - 1, y - 1, x + edge, y + edge), outline=(200, 200, 200))
        pen.multiline_text((x, y + edge + 2), _wrapped(pen, scene.caption, edge), "black")
    return sheet


def _wrapped(pen: ImageDraw.ImageDraw, text: str, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


@click.command()
@click.option("--model", required=True, help="tiny-sd15, tiny-sdxl or tiny-sd35.")
@click.option("--weights", help="A diffusers folder; the one that ships with WSD unless given.")
@click.option("--count", default=200, show_default=True, help="Held-out prompts.")
@click.option("--guidance", type=float, help="The model's own unless given; repeatable.",
              multiple=True)  # fmt: skip
@click.option(
    "--interval",
    type=(float, float),
    default=(0.0, 1.0),
    show_default=True,
    help="Shares of the steps after which guidance begins and ends.",
)
@click.option("--cache-interval", type=click.IntRange(1), default=1, show_default=True,
              help="Run the whole UNet in every so many steps alone.")  # fmt: skip
@click.option("--dtype", type=click.Choice(DTYPES), help="Round weights as bundles of it do.")
@click.option("--steps", default=20, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the first picture's noise.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Draw with this bundle's page.")
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
@click.option("--json", "figures", type=click.Path(path_type=Path), help="Write the rates here.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet here.")
def main(
    model: str, weights: str | None, count: int, guidance: tuple[float, ...],
    interval: tuple[float, float], cache_interval: int, dtype: str | None, steps: int, seed: int,
    bundle: Path | None, device: str, figures: Path | None, sheet: Path | None,
) -> None:  # fmt: skip
    """Draw held-out prompts and say how often colour, shape, relation … are right."""
    family = find_family(model)
    if dtype is not None and bundle is not None:
        raise UsageError("--dtype and --bundle exclude each other", "a bundle has its own weights")
    guided = GuidanceInterval(*interval)
    wanted = held_out_scenes(count)
    table = {}
    for scale in guidance or (family.guidance_scale,):
        if bundle is None:
            checkpoint = open_checkpoint(choose_checkpoint(family, weights, None), family)
            pipeline = load_pipeline(checkpoint)
            if dtype is not None:
                round_pipeline(pipeline, family, dtype)
            pipeline.to(device)
            draw = diffusers_draw(family, pipeline, scale, steps, seed, guided, cache_interval)
            found, images = evaluate(wanted, draw, Progress())
        else:
            from training.bundle_sampler import browser_draw

            with browser_draw(bundle, scale, steps, seed, guided, cache_interval) as draw:
                found, images = evaluate(wanted, draw, Progress())
        table[f"{scale:g}"] = {name: round(value, 4) for name, value in rates(found).items()}
        print(f"guidance {scale:g}:", json.dumps(table[f"{scale:g}"]), flush=True)
    if figures is not None:
        report = {
            "model": model, "prompts": count, "steps": steps, "interval": interval,
            "cache_interval": cache_interval,
            "by_guidance": table,
        }  # fmt: skip
        write_atomically(figures, json.dumps(report, indent=2).encode() + b"\n")
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        shown = slice(0, 4 * _SHEET_COLUMNS)
        contact_sheet(wanted[shown], images[shown]).save(sheet)


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.evaluate"))
