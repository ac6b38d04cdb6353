"""``python -m training.train_taesd``: distil a tiny autoencoder from a small model's VAE.

As TAESD was made for Stable Diffusion (github.com/madebyollin/taesd): the encoder learns the
latents that the denoiser takes, and the decoder the pictures that the VAE makes of them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch.nn import functional

from training.dataset import batches, make_data
from training.train_autoencoder import encode
from training.trainer import Inputs, Plan, fit
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import run_command
from wsd.models.instantiate import build_module
from wsd.models.registry import Family, find_family
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.progress import Progress

RECORD = "training.json"
_PLAN = Plan(steps=2_000, batch=8, learning_rate=3e-3, warmup=50)
# Small enough for minutes of one core: no blocks at the size of the whole picture, where they take
# three quarters of the time.
_SIZES = {
    "decoder_block_out_channels": (12,) * 4,
    "num_decoder_blocks": (2, 3, 2, 0),
    "encoder_block_out_channels": (8,) * 4,
    "num_encoder_blocks": (0, 1, 1, 1),
}
# Outlines are few pixels; as in the training of the VAE itself.
_EDGE_WEIGHT = 0.5
_ENCODER_WEIGHT = 0.1
# Pictures that the VAE encodes and decodes at a time.
_ROWS = 16
# Noise on latents, in their own deviation: those that a denoiser makes are not an encoder's.
_NOISE = 0.1


def train_taesd(
    family: Family,
    vae: Any,
    scenes: int,
    plan: Plan,
    seed: int,
    progress: Progress,
) -> Any:
    """Train a tiny autoencoder on the CPU.

    Args:
        family: whose VAE is the teacher.
        vae: the ``AutoencoderKL``.
        scenes: distinct training pictures.
        plan: how long and how fast.
        seed: of everything that is drawn at random.
        progress: called after each step.

    Returns:
        the ``AutoencoderTiny``, float32, in evaluation mode.
    """
    (published,) = family.component("vae_decoder").alternatives
    torch.manual_seed(seed)
    student: Any = build_module(replace(published, config={**published.config, **_SIZES})).train()
    student = student.to(memory_format=torch.channels_last)
    pairs = _make_pairs(family, vae, scenes, seed)
    inputs = _draw_batches(pairs, plan.batch, seed)
    return fit(student, partial(_loss, student), inputs, plan, "tiny autoencoder", "cpu", progress)


@torch.no_grad()
def _make_pairs(family: Family, vae: Any, scenes: int, seed: int) -> Inputs:
    """Return pictures, the latents that the denoiser takes of them, and what the VAE draws."""
    data = make_data(family, scenes, seed)
    edge, space = family.sizes[0][0], family.latent_space
    draw = torch.Generator().manual_seed(seed)
    parts = []
    for rows in torch.split(torch.arange(len(data)), _ROWS):
        pictures = data.pictures(rows, edge, "cpu")
        latents = encode(vae, pictures)
        noisy = latents + _NOISE * torch.randn(latents.shape, generator=draw)
        decoded = vae.decode(space.unscale(noisy)).sample.clamp(-1, 1)
        parts.append((pictures, latents, noisy, decoded))
    names = ("pictures", "latents", "noisy", "decoded")
    return {
        name: torch.cat(some).contiguous(memory_format=torch.channels_last)
        for name, some in zip(names, zip(*parts, strict=True), strict=True)
    }


def _draw_batches(pairs: Inputs, size: int, seed: int) -> Iterator[Inputs]:
    generator = torch.Generator().manual_seed(seed)
    for rows in batches(len(pairs["pictures"]), size, generator):
        yield {name: tensor[rows] for name, tensor in pairs.items()}


def _loss(
    student: Any,
    pictures: torch.Tensor,
    latents: torch.Tensor,
    noisy: torch.Tensor,
    decoded: torch.Tensor,
) -> torch.Tensor:
    drawn = student.decode(noisy).sample
    reconstruction = functional.l1_loss(drawn, decoded)
    outlines = sum(
        functional.l1_loss(drawn.diff(dim=axis), decoded.diff(dim=axis)) for axis in (2, 3)
    )
    encoded = functional.l1_loss(student.encode(pictures).latents, latents)
    total: torch.Tensor = reconstruction + _EDGE_WEIGHT * outlines + _ENCODER_WEIGHT * encoded
    return total


@click.command()
@click.option("--model", required=True, help="tiny-sd15, tiny-sdxl or tiny-sd35.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--seed", default=0, show_default=True)
@click.option("--scenes", default=500, show_default=True, help="Distinct training pictures.")
@click.option("--steps", default=_PLAN.steps, show_default=True)
@click.option("--batch", default=_PLAN.batch, show_default=True, help="Pictures a step.")
@click.option("--rate", default=_PLAN.learning_rate, show_default=True, help="Learning rate.")
def main(
    model: str, out: Path, seed: int, scenes: int, steps: int, batch: int, rate: float
) -> None:  # fmt: skip
    """Distil a tiny autoencoder from a small model's VAE; a core takes less than ten minutes."""
    check_absent(out)
    family = find_family(model)
    checkpoint = open_checkpoint(choose_checkpoint(family, None, None), family)
    vae = checkpoint.load_own(family.component("vae_decoder"))
    plan = replace(_PLAN, steps=steps, batch=batch, learning_rate=rate)
    started = time.monotonic()
    with Progress() as progress:
        trained = train_taesd(family, vae, scenes, plan, seed, progress)
    record = {
        "model": family.name, "seed": seed, "scenes": scenes, "plan": asdict(plan),
        "seconds": round(time.monotonic() - started), "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }  # fmt: skip
    with write_folder_atomically(out) as scratch:
        trained.half().save_pretrained(scratch, safe_serialization=True)
        (scratch / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.train_taesd"))
