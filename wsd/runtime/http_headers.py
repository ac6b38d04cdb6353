"""Headers of every answer, one list for the development server and for nginx.

The page needs cross-origin isolation for precise timers, and no script but its own.
"""

from __future__ import annotations

import re

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        "style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types wsd"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "no-cache"
TYPES = {".wasm": "application/wasm", ".bin": "application/octet-stream"}

# A file whose name carries its digest never changes.
_HASHED = r"\.([0-9a-f]{64}|[0-9A-Z]{8})\.[a-z]+$"


def cache_control(name: str, status: int) -> str:
    """Return the Cache-Control of a file: for good, if its name carries its digest.

    An error is never kept: the file may come.
    """
    hashed = re.search(_HASHED, name) is not None
    return IMMUTABLE if hashed and status < 400 else REVALIDATED


def nginx_headers() -> str:
    """Return the same as directives of nginx's ``http`` block."""
    lines = [
        'map "$status $uri" $wsd_cache_control {',
        f'  default "{REVALIDATED}";',
        f'  "~^[23]..\\ .*{_HASHED}" "{IMMUTABLE}";',
        "}",
        "add_header Cache-Control $wsd_cache_control always;",
        *(f'add_header {name} "{value}" always;' for name, value in HEADERS.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(nginx_headers(), end="")
