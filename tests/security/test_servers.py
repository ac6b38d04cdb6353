"""Hostile and clumsy clients of both servers, as far as this machine has nginx."""

import time

import pytest

from served import TABLE, Row, ask, check, find_nginx, run_nginx, slow_connections, write_site
from timing import at_most
from wsd.runtime.server import create_server, serve_in_thread

# The image's own nginx meets the same table in tests/appliance.
SERVERS = ["wsd serve", *(["nginx"] if find_nginx() else [])]
SECONDS = 0.5


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return write_site(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module", params=SERVERS)
def server(request, site, tmp_path_factory):
    """Return the name of a server that serves the site, its port, and what it logged so far."""
    if request.param == "nginx":
        folder = tmp_path_factory.mktemp("nginx")
        soon = {"client_header_timeout 10s": "client_header_timeout 1s"}
        with run_nginx(site, folder, soon) as (port, log):
            yield request.param, port, log.read_text
    else:
        with serve_in_thread(lambda: create_server(site, header_seconds=SECONDS)) as address:
            yield request.param, int(address.rsplit(":", 1)[1].strip("/")), str


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_each_request_of_the_table(server, row):
    name, port, _ = server
    check(port, row, local=name == "wsd serve")


def test_a_request_that_is_not_http(server):
    _, port, _ = server
    for target in ("/ HTTP/1.1\r\nno colon\r\nX:", "/ HTTP/9.9\r\nX:", "/ \x16\x03\x01\x02"):
        status, headers, _ = ask(port, Row(target))
        assert status in (400, 505)
        assert len(headers.get_all("Content-Security-Policy")) == 1


@pytest.mark.slow
@pytest.mark.timed
def test_slow_clients_are_sent_away(server):
    _, port, _ = server
    with slow_connections(port, 20) as opened, at_most(4, time.monotonic):
        for connection in opened:
            connection.settimeout(5)
            # The server ends the connection, with an answer or without one.
            while True:
                try:
                    if not connection.recv(1000):
                        break
                except ConnectionResetError:
                    break


@pytest.mark.slow
@pytest.mark.timed
def test_many_slow_clients_keep_nobody_else_waiting(server):
    name, port, _ = server
    # `wsd serve` serves whoever started it, with the open files that a process usually has.
    with slow_connections(port, 2200 if name == "nginx" else 300), at_most(2, time.monotonic):
        assert ask(port, Row("/"))[0] == 200


@pytest.mark.slow
def test_nothing_is_logged(server, caplog, capfd):
    _, port, logged = server
    for row in TABLE:
        ask(port, row)
    assert caplog.text == ""
    assert capfd.readouterr().err == ""
    assert logged() == ""
