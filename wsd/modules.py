"""The zoo's components as torch modules, and whole pipelines of diffusers."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

import torch

from wsd.digest import canonical_json, sha256_bytes
from wsd.folders import cache_folder, write_once
from wsd.schedulers import build_scheduler
from wsd.tokenizer import load_tokenizer
from wsd.zoo import Component, Family

# The decoder's last layer starts near zero; without this every picture that
# random weights draw is one flat grey.
_CONTRAST = 6.0


def build_module(component: Component) -> torch.nn.Module:
    """Build a component from its configuration, float32, in evaluation mode.

    Weights are whatever the global torch generator gives.
    """
    library = importlib.import_module(component.library)
    model_class = getattr(library, component.class_name)
    config: Any = dict(component.config)
    if component.library == "transformers":
        model = model_class(model_class.config_class(**config))
    else:
        model = model_class(**config)
    module: torch.nn.Module = model.float().eval()
    return module


def build_skeleton(component: Component) -> torch.nn.Module:
    """Build a component whose weights are memory that nobody has written to.

    Tracing needs names and shapes alone; untouched memory takes no room, so that
    SDXL's UNet is traced without its 10 GB.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        module = build_module(component)
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            setattr(owner, name, torch.nn.Parameter(torch.empty(parameter.shape)))
    return module


def random_checkpoint(family: Family, seed: int) -> Path:
    """Return a diffusers folder with seeded random weights, written once and cached.

    The same family, seed and torch give the same bytes.
    """
    key = sha256_bytes(
        canonical_json(
            {
                "torch": torch.__version__,
                "seed": seed,
                "contrast": _CONTRAST,
                "components": {c.name: dict(c.config) for c in family.components},
                "scheduler": dict(family.scheduler),
            }
        )
    )
    folder = cache_folder() / "checkpoints" / f"{family.name}-{key[:16]}"
    write_once(folder, functools.partial(_write_random, family, seed))
    return folder


def silence_progress_bars() -> None:
    """Turn the libraries' progress bars off: WSD has its own."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def save_pipeline(family: Family, modules: dict[str, torch.nn.Module], folder: Path) -> None:
    """Write modules, by component name, as the family's diffusers folder."""
    tokenizers = {
        entry.name: load_tokenizer(entry.fallback, entry.pad_token) for entry in family.tokenizers
    }
    pipeline = assemble_pipeline(family, {**modules, **tokenizers})
    pipeline.save_pretrained(folder, safe_serialization=True)


def assemble_pipeline(family: Family, made: dict[str, Any]) -> Any:
    """Return the family's diffusers pipeline of modules and tokenizers, by their names."""
    import diffusers

    parts = {"scheduler": build_scheduler(family), **made}
    if family.pipeline == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    silence_progress_bars()
    return getattr(diffusers, family.pipeline)(**parts)


def _write_random(family: Family, seed: int, folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = {c.name: build_module(c) for c in family.components}
    vae: Any = modules[family.component("vae_decoder").name]
    with torch.no_grad():
        vae.decoder.conv_out.weight *= _CONTRAST
    save_pipeline(family, modules, folder)
