"""Two builds are compared byte by byte, and a difference is named."""

import shutil

import pytest

from tools.compare_bundles import differences, main


@pytest.fixture
def builds(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    (first / "models").mkdir(parents=True)
    (first / "models" / "x.bin").write_bytes(bytes(range(100)))
    (first / "index.html").write_text("page")
    shutil.copytree(first, second)
    return first, second


def test_equal_builds(builds, capsys):
    assert list(differences(*builds)) == []
    assert main([str(folder) for folder in builds]) == 0
    assert "identical" in capsys.readouterr().out


def test_which_bytes(builds, capsys):
    first, second = builds
    data = bytearray((second / "models" / "x.bin").read_bytes())
    data[40], data[60] = 0xAA, 0xBB
    (second / "models" / "x.bin").write_bytes(data)
    (line,) = differences(first, second)
    assert line.startswith("models/x.bin: 2 of 100 and 100 bytes differ, from byte 40: 28 29")
    assert "aa 29" in line
    assert main([str(first), str(second)]) == 1
    assert line in capsys.readouterr().out


def test_a_longer_and_a_missing_file(builds):
    first, second = builds
    (second / "index.html").write_text("pages")
    (first / "models" / "x.bin").unlink()
    (second / "new").touch()
    lines = list(differences(first, second))
    assert lines == [
        "index.html: 0 of 4 and 5 bytes differ, from byte 4: nothing in one, 73 in the other",
        f"models/x.bin: only in {second}",
        f"new: only in {second}",
    ]
