"""The development server sends what production sends."""

import urllib.error
import urllib.request

import pytest

from wsd.runtime.http_headers import HEADERS
from wsd.runtime.server import served


@pytest.fixture(scope="module")
def address(bundle):
    with served(bundle) as url:
        yield url


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_every_answer_carries_the_headers(address, manifest):
    shard = manifest["components"]["vae"]["shards"][0]["file"]
    for path, extra, expected in [
        ("", {}, 200),
        ("models/index.json", {}, 200),
        (f"models/tiny-sd15/{shard}", {"Range": "bytes=4-7"}, 206),
        ("missing", {}, 404),
        ("../secret", {}, 404),
    ]:
        status, headers, _ = get(address + path, **extra)
        assert status == expected, path
        for name, value in HEADERS.items():
            assert headers[name] == value, (path, name)


def test_ranges_types_and_caching(address, bundle, manifest):
    folder = "models/tiny-sd15/"
    wasm = manifest["library"]["file"]
    _, headers, body = get(address + folder + wasm, Range="bytes=4-7")
    assert body == (bundle / folder / wasm).read_bytes()[4:8]
    assert headers["Content-Type"] == "application/wasm"
    assert "immutable" in headers["Cache-Control"]
    for path in ("", "models/index.json", folder + "manifest.json"):
        assert get(address + path)[1]["Cache-Control"] == "no-cache"
