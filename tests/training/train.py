"""``python -m training.train``: train a tiny model and write it as a diffusers folder."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import torch

from training.dataset import make_data
from training.text_encoder import train_encoders
from training.train_autoencoder import train_autoencoder
from training.train_denoiser import train_denoiser
from training.train_transformer import train_transformer
from training.trainer import Plan
from wsd.checkpoint.random_weights import save_pipeline
from wsd.cli.main import run_command
from wsd.models.diffusers_pipeline import silence_progress_bars
from wsd.models.instantiate import build_module
from wsd.models.registry import Family, find_family
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.progress import Progress

RECORD = "training.json"
_AUTOENCODER = Plan(steps=4_000, batch=64, learning_rate=1e-3)
_ENCODER = Plan(steps=1_200, batch=256, learning_rate=1e-3)
_DENOISER = Plan(steps=15_000, batch=256, learning_rate=5e-4)
# A transformer learns places and neighbours, which a UNet's convolutions have from the beginning.
_TRANSFORMER = Plan(steps=66_000, batch=256, learning_rate=1.6e-3, warmup=1_000)

_Made = TypeVar("_Made")


def train(
    family: Family, out: Path, *, scenes: int, autoencoder: Plan, encoder: Plan, denoiser: Plan,
    seed: int, device: str, progress: Progress, kept: Path | None = None,
) -> None:  # fmt: skip
    """Train a tiny model from nothing and write it to ``out``, weights in float16.

    The folder also gets ``training.json``: settings, seconds and hardware.

    Args:
        family: which model.
        out: a new folder.
        scenes: distinct training pictures.
        autoencoder, encoder, denoiser: how long and how fast each of them is trained.
        seed: of everything that is drawn at random.
        device: ``cuda`` or ``cpu``.
        progress: called after each step.
        kept: a folder for what each stage has trained; a stage that it has is not trained again.
            None to keep nothing.
    """
    check_absent(out)
    # Deterministic algorithms are not asked for: measured, they take 1.6 times as long.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    stages = _Stages(family, kept, device)
    with progress:
        data = stages.time("data", lambda: make_data(family, scenes, seed))
        vae = stages.train(
            "autoencoder",
            lambda: {"vae": train_autoencoder(family, data, autoencoder, seed, device, progress)},
        )["vae"]
        encoders = stages.train(
            "text encoders",
            lambda: train_encoders(family, data, encoder, seed, device, progress),
        )
        trained = stages.time(
            "denoiser",
            lambda: (train_transformer if _is_flow(family) else train_denoiser)(
                family, vae, encoders, data, denoiser, seed, device, progress
            ),
        )
    modules: dict[str, Any] = {"vae": vae, family.component("denoiser").id: trained, **encoders}
    record = {
        "model": family.name,
        "seed": seed,
        "scenes": scenes,
        "autoencoder": asdict(autoencoder),
        "text_encoders": asdict(encoder),
        "denoiser": asdict(denoiser),
        "seconds": {name: round(seconds) for name, seconds in stages.seconds.items()},
        "hardware": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "torch": torch.__version__,
    }
    with write_folder_atomically(out) as scratch:
        rounded = {name: module.cpu().half() for name, module in modules.items()}
        save_pipeline(family, rounded, scratch)
        (scratch / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def _is_flow(family: Family) -> bool:
    return bool(family.scheduler["_class_name"] == "FlowMatchEulerDiscreteScheduler")


class _Stages:
    """Runs the stages of a training, and keeps what they have trained.

    Attributes:
        seconds: that each stage took; for one that was kept, when it was trained.
    """

    def __init__(self, family: Family, kept: Path | None, device: str) -> None:
        self._family, self._kept, self._device = family, kept, device
        self.seconds: dict[str, float] = {}

    def time(self, name: str, make: Callable[[], _Made]) -> _Made:
        """Return what a stage makes, and note how long it takes."""
        started = time.monotonic()
        made = make()
        self.seconds[name] = time.monotonic() - started
        return made

    def train(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the modules that a stage trains, by component id, or those that it has kept."""
        if self._kept is None:
            return self.time(name, make)
        path = self._kept / f"{name.replace(' ', '_')}.pt"
        if not path.exists():
            made = self.time(name, make)
            self._kept.mkdir(parents=True, exist_ok=True)
            states = {key: module.state_dict() for key, module in made.items()}
            torch.save({"seconds": self.seconds[name], "states": states}, path)
        read = torch.load(path, weights_only=True, map_location=self._device)
        self.seconds[name] = read["seconds"]
        components = {component.id: component for component in self._family.components}
        modules = {key: build_module(components[key]) for key in read["states"]}
        for key, module in modules.items():
            module.load_state_dict(read["states"][key])
        return {key: module.to(self._device) for key, module in modules.items()}


@click.command()
@click.option("--model", required=True, help="tiny-sd15, tiny-sdxl or tiny-sd35.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--seed", default=0, show_default=True)
@click.option("--scenes", default=200_000, show_default=True, help="Distinct training pictures.")
@click.option("--autoencoder-steps", default=_AUTOENCODER.steps, show_default=True)
@click.option("--encoder-steps", default=_ENCODER.steps, show_default=True)
@click.option("--denoiser-steps", type=int, help="The model's own number unless given.")
@click.option("--keep", "kept", type=click.Path(path_type=Path),
              help="Keep autoencoder and encoders here, and take those that are here.")  # fmt: skip
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
def main(
    model: str,
    out: Path,
    seed: int,
    scenes: int,
    denoiser_steps: int | None,
    kept: Path | None,
    device: str,
    **steps: int,
) -> None:
    """Train a tiny model from nothing; an H200 takes about seven minutes."""
    silence_progress_bars()
    family = find_family(model)
    denoiser = _TRANSFORMER if _is_flow(family) else _DENOISER
    train(
        family,
        out,
        scenes=scenes,
        autoencoder=replace(_AUTOENCODER, steps=steps["autoencoder_steps"]),
        encoder=replace(_ENCODER, steps=steps["encoder_steps"]),
        denoiser=replace(denoiser, steps=denoiser_steps or denoiser.steps),
        seed=seed,
        device=device,
        progress=Progress(),
        kept=kept,
    )


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.train"))
