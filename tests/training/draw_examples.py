"""``python -m training.draw_examples``: draw the examples that ship with the small models."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from wsd.bundle.example_pictures import hash_weights
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import run_command
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.models.registry import find_family
from wsd.models.schedulers import SCHEDULERS, describe_schedulers
from wsd.runtime.png import write_pngs
from wsd.runtime.request import GenerationRequest
from wsd.util.files import write_folder_atomically
from wsd.util.progress import Progress

# From its seed a model draws what each of the prompts says.
SEEDS = {"tiny-sd15": 1, "tiny-sdxl": 1, "tiny-sd35": 3}
# Numbers of the prompts among the family's, in the page's order: three beside each other.
CHOSEN = (0, 1, 2, 5, 6, 4)


def describe(checkpoint: Checkpoint, request: GenerationRequest) -> str:
    """Return the settings of a picture as the page writes them (web/src/settings/infotext.ts)."""
    family = checkpoint.family
    width, height = family.sizes[0]
    own = describe_schedulers(checkpoint.scheduler, checkpoint.default_scheduler).default
    names = [name for name in SCHEDULERS[own].samplers if name[0] == "A1111"]
    _, sampler, schedule = names[0] if names else ("WSD", own, "")
    pairs = {
        "Steps": f"{family.steps}",
        "Sampler": sampler,
        **({"Schedule type": schedule} if schedule else {}),
        "CFG scale": f"{family.guidance_scale:g}",
        "Seed": f"{request.seed}",
        "Size": f"{width}x{height}",
        "Model hash": hash_weights(checkpoint),
        "Model": family.name,
        "RNG": "CPU",
        "Eta DDIM": f"{family.eta:g}",
    }
    return f"{request.prompt}\n" + ", ".join(f"{key}: {value}" for key, value in pairs.items())


def draw_examples(checkpoint: Checkpoint, out: Path) -> None:
    """Draw the examples with diffusers, as PNGs that carry their settings.

    Args:
        checkpoint: one of the small models.
        out: a folder that does not exist.
    """
    pipeline, seed = load_pipeline(checkpoint), SEEDS[checkpoint.family.name]
    with write_folder_atomically(out) as folder:
        for number, index in enumerate(CHOSEN, start=1):
            request = GenerationRequest(checkpoint.family.examples[index], seed=seed)
            images, _ = draw_reference(checkpoint, pipeline, request, Progress())
            write_pngs(images, folder / f"{number}.png", [describe(checkpoint, request)])


@click.command()
@click.option("--model", required=True, help="tiny-sd15, tiny-sdxl or tiny-sd35.")
@click.option("--weights", help="A diffusers folder; the one that ships with WSD unless given.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
def main(model: str, weights: str | None, out: Path) -> None:
    """Draw a small model's examples; they belong in its folder, as example-pictures."""
    family = find_family(model)
    checkpoint = open_checkpoint(choose_checkpoint(family, weights, None), family)
    draw_examples(checkpoint, out)


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.draw_examples"))
