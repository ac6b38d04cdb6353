"""Fetch files from the Hugging Face hub, or take them from its cache without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsd.errors import CheckpointError


def fetch(identifier: str, patterns: Sequence[str]) -> Path:
    """Return a folder with the files of a repository that match.

    The folder's name is the commit that the revision stands for. ``HF_ENDPOINT`` names a mirror;
    ``HF_HUB_OFFLINE=1`` reads only the cache.

    Args:
        identifier: ``owner/name``, optionally with ``@revision``.
        patterns: glob patterns of the paths of the files wanted.

    Raises:
        CheckpointError: if they can neither be fetched nor found in the cache.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = identifier.partition("@")
    try:
        return Path(
            snapshot_download(name, revision=revision or None, allow_patterns=list(patterns))
        )
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"cannot fetch {identifier!r} from the hub: {said[0]}",
            "check the id and the network, or pass the path of a folder",
        ) from error
