"""Folders that appear whole."""

import pytest

from wsd.errors import UsageError
from wsd.folders import written_once, written_whole


def test_of_two_that_write_the_same_the_first_stays(tmp_path):
    folder = tmp_path / "kept"
    with written_once(folder) as later:
        (later / "file").write_text("later")
        with written_once(folder) as first:
            (first / "file").write_text("first")
    assert (folder / "file").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failure_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="full"), written_once(tmp_path / "kept"):
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_what_a_person_named_is_never_replaced(tmp_path):
    out = tmp_path / "out"

    def write():
        with written_whole(out) as scratch:
            (scratch / "file").touch()
            out.mkdir()

    with pytest.raises(UsageError, match="already exists"):
        write()
    assert list(out.iterdir()) == []
