"""A static server for a bundle, with the headers of the production server.

WebGPU needs a secure context; localhost counts as one.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from wsd.errors import UsageError
from wsd.headers import HEADERS, TYPES, cache_control
from wsd.manifest import find_manifests

HOST = "127.0.0.1"


def create_app(bundle: Path) -> web.Application:
    """Return the server's application.

    Raises:
        BundleError: if the folder is not a bundle.
    """
    find_manifests(bundle)
    root = bundle.resolve()

    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"] or "index.html"
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise web.HTTPNotFound(text=f"{name} is not in this bundle\n")
        response = web.FileResponse(path)
        if path.suffix in TYPES:
            response.content_type = TYPES[path.suffix]
        return response

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers["Cache-Control"] = cache_control(request.path, response.status)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    app.on_response_prepare.append(add_headers)
    return app


async def _listen(bundle: Path, port: int) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(create_app(bundle), access_log=None, shutdown_timeout=1)
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

    Raises:
        UsageError: if the port is in use.
        BundleError: if the folder is not a bundle.
    """

    async def main() -> None:
        runner, found = await _listen(bundle, port)
        print(f"http://{HOST}:{found}/", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        return


@contextmanager
def served(bundle: Path) -> Iterator[str]:
    """Serve a bundle from a thread; yields its address, with a slash at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        runner, port = asyncio.run_coroutine_threadsafe(_listen(bundle, 0), loop).result()
        try:
            yield f"http://{HOST}:{port}/"
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
