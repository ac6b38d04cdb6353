"""Write a component's parameters as shards.

The parameters of a component form one stream of bytes: the tensors one after another in the order
of the library's params tuple, each encoded as :mod:`wsd.spec.parameter` says, little-endian, padded
to 4 bytes. The stream is cut into files of 32 MiB. A tensor may lie across a cut, so that no tensor
is too large for a shard.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from pydantic import TypeAdapter

from wsd.bundle.quantize import encode
from wsd.errors import FileError
from wsd.spec.manifest import FileEntry, ParameterRecord
from wsd.spec.parameter import SHARD_BYTES, Parameter
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.progress import Advance
from wsd.util.typed_json import read_typed

_LOG = logging.getLogger(__name__)

_JOURNAL = TypeAdapter(list[FileEntry])


@dataclass(frozen=True)
class WrittenParameters:
    """What the manifest says about a component's parameters.

    Attributes:
        records: place of each buffer in the stream, in order.
        shards: the files of the stream, in order.
    """

    records: tuple[ParameterRecord, ...]
    shards: tuple[FileEntry, ...]


ReadTensors = Callable[[Sequence[Parameter]], Iterable[torch.Tensor]]


def lay_out_records(parameters: Sequence[Parameter]) -> tuple[ParameterRecord, ...]:
    """Return where in the stream each buffer of some parameters lies."""
    records: list[ParameterRecord] = []
    offset = 0
    for parameter in parameters:
        for name, shape, storage, size in parameter.buffers():
            record = ParameterRecord(
                name=name, shape=shape, dtype=storage, offset=offset, bytes=size
            )
            records.append(record)
            offset += size
    return tuple(records)


def write_shards(
    component: str,
    parameters: Sequence[Parameter],
    read: ReadTensors,
    folder: Path,
    advance: Advance,
    shard_bytes: int = SHARD_BYTES,
) -> WrittenParameters:
    """Encode tensors and write them as shards, with at most one shard in memory.

    Shards that an earlier, interrupted call left in the folder are kept, and tensors that lie
    wholly in them are not read again.

    Args:
        component: id of the component, the first part of the files' names.
        parameters: what each tensor is, in the order of the stream.
        read: yields the tensors of some parameters in their order, of any float dtype.
        folder: where the shards go, named ``<component>-<n>.<sha256>.bin``.
        advance: called with the number of tensors that were written since the last call.
        shard_bytes: size of every shard but the last, in bytes.

    Raises:
        CheckpointError: if a value does not fit its storage.
    """
    journal = folder / f"{component}.json"
    ends = list(accumulate(parameter.bytes for parameter in parameters))
    shards = _read_journal(journal, component, shard_bytes, ends[-1] if ends else 0)
    done = sum(shard.bytes for shard in shards)
    start = bisect_right(ends, done)
    advance(start)
    # Encoded bytes that are in no shard yet. After a resume, the first tensor may lie partly in
    # a shard already: that many of its bytes are skipped.
    pending = bytearray()
    skipped = done - (ends[start - 1] if start else 0)

    def flush(count: int) -> None:
        # A view, because copying these bytes would take a third of the whole build's time.
        with memoryview(pending) as whole, whole[:count] as data:
            digest = sha256_bytes(data)
            name = _name_shard(component, len(shards), digest)
            write_atomically(folder / name, data)
        del pending[:count]
        shards.append(FileEntry(file=name, bytes=count, sha256=digest))
        entries = [shard.model_dump(mode="json") for shard in shards]
        write_atomically(journal, canonical_json(entries))

    for parameter, tensor in zip(parameters[start:], read(parameters[start:]), strict=True):
        for buffer in encode(parameter, tensor):
            pending += buffer.data
        del pending[:skipped]
        skipped = 0
        while len(pending) >= shard_bytes:
            flush(shard_bytes)
        advance(1)
    if pending:
        flush(len(pending))
    return WrittenParameters(lay_out_records(parameters), tuple(shards))


def _name_shard(component: str, index: int, digest: str) -> str:
    return f"{component}-{index}.{digest}.bin"


def _read_journal(journal: Path, component: str, shard_bytes: int, total: int) -> list[FileEntry]:
    """Return the shards of a journal up to the first that is missing, damaged or out of place.

    A journal that cannot be read counts as absent: its shards are made again.

    Args:
        journal: the file.
        component: id of the component.
        shard_bytes: size of every shard but the last, in bytes.
        total: size of the stream, in bytes.
    """
    try:
        entries = read_typed(journal, _JOURNAL, FileError, "remove it")
    except (FileError, OSError) as error:
        if os.path.lexists(journal):
            _LOG.warning("%s cannot be read, so its shards are written anew: %s", journal, error)
        return []
    shards: list[FileEntry] = []
    for index, shard in enumerate(entries):
        # Everything that an entry says is known already, but for the digest.
        name = _name_shard(component, index, shard.sha256)
        size = min(shard_bytes, total - index * shard_bytes)
        if (shard.file, shard.bytes) != (name, size) or not _is_whole(journal.parent / name, shard):
            _LOG.warning("%s is damaged, so it is written anew", journal.parent / name)
            break
        shards.append(shard)
    return shards


def _is_whole(path: Path, entry: FileEntry) -> bool:
    try:
        return path.stat().st_size == entry.bytes and sha256_file(path) == entry.sha256
    except OSError:
        return False
