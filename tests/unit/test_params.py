"""Shards: the stream of bytes, cut anywhere, is the tensors."""

import hashlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import DAMAGES
from marks import some_of
from wsd.bundle.shards import write_shards
from wsd.spec.parameter import Parameter

SHAPES = st.lists(st.integers(1, 7), min_size=0, max_size=3).map(tuple)


@pytest.mark.slow
@pytest.mark.parametrize("examples", [8, pytest.param(40, marks=pytest.mark.exhaustive)])
def test_round_trip(tmp_path_factory, examples):
    @settings(deadline=None, max_examples=examples)
    @given(shapes=st.lists(SHAPES, min_size=1, max_size=8), shard_words=st.integers(1, 64))
    def check(shapes, shard_words):
        check_round_trip(tmp_path_factory.mktemp("shards"), shapes, shard_words)

    check()


def check_round_trip(folder, shapes, shard_words):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    expected = [Parameter(f"t{index}", shape) for index, shape in enumerate(shapes)]
    written = write_shards(
        "part",
        expected,
        lambda _: iter(tensors),
        folder,
        lambda _: None,
        shard_bytes=4 * shard_words,
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


class InterruptedReadError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage",
    ["int8", *(pytest.param(s, marks=pytest.mark.exhaustive) for s in ("float32", "float16"))],
)
@pytest.mark.parametrize("fails_at", some_of(range(7), 3))
def test_a_second_try_goes_on_from_the_finished_shards(tmp_path, storage, fails_at):
    generator = torch.Generator().manual_seed(0)
    tensors = {f"t{n}": torch.randn((n + 1, 3, 5), generator=generator) for n in range(7)}
    expected = [Parameter(name, tuple(t.shape), storage) for name, t in tensors.items()]
    asked = []

    def read(parameters, fails_at=None):
        asked.append(len(parameters))
        for parameter in parameters:
            if parameter.name == f"t{fails_at}":
                raise InterruptedReadError
            yield tensors[parameter.name]

    def write(name, **options):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        counted = []
        written = write_shards(
            "part", expected, lambda p: read(p, **options), folder, counted.append, shard_bytes=64
        )
        assert sum(counted) == len(expected)
        return written

    whole = write("whole")
    with pytest.raises(InterruptedReadError):
        write("resumed", fails_at=fails_at)
    resumed = write("resumed")
    assert resumed == whole
    # Only what does not lie in finished shards is read again.
    ends = np.cumsum([parameter.bytes for parameter in expected])
    finished = (ends[fails_at - 1] if fails_at else 0) // 64 * 64
    assert asked[-1] == np.count_nonzero(ends > finished)
    for shard in whole.shards:
        assert (tmp_path / "resumed" / shard.file).read_bytes() == (
            tmp_path / "whole" / shard.file
        ).read_bytes()


@pytest.mark.slow
def test_a_damaged_shard_is_written_again(tmp_path):
    tensor = torch.arange(64.0)
    expected = [Parameter("t", (64,))]

    def write():
        return write_shards(
            "part", expected, lambda p: [tensor] * len(p), tmp_path, lambda _: None, 64
        )

    first = write()
    (tmp_path / first.shards[1].file).write_bytes(b"spoilt")
    assert write() == first
    data = b"".join((tmp_path / shard.file).read_bytes() for shard in first.shards)
    np.testing.assert_array_equal(np.frombuffer(data, "<f4"), tensor.numpy())


@pytest.mark.slow
@pytest.mark.parametrize(
    "journal",
    [b"", b"{", b"null", b"[1]", b'[{"file": "x"}]', b"\xff", b"[" * 9999, b'[{"bytes": 1e999}]'],
)
def test_a_journal_that_cannot_be_read_counts_as_absent(tmp_path, journal):
    tensor = torch.ones(4, 4)
    expected = [Parameter("t", (4, 4))]

    def write(folder):
        folder.mkdir(exist_ok=True)
        read = lambda parameters: [tensor for _ in parameters]  # noqa: E731
        return write_shards("part", expected, read, folder, lambda _: None, shard_bytes=16)

    whole = write(tmp_path / "whole")
    write(tmp_path / "resumed")
    (tmp_path / "resumed" / "part.json").write_bytes(journal)
    assert write(tmp_path / "resumed") == whole


def write_two_components(folder):
    """Write shards of two components whose tensors are of the same sizes; return their names."""
    generator = torch.Generator().manual_seed(0)
    written = []
    for component in ("one", "two"):
        tensors = [torch.randn((4, 4), generator=generator) for _ in range(3)]
        expected = [Parameter(f"t{n}", (4, 4)) for n in range(3)]
        found = write_shards(
            component,
            expected,
            lambda parameters, tensors=tensors: tensors[len(tensors) - len(parameters) :],
            folder,
            lambda _: None,
            shard_bytes=80,
        )
        written += [shard.file for shard in found.shards]
    return {name: (folder / name).read_bytes() for name in written}


# A folder or link in the place of a file is removed by whoever opens the folder of an old build.
@pytest.mark.slow
@pytest.mark.parametrize("damage", [d for d in DAMAGES if "replace_by_a_" not in d.__name__])
def test_damage_to_any_file_changes_nothing(tmp_path, damage):
    whole = write_two_components(tmp_path)
    for name in [*whole, "one.json", "two.json"]:
        damage(tmp_path / name)
        assert write_two_components(tmp_path) == whole, name


@pytest.mark.slow
def test_journals_that_are_exchanged_are_not_believed(tmp_path):
    whole = write_two_components(tmp_path)
    (tmp_path / "one.json").rename(tmp_path / "aside")
    (tmp_path / "two.json").rename(tmp_path / "one.json")
    (tmp_path / "aside").rename(tmp_path / "two.json")
    assert write_two_components(tmp_path) == whole


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"bytes": 16}, {"file": "../x.bin"}, {"file": "one-1.x.bin"}])
def test_a_journal_that_says_something_else_is_not_believed(tmp_path, change):
    whole = write_two_components(tmp_path)
    entries = json.loads((tmp_path / "one.json").read_text())
    entries[0] |= change
    (tmp_path / "one.json").write_text(json.dumps(entries))
    assert write_two_components(tmp_path) == whole
