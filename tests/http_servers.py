"""Servers of the standard library that run in a thread while a test does something."""

import threading
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder over connections that last, and says nothing."""

    protocol_version = "HTTP/1.1"

    def handle(self):
        # A browser closes connections whenever it likes.
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_):
        """Stay silent."""


def serving_folder(handler, folder, **state):
    """Run a server of a folder in a thread; yields it.

    Args:
        handler: subclass of :class:`QuietHandler`.
        folder: what it serves.
        state: attributes of the server, which its handler reads.
    """
    return running(partial(handler, directory=str(folder)), **state)


@contextmanager
def running(handler, **state):
    """Run a server in a thread; yields it, with some attributes for its handler."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    for name, value in state.items():
        setattr(server, name, value)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
