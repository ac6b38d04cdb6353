"""Copies of checkpoints whose folder of examples is empty, for tests that fill it."""

from __future__ import annotations

import shutil
from pathlib import Path

from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.models.registry import Family


def copy_with_empty(
    folder_name: str, checkpoint: Path, family: Family, path: Path
) -> tuple[Checkpoint, Path]:
    """Copy a checkpoint to `path`, open it, and return it with its folder of this name, empty."""
    shutil.copytree(checkpoint, path, ignore=shutil.ignore_patterns(folder_name))
    (path / folder_name).mkdir()
    return open_checkpoint(path, family), path / folder_name
