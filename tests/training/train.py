"""``python -m training.train``: train a tiny model and write it as a diffusers folder."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import torch

from training.dataset import make_data
from training.text_encoder import train_encoders
from training.train_autoencoder import train_autoencoder
from training.train_denoiser import train_denoiser
from training.trainer import Plan
from wsd.checkpoint.random_weights import save_pipeline
from wsd.cli.main import run_command
from wsd.models.diffusers_pipeline import silence_progress_bars
from wsd.models.registry import Family, find_family
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.progress import Progress

RECORD = "training.json"
_AUTOENCODER = Plan(steps=4_000, batch=64, learning_rate=1e-3)
_ENCODER = Plan(steps=1_200, batch=256, learning_rate=1e-3)
_DENOISER = Plan(steps=15_000, batch=256, learning_rate=5e-4)


def train(
    family: Family, out: Path, *, scenes: int, autoencoder: Plan, encoder: Plan, denoiser: Plan,
    seed: int, device: str, progress: Progress,
) -> None:  # fmt: skip
    """Train a tiny model from nothing and write it to ``out``, weights in float16.

    The folder also gets ``training.json``: settings, seconds and hardware.
    """
    check_absent(out)
    # Deterministic algorithms are not asked for: measured, they take 1.6 times as long.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    started = time.monotonic()
    with progress:
        data = make_data(family, scenes, seed)
        sampled = time.monotonic()
        vae = train_autoencoder(family, data, autoencoder, seed, device, progress)
        encoded = time.monotonic()
        encoders = train_encoders(family, data, encoder, seed, device, progress)
        read = time.monotonic()
        unet = train_denoiser(family, vae, encoders, data, denoiser, seed, device, progress)
    finished = time.monotonic()
    modules: dict[str, Any] = {"vae": vae, "unet": unet, **encoders}
    record = {
        "model": family.name,
        "seed": seed,
        "scenes": scenes,
        "autoencoder": asdict(autoencoder),
        "text_encoders": asdict(encoder),
        "denoiser": asdict(denoiser),
        "seconds": {
            "data": round(sampled - started),
            "autoencoder": round(encoded - sampled),
            "text encoders": round(read - encoded),
            "denoiser": round(finished - read),
        },
        "hardware": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "torch": torch.__version__,
    }
    with write_folder_atomically(out) as scratch:
        rounded = {name: module.cpu().half() for name, module in modules.items()}
        save_pipeline(family, rounded, scratch)
        (scratch / RECORD).write_text(json.dumps(record, indent=2) + "\n")


@click.command()
@click.option("--model", required=True, help="tiny-sd15 or tiny-sdxl.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--seed", default=0, show_default=True)
@click.option("--scenes", default=200_000, show_default=True, help="Distinct training pictures.")
@click.option("--autoencoder-steps", default=_AUTOENCODER.steps, show_default=True)
@click.option("--encoder-steps", default=_ENCODER.steps, show_default=True)
@click.option("--denoiser-steps", default=_DENOISER.steps, show_default=True)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
def main(model: str, out: Path, seed: int, scenes: int, device: str, **steps: int) -> None:
    """Train a tiny model from nothing; an H200 takes about seven minutes."""
    silence_progress_bars()
    train(
        find_family(model),
        out,
        scenes=scenes,
        autoencoder=replace(_AUTOENCODER, steps=steps["autoencoder_steps"]),
        encoder=replace(_ENCODER, steps=steps["encoder_steps"]),
        denoiser=replace(_DENOISER, steps=steps["denoiser_steps"]),
        seed=seed,
        device=device,
        progress=Progress(),
    )


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.train"))
