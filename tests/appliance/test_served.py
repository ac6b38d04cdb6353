"""What the container answers: every header on every answer, every byte as it was built."""

import gzip
import hashlib
import json

import brotli
import pytest

from wsd.bundle.attestations import list_files
from wsd.bundle.manifest import find_manifests, read_manifest
from wsd.runtime.http_headers import HEADERS, IMMUTABLE, REVALIDATED

ENTRY_POINTS = (
    "",
    "index.html",
    "selftest.html",
    "client.js",
    "sw.js",
    "models/index.json",
    "SRI.json",
)


@pytest.fixture(scope="module")
def hashed(dist):
    """Return a shard, a library and a script, by their paths."""
    names = list_files(dist)
    return {
        "bin": next(name for name in names if name.endswith(".bin")),
        "wasm": next(name for name in names if name.endswith(".wasm")),
        "js": next(name for name in names if name.startswith("assets/main.")),
    }


def test_every_file_is_served_as_the_sbom_has_it(get, dist):
    sbom = json.loads((dist / "sbom.cdx.json").read_text())
    files = {
        c["name"]: c["hashes"][0]["content"] for c in sbom["components"] if c["type"] == "file"
    }
    assert len(files) > 20
    for name, digest in files.items():
        status, _, body = get(name)
        assert status == 200, name
        assert hashlib.sha256(body).hexdigest() == digest, name


def test_every_answer_carries_the_headers(get, hashed):
    _, headers, _ = get(hashed["js"])
    answers = {
        200: get("index.html"),
        204: get("healthz"),
        206: get(hashed["bin"], Range="bytes=4-7"),
        304: get(hashed["js"], If_None_Match=headers["ETag"]),
        405: get("index.html", method="POST"),
        404: get("missing"),
        416: get(hashed["bin"], Range="bytes=999999999-"),
    }
    for expected, (status, headers, _) in answers.items():
        assert status == expected
        for name, value in HEADERS.items():
            assert headers.get_all(name) == [value], (expected, name)


def test_what_is_kept(get, hashed):
    for name in hashed.values():
        assert get(name)[1].get_all("Cache-Control") == [IMMUTABLE], name
    assert get(hashed["bin"], Range="bytes=0-0")[1]["Cache-Control"] == IMMUTABLE
    for name in (*ENTRY_POINTS, "models/tiny-sd15/manifest.json"):
        assert get(name)[1].get_all("Cache-Control") == [REVALIDATED], name
    # Were an error kept for a year, a file that is uploaded late would never be seen.
    assert get(f"assets/x.{'0' * 64}.bin")[1].get_all("Cache-Control") == [REVALIDATED]


def test_types(get, hashed):
    for name, kind in [
        ("", "text/html"), (hashed["js"], "text/javascript"), (hashed["wasm"], "application/wasm"),
        (hashed["bin"], "application/octet-stream"), ("SRI.json", "application/json"),
    ]:  # fmt: skip
        assert get(name)[1].get_content_type() == kind, name


def test_ranges_of_shards(get, dist, hashed):
    whole = (dist / hashed["bin"]).read_bytes()
    status, headers, body = get(hashed["bin"], Range="bytes=1000-1999")
    assert status == 206
    assert headers["Content-Range"] == f"bytes 1000-1999/{len(whole)}"
    assert body == whole[1000:2000]
    # Begun again where it broke off.
    assert get(hashed["bin"], Range=f"bytes={len(whole) - 5}-")[2] == whole[-5:]


def test_compressed_answers(get, dist, hashed):
    for name in (hashed["wasm"], hashed["js"], "index.html"):
        plain = (dist / name).read_bytes()
        for coding, decode in (("br", brotli.decompress), ("gzip", gzip.decompress)):
            status, headers, body = get(name, Accept_Encoding=coding)
            assert status == 200
            assert headers["Content-Encoding"] == coding, name
            assert "Accept-Encoding" in headers["Vary"]
            assert len(body) < len(plain) * 0.7
            assert decode(body) == plain
        assert get(name)[1]["Content-Encoding"] is None
    assert get(hashed["bin"], Accept_Encoding="br, gzip")[1]["Content-Encoding"] is None
    # The twins are ways to answer, and nothing to ask for.
    assert get(hashed["js"] + ".br")[0] == 404
    assert get(hashed["js"] + ".gz")[0] == 404


def test_entity_tags_follow_from_the_content(get, hashed):
    tags = {name: get(name)[1]["ETag"] for name in (*hashed.values(), *ENTRY_POINTS)}
    assert all(tags.values())
    assert tags[""] == tags["index.html"]
    assert len({name.rpartition("-")[0] for name in tags.values()}) == len(tags) - 1


def test_nothing_else_is_served(get):
    for path in ("../etc/passwd", "%2e%2e/etc/nginx/nginx.conf", "models/", "assets/", ".git/"):
        status, _, body = get(path)
        assert status in (400, 404), path
        assert b"nginx/" not in body


def test_the_manifests_name_what_is_there(get, dist):
    for path in find_manifests(dist):
        folder = path.parent.relative_to(dist).as_posix()
        for entry in read_manifest(path).files():
            _, headers, _ = get(f"{folder}/{entry.file}", method="HEAD")
            assert int(headers["Content-Length"]) == entry.bytes
