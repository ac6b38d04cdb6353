"""Parameters → shards.

A component's parameters are one stream of bytes: each tensor encoded as
:mod:`wsd.spec.parameter` says, little-endian, padded to four bytes, in the order of the
library's params tuple. The stream is cut every 32 MiB. A tensor may straddle a cut, so no
tensor is too large for a shard.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import torch

from wsd.bundle.quantize import encode
from wsd.spec.parameter import Parameter
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.progress import Advance

SHARD_BYTES = 32 << 20


@dataclass(frozen=True)
class Record:
    """One buffer's place in its component's stream, in bytes; ``dtype`` is its storage."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Shard:
    """One file of a component's stream."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Parameters:
    """A component's parameters as written."""

    records: tuple[Record, ...]
    shards: tuple[Shard, ...]


Read = Callable[[Sequence[Parameter]], Iterable[torch.Tensor]]


def lay_out(expected: Sequence[Parameter]) -> tuple[Record, ...]:
    """Return where in the stream each buffer of some parameters lies."""
    records: list[Record] = []
    offset = 0
    for parameter in expected:
        for name, shape, storage, size in parameter.buffers():
            records.append(Record(name, shape, storage, offset, size))
            offset += size
    return tuple(records)


def write_shards(
    component: str,
    expected: Sequence[Parameter],
    read: Read,
    folder: Path,
    advance: Advance,
    shard_bytes: int = SHARD_BYTES,
) -> Parameters:
    """Encode tensors and write them as shards, holding one shard in memory.

    Shards that an earlier call left in the folder are kept, and the tensors that lie
    wholly in them are not read again.

    Args:
        component: first part of the files' names.
        expected: what each tensor is, in order.
        read: yields the tensors of some parameters, any float dtype.
        folder: where the shards go, named ``<component>-<n>.<sha256>.bin``.
        advance: told 1 a tensor.
        shard_bytes: size of every shard but the last.
    """
    journal = folder / f"{component}.json"
    shards = _finished(journal)
    done = sum(shard.bytes for shard in shards)
    ends = list(accumulate(parameter.bytes for parameter in expected))
    start = bisect_right(ends, done)
    advance(start)
    # What of the stream comes next; of its first tensor a part may be written.
    pending = bytearray()
    written = done - (ends[start - 1] if start else 0)

    def flush(count: int) -> None:
        # Looked at where it is: a copy would be a third of what building takes.
        with memoryview(pending) as whole, whole[:count] as data:
            digest = sha256_bytes(data)
            name = f"{component}-{len(shards)}.{digest}.bin"
            write_atomically(folder / name, data)
        del pending[:count]
        shards.append(Shard(name, count, digest))
        write_atomically(journal, canonical_json([asdict(shard) for shard in shards]))

    for parameter, tensor in zip(expected[start:], read(expected[start:]), strict=True):
        for buffer in encode(parameter, tensor):
            pending += buffer.data
        del pending[:written]
        written = 0
        while len(pending) >= shard_bytes:
            flush(shard_bytes)
        advance(1)
    if pending:
        flush(len(pending))
    return Parameters(lay_out(expected), tuple(shards))


def _finished(journal: Path) -> list[Shard]:
    """Return the shards that a journal names and that are whole, up to the first that is not."""
    shards: list[Shard] = []
    if not journal.is_file():
        return shards
    for entry in json.loads(journal.read_text()):
        shard = Shard(**entry)
        path = journal.parent / shard.file
        if not path.is_file() or sha256_file(path) != shard.sha256:
            break
        shards.append(shard)
    return shards
