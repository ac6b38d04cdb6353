"""One table of requests that both servers answer alike: `wsd serve`, and nginx in the image."""

import gzip
import http.client
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import brotli

from wsd.runtime.http_headers import HEADERS, cache_control, nginx_settings
from wsd.util.files import REPOSITORY

SHARD = f"models/x/unet-0.{'0a' * 32}.bin"
SCRIPT = "assets/main.ABCDEF23.js"
SECRET = b"a secret"
BYTES = bytes(range(100))
TEXT = b"let a = 1;" * 99
TWINS = (
    SCRIPT,
    "sw.js",
    "models/x/m.json",
    *(f"models/x/{'k' * n}.wasm" for n in range(1, 90, 11)),
)
# Content-Encoding → what the twins hold.
CODED = {"br": brotli.compress(TEXT), "gzip": gzip.compress(TEXT, mtime=0)}
OTHER = "assets/other.ABCDEF23.js"


def write_site(folder: Path) -> Path:
    """Write a site of plain files, and of what may not be served; returns its folder.

    Everything that may not be served holds :data:`SECRET`.
    """
    site = folder / "site"
    outside = folder / "outside"
    plain = {
        "index.html": b"<!doctype html>", "client.js": b"1;", "models/index.json": b"[]",
        SHARD: BYTES, SCRIPT: TEXT, OTHER: TEXT, "models/x/a+b@c-1_2.json": b"{}",
        ".well-known/security.txt": b"Contact: x\n",
    }  # fmt: skip
    hidden = (
        ".env", ".git/config", "models/.hidden", "models/x/.htpasswd", ".well-known/other",
        "index.html~", "with space.txt", "semi;colon.txt", "percent%41.txt", "caf\u00e9.txt",
        "line\nbreak.txt", "a.", "-a", "models/x/quote'.txt",
    )  # fmt: skip
    secrets = {f"site/{name}": SECRET for name in hidden}
    secrets |= {"outside/file.txt": SECRET, f"outside/{Path(SHARD).name}": SECRET}
    for name, data in ({f"site/{name}": data for name, data in plain.items()} | secrets).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    # Compressed twins: of files of several folders and lengths of names, and one that is a link.
    for name in TWINS:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(TEXT)
        (site / f"{name}.br").write_bytes(CODED["br"])
        (site / f"{name}.gz").write_bytes(CODED["gzip"])
    (site / f"{OTHER}.br").symlink_to(outside / "file.txt")
    (site / "link.txt").symlink_to(outside / "file.txt")
    (site / "linked").symlink_to(outside)
    (site / "models" / "relative.txt").symlink_to("../../outside/file.txt")
    (site / "nowhere.txt").symlink_to("missing")
    (site / "circle.txt").symlink_to("circle.txt")
    os.mkfifo(site / "pipe.txt")
    # Both servers run as somebody else than who wrote the site.
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return site


@dataclass(frozen=True)
class Row:
    """A request and the statuses that may answer it.

    Attributes:
        target: what stands between method and version in the first line.
        statuses: of both servers; of nginx alone, if `local` names those of `wsd serve`.
    """

    target: str
    statuses: tuple[int, ...] = (404,)
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    local: tuple[int, ...] = ()
    body: bytes | None = None

    def __str__(self):
        asked = " ".join(f"{name}: {value[:40]}" for name, value in self.headers.items())
        return (
            f"{self.method} {self.target[:60]} {asked}".rstrip().encode("ascii", "replace").decode()
        )


def ranges(value, *statuses, body=None, **more):
    return Row(f"/{SHARD}", statuses, headers={"Range": value, **more}, body=body)


MISSING = (
    "/missing", f"/assets/x.{'0' * 64}.bin", f"/{SHARD}/", f"/{SHARD}/more", "/models", "/models/",
    "/.env", "/%2eenv", "/.git/config", "/%2Egit/config", "/models/.hidden", "/models/x/.htpasswd",
    "/.well-known/other", "/.well-known/", "/index.html~", "/with%20space.txt", "/semi;colon.txt",
    "/percent%2541.txt", "/caf%C3%A9.txt", "/line%0Abreak.txt", "/a.", "/-a",
    "/models/x/quote%27.txt", "/index.html%0A", f"/{SCRIPT}.br", f"/{SCRIPT}.gz", f"/{SCRIPT}.b%72",
    "/link.txt", "/linked/file.txt", f"/linked/{Path(SHARD).name}", "/models/relative.txt",
    "/nowhere.txt", "/circle.txt", "/pipe.txt", "//index.html", "/models//index.json",
    "/%ff%fe", "/" + "a" * 300, "/" + "a/" * 700 + "a", "/*", "/index.html:stream", "/%5c..%5cetc",
)  # fmt: skip
# Servers may also refuse what cannot be an address, or climbs out of the folder.
ODD = (
    "/../outside/file.txt", "/%2e%2e/outside/file.txt", "/models/..%2f..%2foutside%2ffile.txt",
    "/index.html%00", "/%00", "/%", "/%zz", "index.html", "/a" * 20_000, "*", "http:///",
)  # fmt: skip
TABLE = [
    *(Row(target) for target in MISSING),
    *(Row(target, (400, 404, 414)) for target in ODD),
    Row("/", (200,)), Row("/index.html", (200,)), Row("/?query", (200,)),
    Row("/client.js", (200,)), Row("/models/index.json", (200,)),
    Row("/models/x/a+b@c-1_2.json", (200,)), Row("/models/x/a%2Bb%40c-1_2.json", (200,)),
    Row("/.well-known/security.txt", (200,)),
    Row(f"/{SHARD}", (200,), body=BYTES), Row(f"/{SHARD}", (200,), "HEAD", body=b""),
    Row(f"/{SCRIPT}", (200,)), Row("/missing", (404,), "HEAD", body=b""),
    *(Row("/index.html", (405,), method) for method in ("POST", "PUT", "DELETE", "OPTIONS",
                                                        "PATCH", "PROPFIND")),
    Row(f"/{SHARD}", (400, 405), "WSD"), Row(f"/{SHARD}", (400, 405), "get"),
    Row("/index.html", (405,), "TRACE"), Row("example.com:443", (400, 405), "CONNECT"),
    # Compressed, where a plain file is beside it.
    *(Row(f"/{name}", (200,), headers={"Accept-Encoding": coding}, body=body)
      for coding, body in CODED.items() for name in TWINS),
    Row(f"/{OTHER}", (200,), headers={"Accept-Encoding": "br"}, body=TEXT),
    Row(f"/{SCRIPT}", (200,), body=TEXT),
    # Of one range its bytes, of several the whole, of none that fits nothing.
    ranges("bytes=4-7", 206, body=BYTES[4:8]), ranges("bytes=95-", 206, body=BYTES[95:]),
    ranges("bytes=-5", 206, body=BYTES[95:]), ranges("bytes=90-900", 206, body=BYTES[90:]),
    ranges("bytes=0-1,4-5", 200, body=BYTES), ranges("bytes=0-1, 0-1, 0-1", 200, body=BYTES),
    ranges("bytes=" + ",".join(["0-"] * 500), 200, body=BYTES),
    ranges("items=0-5", 200, body=BYTES), ranges("bytes=4-7", 200, If_Range='"other"', body=BYTES),
    ranges("bytes=100-", 416), ranges("bytes=999999999-", 416), ranges("bytes=5-2", 416),
    ranges("bytes=x", 416), ranges("bytes=" + "9" * 5000 + "-", 416),
    Row("/missing", (404,), headers={"Range": "bytes=0-"}),
    # What is not HTTP, or too long.
    Row("/", (400,), headers={"Host": ""}), Row("/", (400, 421), headers={"Host": "a b"}),
    Row("/", (400,), headers={"Host": "localhost\r\nHost: localhost"}),
    Row("/", (400,), headers={"X": "a" * 40_000}),
    Row("/", (400, 413), headers={"Content-Length": "-1"}),
    Row("/", (400,), headers={"Transfer-Encoding": "chunked\r\nContent-Length: 4"}),
    # Another site's name that points here.
    *(Row("/", (200,), headers={"Host": host}, local=(421,))
      for host in ("evil.example", "localhost.evil.example:8080", "192.168.0.1", "127.0.0.1.")),
    Row("/", (200,), headers={"Host": "LOCALHOST:8080"}),
    Row("/", (200,), headers={"Host": "[::1]:1"}),
]  # fmt: skip


def ask(port, row):
    """Send a row's request to this machine; returns status, headers and body of the answer."""
    headers = {"Host": "localhost", **row.headers}
    lines = [f"{row.method} {row.target} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        answer = http.client.HTTPResponse(connection, method=row.method)
        answer.begin()
        return answer.status, answer.headers, answer.read()


def check(port, row, *, local):
    """Compare a server's answer with a row of the table.

    Args:
        local: whether the server is `wsd serve`.
    """
    status, headers, body = ask(port, row)
    assert status in (row.local if local and row.local else row.statuses)
    assert SECRET not in body
    if row.body is not None:
        assert body == row.body
    expected = HEADERS | {"Cache-Control": cache_control(row.target, status)}
    for name, value in expected.items():
        assert headers.get_all(name) == [value], name
    for name in ("Content-Type", "Content-Length", "ETag", "Server"):
        assert len(headers.get_all(name, [])) <= 1, name
    # Neither the version of a program nor, in an error, the request's own text.
    said = str(headers) + (body.decode("latin1") if status >= 400 else "")
    assert re.search(r"nginx/|Python/|evil|<script", said) is None


@contextmanager
def slow_connections(port, count):
    """Open connections that have sent a part of their header, and send no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count)), hard))
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection(("127.0.0.1", port), 10))
            opened[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        yield opened
    finally:
        for connection in opened:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def find_nginx():
    """Return Debian's nginx where it is installed with both of its modules, else None."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None or not all(path.exists() for path in _modules(Path(found))):
        return None
    return Path(found)


def _modules(program):
    folder = program.parents[1] / "lib" / "nginx" / "modules"
    names = re.findall(r"load_module \S+/(\S+);", _settings())
    assert len(names) == 2
    return [folder / name for name in names]


def _settings():
    return (REPOSITORY / "docker" / "nginx" / "nginx.conf").read_text()


def write_settings(folder, changes):
    """Write the image's nginx.conf and answers.conf with some texts changed; returns the first."""
    text = _settings()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "answers.conf").write_text(nginx_settings())
    (folder / "nginx.conf").write_text(text)
    return folder / "nginx.conf"


@contextmanager
def run_nginx(site, folder, changes):
    """Serve a site with this machine's nginx and the image's settings; yields port and log."""
    program = find_nginx()
    assert program is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    moved = {
        "/usr/lib/nginx/modules": str(_modules(program)[0].parent), "/dev/shm": str(folder),
        "listen 8080": f"listen 127.0.0.1:{port}", "root /site": f"root {site}",
        "daemon off;": "daemon off;" + (" user root;" if os.geteuid() == 0 else ""),
    }  # fmt: skip
    settings = write_settings(folder, {**moved, **changes})
    log = folder / "log"
    command = [program, "-e", "stderr", "-p", folder, "-c", settings]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            wait_until_healthy(port)
            yield port, log
        finally:
            process.terminate()


def wait_until_healthy(port, seconds=10):
    """Wait until nginx answers its health check."""
    limit = time.monotonic() + seconds
    while True:
        try:
            assert ask(port, Row("/healthz"))[0] == 204
        except OSError:
            assert time.monotonic() < limit
            time.sleep(0.02)
        else:
            return
