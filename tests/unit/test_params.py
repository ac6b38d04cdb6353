"""Shards: the stream of bytes, cut anywhere, is the tensors."""

import hashlib

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsd.params import write_shards
from wsd.storage import Parameter

SHAPES = st.lists(st.integers(1, 7), min_size=0, max_size=3).map(tuple)


@settings(deadline=None, max_examples=40)
@given(shapes=st.lists(SHAPES, min_size=1, max_size=8), shard_words=st.integers(1, 64))
def test_round_trip(tmp_path_factory, shapes, shard_words):
    folder = tmp_path_factory.mktemp("shards")
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    expected = [Parameter(f"t{index}", shape) for index, shape in enumerate(shapes)]
    written = write_shards(
        "part", expected, iter(tensors), folder, lambda _: None, shard_bytes=4 * shard_words
    )
    stream = b"".join((folder / shard.file).read_bytes() for shard in written.shards)
    assert len(stream) == sum(shard.bytes for shard in written.shards)
    for record, tensor in zip(written.records, tensors, strict=True):
        data = np.frombuffer(stream, "<f4", count=record.bytes // 4, offset=record.offset)
        np.testing.assert_array_equal(data.reshape(record.shape), tensor.numpy())
    for shard in written.shards:
        data = (folder / shard.file).read_bytes()
        assert shard.bytes == len(data) <= 4 * shard_words
        assert hashlib.sha256(data).hexdigest() == shard.sha256
        assert shard.file.split(".")[1] == shard.sha256
