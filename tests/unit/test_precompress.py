"""What nginx serves: compressed twins, and times that follow from the content."""

import gzip
import re

import brotli
import pytest

from wsd.runtime.http_headers import HEADERS, IMMUTABLE, REVALIDATED, cache_control, nginx_settings
from wsd.runtime.precompress import precompress

HASHED = f"models/x/unet-0.{'0a' * 32}.bin"


def test_twins_of_what_shrinks(tmp_path):
    (tmp_path / "assets").mkdir()
    script, shard = tmp_path / "assets" / "main.js", tmp_path / "x.bin"
    script.write_text("let a = 1;\n" * 100)
    shard.write_bytes(bytes(100))
    (tmp_path / "short.json").write_text("{}")
    precompress(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "main.js", "main.js.br", "main.js.gz", "short.json", "x.bin",
    ]  # fmt: skip
    plain = script.read_bytes()
    assert brotli.decompress((tmp_path / "assets" / "main.js.br").read_bytes()) == plain
    assert gzip.decompress((tmp_path / "assets" / "main.js.gz").read_bytes()) == plain


def test_the_same_content_has_the_same_time(tmp_path):
    for folder, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "index.html").write_text(text * 99)
        precompress(tmp_path / folder)
    times = [(tmp_path / f / "index.html").stat().st_mtime for f in "abc"]
    assert times[0] == times[1] != times[2]
    assert (tmp_path / "a" / "index.html.gz").stat().st_mtime == times[0]


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        (HASHED, 200, IMMUTABLE),
        (HASHED, 206, IMMUTABLE),
        (HASHED, 304, IMMUTABLE),
        (HASHED, 404, REVALIDATED),
        ("assets/main.ABCDEF23.js", 200, IMMUTABLE),
        ("index.html", 200, REVALIDATED),
        ("models/x/manifest.json", 200, REVALIDATED),
        ("client.js", 200, REVALIDATED),
    ],
)
def test_what_is_kept(name, status, expected):
    assert cache_control(name, status) == expected
    # nginx has the same rule as a regular expression over status and address.
    (pattern,) = re.findall(r'"~(.*)" "', nginx_settings())
    assert (re.search(pattern, f"{status} /{name}") is not None) == (expected == IMMUTABLE)


def test_nginx_sends_every_header():
    text = nginx_settings()
    for name, value in HEADERS.items():
        assert f'more_set_headers "{name}: {value}";' in text
