"""The image's nginx answers odd requests as tests/served.py has them, and floods silence nobody."""

import time

import pytest

from conftest import start
from served import TABLE, Row, ask, check, slow_connections, write_settings, write_site
from timing import at_most

PORT = 8081


@pytest.fixture(scope="module")
def port(container, tmp_path_factory):
    """Return the port of another container of the image, which serves the table's site."""
    folder = tmp_path_factory.mktemp("requests")
    site = write_site(folder)
    settings = write_settings(folder, {"listen 8080": f"listen {PORT}"})
    mounts = (
        f"--volume={site}:/site:ro", f"--volume={settings}:/etc/nginx/table.conf:ro",
    )  # fmt: skip
    arguments = ("-c", "/etc/nginx/table.conf")
    started = start(container.engine, container.image, *mounts, port=PORT, arguments=arguments)
    yield PORT
    said = started.run("logs", started.id)
    started.run("stop", started.id)
    # No visitor's address, nor anything else.
    assert said == ""


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_each_request_of_the_table(port, row):
    check(port, row, local=False)


@pytest.mark.timed
def test_slow_clients_silence_nobody(port):
    with slow_connections(port, 2200), at_most(1, time.monotonic):
        assert ask(port, Row("/healthz"))[0] == 204
        assert ask(port, Row("/"))[0] == 200
