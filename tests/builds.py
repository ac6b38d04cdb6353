"""Builds in processes of their own, for tests of builds that race, are ended, or find no room.

The processes are forked from one that has everything imported, so that each begins at once. The
model is speck with random weights, and its library was traced and not compiled: what is shared
between builds (checkpoints, shards, locks, temporary folders) is as it is for every model.
"""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands import wsd
from speck import SPECK
from traced import cached_trace
from wsd.bundle import builder, shards
from wsd.bundle.precompiled import write_compiled
from wsd.util.hashing import sha256_file
from wsd.util.progress import Quiet

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["builds", "builds_imports"])
# Bytes of a shard: some of them for each component, as of a large model.
_SHARD_BYTES = 1 << 14
Tree = dict[str, str]


class Place:
    """Where a build works: its cache, its folder for temporary files, and its output.

    Attributes:
        root: a folder of its own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("cache", "tmp", "out"):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def out(self) -> Path:
        return self.root / "out" / "bundle"

    def left_behind(self) -> list[str]:
        """Return what is neither in an output nor in a whole entry of the cache."""
        names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*")]
        places = ("tmp/", "cache/unfinished/")
        locks = ("/.lock", ".lock")
        return sorted(
            name
            for name in names
            if ".wsd-" in name or (name.startswith(places) and not name.endswith(locks))
        )


def make_library(folder: Path) -> Path:
    """Return the library of speck as ``wsd compile`` would write it; tracing it takes seconds."""
    return write_compiled(cached_trace(SPECK), folder / "library", Quiet())


def read_tree(folder: Path) -> Tree:
    """Return path → SHA-256 of each file of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def build(library: Path, seed: int, out: Path) -> int:
    """Build in this process; return the exit code."""
    code, _ = wsd("build", "--model", "speck", "--library", library, "--random-weights", seed,
                  "--out", out)  # fmt: skip
    return code


@contextmanager
def building_in(place: Place):
    """Let builds of this process work in a place, with small shards."""
    original = shards.write_shards
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSD_CACHE", str(place.root / "cache"))
        patch.setenv("TMPDIR", str(place.root / "tmp"))
        patch.setattr(tempfile, "tempdir", None)
        # Importing parts of PyTorch makes this folder, among the temporary files unless it is set.
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(place.root / "torch"))
        small = functools.partial(original, shard_bytes=_SHARD_BYTES)
        patch.setattr(builder, "write_shards", small)
        # Looking every package up again takes longer than all the rest.
        patch.setattr(builder, "own_materials", functools.cache(builder.own_materials))
        yield patch


@contextmanager
def failing_at(write: int):
    """Let the disk be full when a shard or its journal is written for the given time."""
    left = iter(range(write))
    original = shards.write_atomically

    def write_or_fail(path: Path, data: bytes) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        original(path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "write_atomically", write_or_fail)
        yield


def start(work: Callable[..., object], place: Place, *given: object):
    """Start a process that calls a function of a module in a place, and ends with its code."""
    process = _PROCESSES.Process(target=_work, args=(work, place, *given))
    process.start()
    return process


def _work(work: Callable[..., object], place: Place, *given: object) -> None:
    with (place.root / f"log-{os.getpid()}.txt").open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        with building_in(place):
            code = work(*given)
    sys.exit(int(str(code or 0)))
