"""A static server for a bundle, with the headers of the production server.

WebGPU needs a secure context; localhost counts as one.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from aiohttp import web

from wsd.bundle.manifest import find_manifests
from wsd.errors import UsageError
from wsd.runtime.http_headers import HEADERS, TYPES, cache_control

HOST = "127.0.0.1"


def create_app(folder: Path, headers: Mapping[str, str] = HEADERS) -> web.Application:
    """Return the application that serves a folder's files, and nothing outside the folder.

    Args:
        folder: whose ``index.html`` answers for ``/``.
        headers: name → value of what every answer has; ``Cache-Control`` is added.
    """
    root = folder.resolve()

    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"] or "index.html"
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise web.HTTPNotFound(text=f"{name} is not in this folder\n")
        response = web.FileResponse(path)
        if path.suffix in TYPES:
            response.content_type = TYPES[path.suffix]
        return response

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)
        response.headers["Cache-Control"] = cache_control(request.path, response.status)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    app.on_response_prepare.append(add_headers)
    return app


async def _listen(app: web.Application, port: int) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
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
        runner, found = await _listen(create_app(bundle), port)
        print(f"http://{HOST}:{found}/", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        return


def served(bundle: Path) -> AbstractContextManager[str]:
    """Serve a bundle from a thread; yields its address, with a slash at the end.

    Args:
        bundle: a bundle's folder.

    Raises:
        BundleError: if the folder is not a bundle.
    """
    find_manifests(bundle)
    return _served(create_app(bundle))


def served_files(folder: Path) -> AbstractContextManager[str]:
    """Serve any folder, without a bundle's security headers: for measurements alone."""
    return _served(create_app(folder, {}))


@contextmanager
def _served(app: web.Application) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        runner, port = asyncio.run_coroutine_threadsafe(_listen(app, 0), loop).result()
        try:
            yield f"http://{HOST}:{port}/"
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
