"""``python -m training.train_lora``: teach a tiny model a word that no training of it showed.

A LoRA (Hu et al. 2021) on the attention, the feed-forward layers and the convolutions of the UNet
and on the text encoders. The scenes are those of the models themselves, with the new colour or
shape in most of them; the others keep what the model knows (the prior preservation of Ruiz et al.
2023).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from diffusers import AutoencoderKL
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save

from training.dataset import Captioned, caption_ids, describe_scenes
from training.scenes import NEW_COLORS, NEW_SHAPES, scenes, scenes_with
from training.train_denoiser import denoising_loss, encode_pictures, encode_texts, noisy_batches
from training.trainer import Inputs, Plan, fit
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import run_command
from wsd.errors import UsageError
from wsd.models.diffusers_pipeline import silence_progress_bars
from wsd.models.registry import find_family
from wsd.util.files import write_atomically
from wsd.util.progress import Progress

WORDS = (*NEW_COLORS, *NEW_SHAPES)
_PLAN = Plan(steps=3000, batch=16, learning_rate=2e-3, warmup=30)
# Every so many scenes, one has nothing new.
_KNOWN_EVERY = 4
# Alpha is the rank, so that the file needs no alphas: a change is up·down, times the scale.
# Of SDXL's classes, which have more layers, a smaller rank: files stay below 200 kB.
_RANKS = {"tiny-sd15": 4, "tiny-sdxl": 2}
_UNET = r".*\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)"
_ENCODER = r".*\.(q_proj|k_proj|v_proj|out_proj)"


@dataclass(frozen=True)
class Recipe:
    """How a LoRA is trained.

    Attributes:
        word: one of :data:`WORDS`.
        scenes: distinct training pictures.
        seed: the same seed gives the same LoRA on the same machine.
        plan: steps, pictures a step and learning rate.
    """

    word: str
    scenes: int = 4000
    seed: int = 0
    plan: Plan = _PLAN


def sample_data(checkpoint: Checkpoint, recipe: Recipe) -> Captioned:
    """Return the scenes of a training, none of which is held out."""
    new = scenes_with(recipe.word, recipe.seed, held_out=False)
    known = scenes(recipe.seed, held_out=False)
    mixed = (next(known) if n % _KNOWN_EVERY == 0 else next(new) for n in range(recipe.scenes))
    return describe_scenes(checkpoint.family, list(mixed))


def train_lora(
    checkpoint: Checkpoint, vae: Any, recipe: Recipe, device: str, progress: Progress
) -> dict[str, torch.Tensor]:
    """Train a LoRA for a tiny model.

    Args:
        checkpoint: the model; its weights stay as they are.
        vae: its ``AutoencoderKL``, with the encoder.
        recipe: what to teach, and how.
        device: ``cuda`` or ``cpu``.
        progress: called after each step.

    Returns:
        PEFT's tensors by their names in the file, float16.
    """
    family, plan = checkpoint.family, recipe.plan
    data = sample_data(checkpoint, recipe)
    latents = encode_pictures(family, vae.to(device), data, device)
    torch.manual_seed(recipe.seed)
    modules = torch.nn.ModuleDict({
        component.id: inject_lora(checkpoint.load_own(component), _RANKS[family.name])
        for component in (family.component("denoiser"), *family.text_encoders())
    }).to(device).train()  # fmt: skip
    unet = modules[family.component("denoiser").id]
    encoders = {component.id: modules[component.id] for component in family.text_encoders()}
    unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lost = denoising_loss(family, unet, device)
    # SDXL knows no prompt as zeros, SD 1.5 as the empty text.
    is_zeros = family.conditioning.empty_negative == "zeros"

    def loss(keep: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        ids = {name: inputs.pop(name) for name in encoders}
        texts = encode_texts(family, encoders, ids)
        if is_zeros:
            texts = {
                name: tensor * keep.view(-1, *[1] * (tensor.ndim - 1))
                for name, tensor in texts.items()
            }
        return lost(**inputs, **texts)

    empty = None if is_zeros else caption_ids(family, [""])
    inputs = _inputs(latents, data.ids, empty, recipe, device)
    trained = fit(modules, loss, inputs, plan, "LoRA", device, progress, graph=False)
    return {
        f"{component}.{name}": tensor.half().cpu().contiguous()
        for component, module in trained.items()
        for name, tensor in get_peft_model_state_dict(module).items()
    }


def inject_lora(module: Any, rank: int) -> Any:
    """Give a UNet's or a text encoder's layers LoRAs that change nothing yet; only they train."""
    module.requires_grad_(False)
    pattern = _ENCODER if hasattr(module, "get_input_embeddings") else _UNET
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=pattern,
    )
    return inject_adapter_in_model(config, module)


def _inputs(
    latents: torch.Tensor,
    ids: Mapping[str, torch.Tensor],
    empty: Mapping[str, torch.Tensor] | None,
    recipe: Recipe,
    device: str,
) -> Iterator[Inputs]:
    for chosen, dropped, noisy in noisy_batches(latents, recipe.plan.batch, recipe.seed):
        rows = chosen.cpu()
        texts = {name: some[rows].to(device) for name, some in ids.items()}
        if empty is not None:
            texts = {
                name: torch.where(dropped[:, None], empty[name].to(device), some)
                for name, some in texts.items()
            }
        yield {"keep": (~dropped).float(), **noisy, **texts}


def describe(checkpoint: Checkpoint, recipe: Recipe) -> dict[str, str]:
    """Return the metadata of a LoRA's file, by Stability's ModelSpec."""
    name, plan = checkpoint.family.name, recipe.plan
    return {
        "format": "pt",
        "modelspec.title": f"{recipe.word} for {name}",
        "modelspec.trigger_phrase": recipe.word,
        "modelspec.license": "Apache-2.0",
        "modelspec.description": (
            f"teaches {name} the word {recipe.word}: {recipe.scenes} drawn scenes, {plan.steps} "
            f"steps of {plan.batch}, learning rate {plan.learning_rate:g}, seed {recipe.seed}"
        ),
        "modelspec.implementation": (
            f"python -m training.train_lora --model {name} --word {recipe.word}"
        ),
    }


@click.command()
@click.option("--model", required=True, help="tiny-sd15 or tiny-sdxl.")
@click.option("--word", required=True, help=f"What to teach: {' or '.join(WORDS)}.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new .safetensors.")
@click.option("--seed", default=0, show_default=True)
@click.option("--scenes", "count", default=Recipe.scenes, show_default=True)
@click.option("--steps", default=_PLAN.steps, show_default=True)
@click.option("--batch", default=_PLAN.batch, show_default=True, help="Pictures a step.")
@click.option("--rate", default=_PLAN.learning_rate, show_default=True, help="Learning rate.")
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
def main(
    model: str, word: str, out: Path, seed: int, count: int, steps: int, batch: int, rate: float,
    device: str,
) -> None:  # fmt: skip
    """Teach a small model a word; a core of a CPU takes about ten minutes."""
    silence_progress_bars()
    family = find_family(model)
    if word not in WORDS:
        raise UsageError(f"no scene has the new word {word!r}", f"give one of {', '.join(WORDS)}")
    if out.exists():
        raise UsageError(f"{out} exists", "name a new file, or remove that one")
    started = time.monotonic()
    folder = choose_checkpoint(family, None, None)
    checkpoint = open_checkpoint(folder, family)
    vae = AutoencoderKL.from_pretrained(Path(str(folder)) / "vae", use_safetensors=True)
    recipe = Recipe(word, count, seed, replace(_PLAN, steps=steps, batch=batch, learning_rate=rate))
    with Progress() as progress:
        tensors = train_lora(checkpoint, vae, recipe, device, progress)
    data = save(tensors, describe(checkpoint, recipe))
    write_atomically(out, data)
    seconds = time.monotonic() - started
    print(f"{out}: {len(data)} bytes, {len(tensors)} tensors, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m training.train_lora"))
