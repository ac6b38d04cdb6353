"""Fetch files from the Hugging Face hub, or take them from its cache without a network."""

from __future__ import annotations

import fnmatch
import glob
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from wsd.checkpoint.hub_cache import find_damaged
from wsd.errors import CheckpointError
from wsd.util.file_errors import explain

_LOG = logging.getLogger(__name__)
_CHECK = "check the id and the network, or pass the path of a folder"
_LOG_IN = (
    "check the id; if the repository is private or asks for consent, give that on its page, and "
    "set HF_TOKEN to your token"
)


class HubId(NamedTuple):
    """A repository on the hub, or a file in one.

    Attributes:
        repository: ``owner/name``.
        file: path of a file in it; empty for the whole repository.
        revision: branch, tag or commit; None for the main branch.
    """

    repository: str
    file: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        """Return the id as it is written on the command line."""
        name = f"{self.repository}/{self.file}" if self.file else self.repository
        return f"{name}@{self.revision}" if self.revision else name


class Snapshot(NamedTuple):
    """A revision of a repository in the hub's cache, which may hold some of its files.

    Attributes:
        hub_id: what was asked for.
        folder: with the files that were fetched; its name is the commit.
        names: paths of all files of the repository; without a network, perhaps only of those that
            the cache holds.
    """

    hub_id: HubId
    folder: Path
    names: frozenset[str]

    def fetch(self, files: Sequence[str]) -> Path:
        """Fetch more files, and return the folder.

        Args:
            files: paths in the repository, or patterns of them.

        Raises:
            CheckpointError: if one can neither be fetched nor found in the cache.
        """
        with _explain(self.hub_id):
            return _download(self.hub_id._replace(revision=self.folder.name), files)


def parse_hub_id(text: str) -> HubId:
    """Return the parts of ``owner/name``, ``owner/name/path/file``, each maybe with ``@revision``.

    The text must hold a ``/``.
    """
    path, _, revision = text.partition("@")
    owner, name, *file = path.split("/", 2)
    return HubId(f"{owner}/{name}", file[0] if file else "", revision or None)


def open_snapshot(hub_id: HubId, files: Sequence[str]) -> Snapshot:
    """Fetch some files of a repository, and list all of them.

    ``HF_ENDPOINT`` names a mirror; ``HF_HUB_OFFLINE=1`` reads only the cache.

    Args:
        hub_id: the repository.
        files: paths of files, or patterns of them; those that are not there are left out.

    Raises:
        CheckpointError: if they can neither be fetched nor found in the cache.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    with _explain(hub_id):
        folder = _download(hub_id, files)
        try:
            tree = get_cached_repo_tree(hub_id.repository, revision=folder.name)
            names = frozenset(file.path for file in tree)
        except CachedRepoTreeNotFoundError:
            names = frozenset(
                path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
            )
    return Snapshot(hub_id, folder, names)


def fetch(identifier: str, patterns: Sequence[str]) -> Path:
    """Return a folder with some files of a repository.

    Args:
        identifier: ``owner/name``, maybe with ``@revision``.
        patterns: paths of files, or patterns of them; those that are not there are left out.

    Raises:
        CheckpointError: as :func:`open_snapshot`.
    """
    return open_snapshot(parse_hub_id(identifier), patterns).folder


def fetch_file(hub_id: HubId, beside: Sequence[str] = ()) -> Path:
    """Return one file of a repository, and fetch nothing else but some files of its folder.

    Args:
        hub_id: the file.
        beside: names of files to fetch too, if they are in the same folder.

    Raises:
        CheckpointError: if it can neither be fetched nor found in the cache.
    """
    folder = hub_id.file.rpartition("/")[0]
    others = [f"{folder}/{name}" if folder else name for name in beside]
    snapshot = open_snapshot(hub_id, [glob.escape(name) for name in (hub_id.file, *others)])
    path = snapshot.folder / hub_id.file
    if not path.is_file():
        raise _explain_absent(snapshot)
    return path


def find_remote_file(hub_id: HubId) -> Path:
    """Return where a file of a repository will be once it is fetched, and fetch nothing.

    Args:
        hub_id: the file.

    Raises:
        CheckpointError: if the repository does not have it, or cannot be asked.
    """
    snapshot = open_snapshot(hub_id, [])
    if hub_id.file not in snapshot.names:
        raise _explain_absent(snapshot)
    return snapshot.folder / hub_id.file


def _explain_absent(snapshot: Snapshot) -> CheckpointError:
    hub_id = snapshot.hub_id
    files = sorted(n for n in snapshot.names if n.lower().endswith((".safetensors", ".gguf")))
    alike = [str(hub_id._replace(file=name)) for name in files[:5]]
    return CheckpointError(
        f"{hub_id.repository} has no file {hub_id.file}",
        f"name one of its files: {', '.join(alike)}"
        if alike
        else "none of its files can be read: take another repository",
    )


def _download(hub_id: HubId, patterns: Sequence[str]) -> Path:
    """Return the folder of a revision in the hub's cache, with the files that match.

    Files that were damaged since they were fetched are fetched again.

    Raises:
        CheckpointError: if a damaged file cannot be fetched again.
    """
    from huggingface_hub import constants

    folder, damaged = _find(hub_id, patterns)
    if not damaged:
        return folder
    if constants.HF_HUB_OFFLINE:
        raise _explain_damage(damaged[0])
    for path in damaged:
        _LOG.warning("%s is damaged, and is fetched again", path)
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    folder, still_damaged = _find(hub_id, patterns)
    for path in damaged:
        if path in still_damaged or not path.is_file():
            raise _explain_damage(path)
    return folder


def _find(hub_id: HubId, patterns: Sequence[str]) -> tuple[Path, list[Path]]:
    """Fetch the files that match; return their folder, and those that are damaged."""
    from huggingface_hub import snapshot_download

    folder = Path(
        snapshot_download(
            hub_id.repository, revision=hub_id.revision, allow_patterns=list(patterns)
        )
    )
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    names = [path.relative_to(folder).as_posix() for path in paths]
    wanted = {name for pattern in patterns for name in fnmatch.filter(names, pattern)}
    return folder, find_damaged(folder / name for name in sorted(wanted))


def _explain_damage(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged: its digest is not the one that the hub gave for it",
        "run it again where the hub can be reached, so that it is fetched again",
    )


@contextmanager
def _explain(hub_id: HubId) -> Iterator[None]:
    """Turn the errors of the hub's library into one that names the id."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined] # its client's own class
        EntryNotFoundError,
        HfHubHTTPError,
        HTTPError,
        RevisionResolutionError,
    )

    try:
        yield
    except (
        OSError, ValueError, HTTPError, EntryNotFoundError, RevisionResolutionError,
    ) as error:  # fmt: skip
        # The cache's disk may be full or read-only.
        if isinstance(error, OSError) and (failure := explain(error)) is not None:
            raise failure from error
        said = str(error).strip().splitlines() or [type(error).__name__]
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        raise CheckpointError(
            f"cannot fetch '{hub_id}' from the hub: {said[0]}",
            _LOG_IN if status in (401, 403) else _CHECK,
        ) from error
