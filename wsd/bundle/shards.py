"""Write a component's parameters as shards.

The parameters of a component form one stream of bytes: the tensors one after another in the order
of the library's params tuple, each encoded as :mod:`wsd.spec.parameter` says, little-endian, padded
to 4 bytes. The stream is cut into files of 32 MiB. A tensor may lie across a cut, so that no tensor
is too large for a shard.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from wsd.bundle.quantize import encode
from wsd.errors import FileError
from wsd.spec.manifest import FileEntry, ParameterRecord
from wsd.spec.parameter import Parameter
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.json_reader import read_json
from wsd.util.progress import Advance

SHARD_BYTES = 32 << 20
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
    shards = _read_journal(journal)
    done = sum(shard.bytes for shard in shards)
    ends = list(accumulate(parameter.bytes for parameter in parameters))
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
            name = f"{component}-{len(shards)}.{digest}.bin"
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


def _read_journal(journal: Path) -> list[FileEntry]:
    """Return the shards of a journal up to the first that is missing or damaged.

    A journal that cannot be read counts as absent: its shards are made again.
    """
    shards: list[FileEntry] = []
    try:
        entries = _JOURNAL.validate_python(read_json(journal, FileError, "remove it"))
    except (FileError, ValidationError):
        return shards
    for shard in entries:
        path = journal.parent / shard.file
        if not path.is_file() or sha256_file(path) != shard.sha256:
            break
        shards.append(shard)
    return shards
