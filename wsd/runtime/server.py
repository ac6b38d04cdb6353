"""A static server for a bundle, which answers as the production server does, headers included.

WebGPU needs a secure context; localhost counts as one.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError

from wsd.bundle.manifest import find_manifests
from wsd.errors import UsageError
from wsd.runtime.http_headers import HEADERS, SECURITY_TXT, TWINS, cache_control, content_type
from wsd.spec.paths import check_path
from wsd.util.terminal import say

HOST = "127.0.0.1"
# Seconds in which a client must have sent the whole header of a request, its first or its next.
HEADER_SECONDS = 10.0
# Names of this machine. Another site's owner can let their own name point here; a browser then
# takes this server for that site, but still says the name.
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_METHODS = ("GET", "HEAD")


class _Ours(logging.Filter):
    """Keep requests that are not HTTP out of the log: they are answered with 400."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOG = logging.getLogger("wsd.runtime.server")
_LOG.addFilter(_Ours())


class _File(web.FileResponse):
    """A file, or the one range of it that a request asks for.

    Any other ``Range`` is ignored, as HTTP allows: several ranges, another unit than bytes, or a
    range of a version of the file that the client names by its entity tag.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        wanted = request.headers.get("Range", "")
        version = request.headers.get("If-Range", "")
        single = wanted.lower().startswith("bytes=") and "," not in wanted
        if wanted and (not single or '"' in version):
            headers = request.headers.copy()
            headers.popall("Range", None)
            request = request.clone(headers=headers)
        return await super().prepare(request)


def _find_file(root: Path, address: str) -> Path | None:
    """Return the plain file at an address, such as ``/index.html``, or None.

    No link is followed, and no name is served that a bundle cannot have.
    """
    name = address.removeprefix("/") or "index.html"
    try:
        path = root / (name if name == SECURITY_TXT else check_path(name))
        # Unlike Path.resolve, realpath raises nothing for links that lead in a circle.
        plain = os.path.realpath(path) == str(path) and path.is_file()
    except (OSError, ValueError):
        return None
    return path if plain and path.suffix not in TWINS else None


def create_server(
    folder: Path,
    headers: Mapping[str, str] = HEADERS,
    header_seconds: float = HEADER_SECONDS,
    given: Mapping[str, Path] = MappingProxyType({}),
) -> web.Server:
    """Return the server of a folder's files, and of nothing outside the folder but what is given.

    It is made in the event loop in which it will run.

    Args:
        folder: whose ``index.html`` answers for ``/``.
        headers: name → value of what every answer has, also errors and answers to what is not
            HTTP; ``Cache-Control`` is added.
        header_seconds: after which a connection without a whole request is closed.
        given: name in the address → a file that is served beside the folder's.
    """
    root = folder.resolve()
    beside = {f"/{name}": path.resolve() for name, path in given.items()}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in _METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        names = request.headers.getall("Host", [])
        if len(names) != 1:
            raise web.HTTPBadRequest(text="a request has one Host\n")
        if _HOSTS.fullmatch(names[0]) is None:
            raise web.HTTPMisdirectedRequest(text="this server answers for localhost alone\n")
        path = beside.get(request.path) or _find_file(root, request.path)
        if path is None:
            raise web.HTTPNotFound(text="there is no such file\n")
        return _File(path, headers={"Content-Type": content_type(path.suffix)})

    class Request(web.BaseRequest):
        """A request whose answer gets the headers, also if aiohttp itself refuses the request."""

        async def _prepare_hook(self, response: web.StreamResponse) -> None:
            # It names the versions of Python and aiohttp.
            response.headers.popall("Server", None)
            response.headers.update(headers)
            response.headers["Cache-Control"] = cache_control(self.path, response.status)

    return web.Server(
        handle,
        request_factory=partial(Request, loop=asyncio.get_running_loop()),
        # aiohttp takes a request that is not whole for an idle connection.
        keepalive_timeout=header_seconds,
        access_log=None,
        logger=_LOG,
    )


async def _listen(server: web.Server, port: int) -> tuple[web.ServerRunner, int]:
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UsageError(
            f"port {port} on {HOST} cannot be used: {error.strerror}",
            "choose another --port, or 0 for any free one",
        ) from error
    return runner, int(runner.addresses[0][1])


def serve_forever(bundle: Path, port: int) -> None:
    """Serve a bundle until interrupted; prints the address on standard output.

    Args:
        bundle: a bundle's folder.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        UsageError: if the port is in use.
        BundleError: if the folder is not a bundle.
    """
    find_manifests(bundle)

    async def main() -> None:
        runner, found = await _listen(create_server(bundle), port)
        say(f"http://{HOST}:{found}/")
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        return


def served(
    bundle: Path, given: Mapping[str, Path] = MappingProxyType({})
) -> AbstractContextManager[str]:
    """Serve a bundle from a thread; yields its address, with a slash at the end.

    Args:
        bundle: a bundle's folder.
        given: name in the address → a file that is served beside the bundle's.

    Raises:
        BundleError: if the folder is not a bundle.
    """
    find_manifests(bundle)
    return serve_in_thread(lambda: create_server(bundle, given=given))


def served_files(folder: Path) -> AbstractContextManager[str]:
    """Serve any folder, without a bundle's security headers: for measurements alone."""
    return serve_in_thread(lambda: create_server(folder, {}))


@contextmanager
def serve_in_thread(create: Callable[[], web.Server]) -> Iterator[str]:
    """Run a server in a thread; yields its address, with a slash at the end.

    Args:
        create: returns the server; it is called in the thread's event loop.
    """

    async def start() -> tuple[web.ServerRunner, int]:
        return await _listen(create(), 0)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield f"http://{HOST}:{port}/"
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
