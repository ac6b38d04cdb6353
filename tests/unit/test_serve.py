"""`wsd serve` sends what production sends; tests/security/test_servers.py has odd requests."""

import urllib.request

import pytest

from served import Row, check
from wsd.runtime.http_headers import TYPES
from wsd.runtime.server import served


@pytest.fixture(scope="module")
def address(bundle):
    with served(bundle) as url:
        yield url


@pytest.mark.slow
def test_every_file_of_a_bundle_is_served(address, bundle):
    port = int(address.rsplit(":", 1)[1].strip("/"))
    files = [path for path in bundle.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        target = f"/{path.relative_to(bundle).as_posix()}"
        check(port, Row(target, (200,), body=path.read_bytes()), local=True)


@pytest.mark.slow
def test_types_do_not_depend_on_the_machine(address, bundle):
    for path in bundle.rglob("*"):
        if path.suffix in TYPES:
            with urllib.request.urlopen(address + path.relative_to(bundle).as_posix()) as answer:
                assert answer.headers.get_content_type() == TYPES[path.suffix]
