"""Checkpoints with seeded random weights, for tests and measurements."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from wsd.checkpoint.tokenizer import load_tokenizer
from wsd.models.diffusers_pipeline import assemble_pipeline
from wsd.models.family import Family
from wsd.models.instantiate import build_module
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import cache_folder, write_once
from wsd.util.hashing import canonical_json, sha256_bytes


def random_checkpoint(family: Family, seed: int) -> Path:
    """Return a diffusers folder with seeded random weights, written once and cached.

    The same family, seed and version of torch give the same bytes.

    Args:
        family: whose components are initialised.
        seed: of torch's generator.
    """
    key = sha256_bytes(
        canonical_json(
            {
                "torch": torch.__version__,
                "seed": seed,
                "architecture": family.architecture.name,
                "components": {c.id: dict(c.config) for c in family.components},
                "scheduler": dict(family.scheduler),
                # 2: the scheduler's configuration has every option of the family.
                "layout": 2,
            }
        )
    )
    folder = cache_folder() / "checkpoints" / f"{family.name}-{key[:16]}"
    write_once(folder, functools.partial(_write_random, family, seed))
    return folder


def save_pipeline(family: Family, modules: dict[str, torch.nn.Module], folder: Path) -> None:
    """Write modules as the family's diffusers folder.

    Args:
        family: whose scheduler and tokenizers are written too.
        modules: component id → module.
        folder: made if it is not there.

    Raises:
        FileError: if it cannot be written.
    """
    tokenizers = {
        entry.name: load_tokenizer(entry.kind, entry.fallback, entry.pad_token)
        for entry in family.tokenizers
    }
    pipeline = assemble_pipeline(family, {**modules, **tokenizers})
    # Options that the scheduler's own class does not have too, such as clip_sample, as published
    # checkpoints have them: without clip_sample=False, DDIM could not be chosen.
    known = {"_class_name", *pipeline.scheduler.config}
    others = {key: value for key, value in family.scheduler.items() if key not in known}
    pipeline.scheduler.register_to_config(**others)
    with explain_file_errors(folder):
        pipeline.save_pretrained(folder, safe_serialization=True)


def _write_random(family: Family, seed: int, folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = {c.id: build_module(c) for c in family.components}
    family.architecture.adjust_random_weights(family, modules)
    save_pipeline(family, modules, folder)
