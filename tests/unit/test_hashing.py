"""Digests of files, one after another and several at the same time."""

import hashlib
import random

import pytest

from wsd.util.hashing import Digests, digest_file, digest_files


@pytest.mark.slow
def test_digests_of_many_files_are_those_of_each_in_their_order(tmp_path):
    chance = random.Random(3)
    paths = []
    for number in range(40):
        paths.append(tmp_path / str(number))
        # Nothing, less than a chunk, a chunk, and more.
        paths[-1].write_bytes(chance.randbytes(chance.choice([0, 1, 1000, 1 << 20, (1 << 20) + 1])))
    chance.shuffle(paths)
    found = digest_files(paths)
    assert found == [digest_file(path) for path in paths]
    for path, digests in zip(paths, found, strict=True):
        data = path.read_bytes()
        assert digests == Digests(
            hashlib.sha256(data).hexdigest(), hashlib.sha384(data).hexdigest()
        )
    assert digest_files([]) == []


@pytest.mark.parametrize("missing", [0, 7, 19])
def test_a_file_that_cannot_be_read_is_named(tmp_path, missing):
    paths = [tmp_path / str(number) for number in range(20)]
    for number, path in enumerate(paths):
        if number != missing:
            path.write_bytes(b"here")
    with pytest.raises(FileNotFoundError) as caught:
        digest_files(paths)
    assert caught.value.filename == str(paths[missing])
