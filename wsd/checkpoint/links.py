"""Refuse links that lead out of a checkpoint: what is published must be the checkpoint's own.

A build publishes a checkpoint's texts, pictures and tokenizers as they are. git and archives keep
links, so a folder that somebody else made could name any file of this machine.
"""

from __future__ import annotations

from pathlib import Path

from wsd.errors import CheckpointError

_HINT = "a build publishes this file: put a copy of what is meant there, or take the link away"
# The hub's cache: models--<owner>--<name>/snapshots/<commit> has links to files in .../blobs.
_SNAPSHOTS, _BLOBS, _REPOSITORY = "snapshots", "blobs", "models--"


def check_inside(path: Path, folder: Path) -> Path:
    """Refuse a path that leads out of a folder, by a link of its own or of a folder on the way.

    In a snapshot of the hub's cache, links may lead to the files of the same repository.

    Args:
        path: a file or folder in the folder; it need not be there.
        folder: of a checkpoint, or of a part of one; links may lead to it.

    Returns:
        the path.

    Raises:
        CheckpointError: naming the path and where it leads.
    """
    try:
        real, root = path.resolve(), folder.resolve()
    # Links in a circle, of which versions of Python say different things.
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} is a link that cannot be followed", _HINT) from error
    if not real.is_relative_to(root) and real.parent != _find_blobs(root):
        raise CheckpointError(f"{path} is a link out of {folder}, to {real}", _HINT)
    return path


def _find_blobs(folder: Path) -> Path | None:
    """Return the folder of the hub's cache that a snapshot's links lead to; None for others."""
    for snapshot in (folder, *folder.parents):
        repository = snapshot.parent.parent
        if snapshot.parent.name == _SNAPSHOTS and repository.name.startswith(_REPOSITORY):
            return repository / _BLOBS
    return None
