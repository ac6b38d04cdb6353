"""``python -m training.evaluate_lora``: measure what a LoRA has taught a small model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from training.evaluate import contact_sheet, diffusers_draw, evaluate, held_out_scenes, rates
from training.train_lora import WORDS
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import run_command
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.models.registry import find_family
from wsd.util.files import write_atomically
from wsd.util.progress import Progress

_SHOWN = 6


def measure(
    checkpoint: Checkpoint, lora: Path, word: str, count: int, steps: int, progress: Progress,
    device: str = "cpu",
) -> tuple[dict[str, dict[str, float]], Image.Image]:  # fmt: skip
    """Draw held-out prompts without a LoRA and with it, from the same noise.

    Args:
        checkpoint: the model.
        lora: a file that diffusers loads.
        word: what it teaches.
        count: prompts with the word, and as many without it.
        steps: of each picture.
        progress: shows what has been drawn.
        device: ``cuda`` or ``cpu``, where diffusers draws.

    Returns:
        the share of right pictures, by measure, of prompts with the word drawn ``without`` the
        LoRA and ``with`` it, and of prompts that the model ``knew``, drawn with it; and one image
        with pictures without the LoRA above those with it.
    """
    family = checkpoint.family
    pipeline = load_pipeline(checkpoint).to(device)
    draw = diffusers_draw(family, pipeline, family.guidance_scale, steps, 0)
    new = held_out_scenes(count, word)
    with progress:
        before, plain = evaluate(new, draw, progress, [word])
        pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name)
        after, taught = evaluate(new, draw, progress, [word])
        known, _ = evaluate(held_out_scenes(count), draw, progress, [word])
    found = {"without": rates(before), "with": rates(after), "knew": rates(known)}
    shown = slice(0, _SHOWN)
    images = np.concatenate([plain[shown], taught[shown]])
    return found, contact_sheet([*new[shown], *new[shown]], images)


@click.command()
@click.option("--model", required=True, help="tiny-sd15 or tiny-sdxl.")
@click.option("--word", required=True, type=click.Choice(WORDS), help="What the LoRA teaches.")
@click.option("--lora", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--count", default=60, show_default=True, help="Held-out prompts of each kind.")
@click.option("--steps", default=12, show_default=True)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
@click.option("--json", "figures", type=click.Path(path_type=Path), help="Write the rates here.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet here.")
def main(
    model: str, word: str, lora: Path, count: int, steps: int, device: str,
    figures: Path | None, sheet: Path | None,
) -> None:  # fmt: skip
    """Say how often prompts with a new word are right, without a LoRA and with it."""
    family = find_family(model)
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    found, image = measure(checkpoint, lora, word, count, steps, Progress(), device)
    for kind, measures in found.items():
        print(kind, json.dumps({name: round(value, 3) for name, value in measures.items()}))
    if figures is not None:
        write_atomically(figures, json.dumps(found, indent=2).encode() + b"\n")
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        image.save(sheet)


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.evaluate_lora"))
