"""Builds that fail half-way: nothing half-written, and the next one goes on."""

import errno
import shutil
from pathlib import Path

import pytest

from commands import wsd
from speck import SPECK
from wsd.bundle import shards as params
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import FileError
from wsd.util.progress import Quiet


@pytest.fixture
def build(family, library, checkpoint, monkeypatch, tmp_path_factory):
    """Return a function that builds into a folder, with shards of 1 MiB."""
    # Another worker may build the same, and what a finished build leaves is removed.
    monkeypatch.setenv("WSD_CACHE", str(tmp_path_factory.mktemp("cache")))
    original = params.write_shards
    monkeypatch.setattr(
        "wsd.bundle.builder.write_shards", lambda *given: original(*given, shard_bytes=1 << 20)
    )

    def run(out):
        return build_bundle(open_checkpoint(checkpoint, family), library, out, Quiet())

    return run


@pytest.mark.exhaustive
def test_a_full_disk(build, tmp_path, monkeypatch):
    written = []

    def write(path, data):
        if len(written) == 6:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        real(path, data)

    real = params.write_atomically
    with monkeypatch.context() as patch:
        patch.setattr(params, "write_atomically", write)
        with pytest.raises(FileError, match="no space is left") as caught:
            build(tmp_path / "out")
    assert "run the same command again" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
    kept = {Path(path).name for path in written if Path(path).suffix == ".bin"}
    assert kept

    again = []
    with monkeypatch.context() as patch:
        patch.setattr(
            params, "write_atomically", lambda path, data: (again.append(path), real(path, data))
        )
        build(tmp_path / "out")
    assert not kept & {path.name for path in again}
    names = {path.name for path in (tmp_path / "out").rglob("*.bin")}
    assert kept <= names


def test_a_damaged_checkpoint_leaves_nothing(tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(random_checkpoint(SPECK, 0), copy)
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    out = tmp_path / "dist" / "out"
    given = ("--model", SPECK.name, "--weights", copy, "--out", out)
    assert wsd("build", *given) == (2, [])
    error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
    assert error.startswith("error: ")
    assert "diffusion_pytorch_model.safetensors" in error
    assert "truncated or damaged" in error + hint
    assert hint.startswith("hint: ")
    assert list(tmp_path.iterdir()) == [copy]
