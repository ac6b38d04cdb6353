"""Parameters → shards.

A component's parameters are one stream of bytes: each tensor encoded as
:mod:`wsd.storage` says, little-endian, padded to four bytes, in the order of the
library's params tuple. The stream is cut every 32 MiB. A tensor may straddle a cut, so no
tensor is too large for a shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wsd.digest import sha256_bytes
from wsd.progress import Advance
from wsd.storage import Parameter, encode

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


def write_shards(
    component: str,
    expected: Sequence[Parameter],
    tensors: Iterable[torch.Tensor],
    folder: Path,
    advance: Advance,
    shard_bytes: int = SHARD_BYTES,
) -> Parameters:
    """Encode tensors and write them as shards, holding one shard in memory.

    Args:
        component: first part of the files' names.
        expected: what each tensor is, in order.
        tensors: the tensors themselves, any float dtype.
        folder: where the shards go, named ``<component>-<n>.<sha256>.bin``.
        advance: told 1 a tensor.
        shard_bytes: size of every shard but the last.
    """
    records: list[Record] = []
    shards: list[Shard] = []
    pending = bytearray()
    offset = 0

    def flush(count: int) -> None:
        data = bytes(pending[:count])
        del pending[:count]
        digest = sha256_bytes(data)
        name = f"{component}-{len(shards)}.{digest}.bin"
        (folder / name).write_bytes(data)
        shards.append(Shard(name, len(data), digest))

    for parameter, tensor in zip(expected, tensors, strict=True):
        for buffer in encode(parameter, tensor):
            size = len(buffer.data)
            records.append(Record(buffer.name, buffer.shape, buffer.storage, offset, size))
            pending += buffer.data
            offset += size
            while len(pending) >= shard_bytes:
                flush(shard_bytes)
        advance(1)
    if pending:
        flush(len(pending))
    return Parameters(tuple(records), tuple(shards))
