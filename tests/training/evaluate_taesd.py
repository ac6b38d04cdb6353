"""``python -m training.evaluate_taesd``: what a tiny autoencoder costs in quality, and saves.

The same latents, drawn by diffusers from held-out prompts, are decoded by a small model's VAE and
by the tiny autoencoder. Pictures of the same scenes are also encoded and decoded by both.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from training.dataset import describe_scenes
from training.evaluate import held_out_scenes, rates
from training.scenes import Scene
from training.shape_metrics import score
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import run_command
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.evaluate.encoder_output import encoded_planes
from wsd.evaluate.metrics import psnr
from wsd.models.registry import Family, find_family

_BATCH = 10


def draw_latents(family: Family, pipeline: Any, scenes: list[Scene], steps: int) -> torch.Tensor:
    """Return the final latents of scenes' captions, (n, channels, h, w), by diffusers.

    Picture ``n`` has the seed ``n``.
    """
    parts = []
    for start in range(0, len(scenes), _BATCH):
        some = range(start, min(start + _BATCH, len(scenes)))
        parts.append(
            pipeline(
                [scenes[n].caption for n in some],
                num_inference_steps=steps,
                guidance_scale=family.guidance_scale,
                generator=[torch.Generator().manual_seed(n) for n in some],
                output_type="latent",
                **family.architecture.call_options(family),
            ).images
        )
    return torch.cat(parts)


class Autoencoder:
    """An autoencoder of diffusers, and how long it takes.

    Attributes:
        seconds: of each picture that was decoded.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._space = checkpoint.family.latent_space
        self._vae: Any = checkpoint.load_own(checkpoint.family.component("vae_decoder"))
        self.seconds: list[float] = []

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Return the pictures of the denoiser's latents, (n, edge, edge, 3) uint8."""
        return np.stack([self._show(self._space.unscale(each[None])) for each in latents])

    @torch.no_grad()
    def rebuild(self, pictures: torch.Tensor) -> np.ndarray:
        """Return what is left of pictures (n, 3, edge, edge) by the means of their latents."""
        channels = self._space.channels
        planes = (encoded_planes(self._vae.encode(each[None])) for each in pictures)
        return np.stack([self._show(each[:, :channels]) for each in planes])

    def _show(self, latents: torch.Tensor) -> np.ndarray:
        started = time.perf_counter()
        image = self._vae.decode(latents).sample[0]
        self.seconds.append(time.perf_counter() - started)
        return to_bytes(image)


def to_bytes(image: torch.Tensor) -> np.ndarray:
    """Return an image (3, edge, edge), -1 to 1, as (edge, edge, 3) uint8."""
    shown = (image / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    pixels: np.ndarray = (shown * 255).round().astype(np.uint8)
    return pixels


def compare(one: np.ndarray, other: np.ndarray) -> str:
    """Return mean and minimum of the pictures' PSNR, in dB."""
    found = [psnr(a, b) for a, b in zip(one, other, strict=True)]
    return f"{np.mean(found):.1f} dB, the worst {min(found):.1f}"


@click.command()
@click.option("--model", required=True, help="tiny-sd15, tiny-sdxl or tiny-sd35.")
@click.option("--vae", required=True, type=click.Path(path_type=Path), help="A tiny autoencoder.")
@click.option("--count", default=200, show_default=True, help="Held-out prompts.")
@click.option("--steps", default=20, show_default=True)
def main(model: str, vae: Path, count: int, steps: int) -> None:
    """Compare a tiny autoencoder with the VAE of a small model, on one thread of a CPU."""
    torch.set_num_threads(1)
    family = find_family(model)
    path = choose_checkpoint(family, None, None)
    whole = open_checkpoint(path, family)
    scenes = held_out_scenes(count)
    latents = draw_latents(family, load_pipeline(whole), scenes, steps)
    full, tiny = Autoencoder(whole), Autoencoder(open_checkpoint(path, family, vae=vae))
    drawn, approximate = full.decode(latents), tiny.decode(latents)
    print(f"pictures that are drawn, against the VAE's: {compare(approximate, drawn)}")
    for name, images in (("the VAE", drawn), ("the tiny autoencoder", approximate)):
        scores = [score(scene, image) for scene, image in zip(scenes, images, strict=True)]
        shown = ", ".join(f"{key} {100 * value:.1f}" for key, value in rates(scores).items())
        print(f"right in % of {count} pictures by {name}: {shown}")
    data = describe_scenes(family, scenes)
    pictures = data.pictures(slice(None), family.sizes[0][0], "cpu")
    originals = np.stack([to_bytes(picture) for picture in pictures])
    for name, found in (("the VAE", full), ("the tiny autoencoder", tiny)):
        rebuilt = compare(found.rebuild(pictures), originals)
        middle = 1000 * float(np.median(found.seconds))
        print(
            f"pictures encoded and decoded by {name}: {rebuilt}; a decoding takes {middle:.1f} ms"
        )


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.evaluate_taesd"))
