"""Resolve ``--weights`` or ``--random-weights`` to a diffusers folder or a single file."""

from __future__ import annotations

from pathlib import Path

from wsd.checkpoint.hub import fetch
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import CheckpointError, UsageError
from wsd.models.family import Family

# The files of a hub repository that a diffusers folder is made of.
_PATTERNS = ("*.json", "*.txt", "*.safetensors")


def choose_checkpoint(family: Family, weights: str | None, seed: int | None) -> Path:
    """Return the folder or file to read; a folder is made for seeded random weights.

    Args:
        family: the model.
        weights: the value of ``--weights``, or None.
        seed: the value of ``--random-weights``, or None.

    Raises:
        UsageError: if both are given, or if neither is and the family ships no weights.
        CheckpointError: if ``weights`` is not a checkpoint.
    """
    if weights is not None and seed is not None:
        raise UsageError("--weights and --random-weights exclude each other", "pass one of the two")
    if weights is not None:
        return find_checkpoint(weights)
    if seed is not None:
        return random_checkpoint(family, seed)
    if family.weights is None:
        raise UsageError(
            f"model {family.name} needs a checkpoint",
            "pass --weights FOLDER or a hub id; for a trial, --random-weights 0",
        )
    return family.weights


def find_checkpoint(weights: str) -> Path:
    """Return the diffusers folder or the single file that ``--weights`` names.

    Args:
        weights: a folder, a ``.safetensors`` file, or a hub id ``owner/name``,
            optionally with ``@revision``.

    Raises:
        CheckpointError: if it is none of these, or cannot be fetched.
    """
    path = Path(weights)
    if path.is_dir() or (path.is_file() and path.suffix == ".safetensors"):
        return path
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin"):
        raise CheckpointError(
            f"checkpoint {path} is a pickle, which can run code when it is read",
            "convert it to .safetensors, or fetch that version",
        )
    if path.is_file():
        raise CheckpointError(
            f"checkpoint {path} is not a .safetensors file",
            "--weights takes a diffusers folder, a .safetensors file or a hub id owner/name",
        )
    if weights.count("/") != 1 or weights.startswith((".", "/", "~")):
        raise CheckpointError(
            f"checkpoint {weights} does not exist",
            "--weights takes a diffusers folder, a .safetensors file or a hub id owner/name",
        )
    return fetch(weights, _PATTERNS)
