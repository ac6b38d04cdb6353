"""Security headers of every answer, and which files the development server and nginx serve.

The page needs cross-origin isolation for precise timers, and no script but its own.
"""

from __future__ import annotations

import re

from wsd.spec.page_policy import CONTENT_SECURITY_POLICY
from wsd.spec.paths import NAME_PATTERN

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "no-cache"
# Ending → media type; text is in UTF-8. Files of any other ending are UNKNOWN_TYPE.
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".bin": "application/octet-stream",
    ".png": "image/png",
    ".webp": "image/webp",
    ".txt": "text/plain",
}
UNKNOWN_TYPE = "application/octet-stream"
# Media types that are sent with their charset.
TEXT_TYPES = ("text/html", "text/css", "text/javascript", "application/json", "text/plain")
# The only file that is served although a name in its path begins with a dot (RFC 9116).
SECURITY_TXT = ".well-known/security.txt"
# Endings of compressed twins, which nginx sends in place of a file of the bundle.
TWINS = (".br", ".gz")

# A file whose name carries its digest never changes.
_HASHED = r"\.([0-9a-f]{64}|[0-9A-Z]{8})\.[a-z]+$"


def cache_control(name: str, status: int) -> str:
    """Return the Cache-Control of a file: for good, if its name carries its digest.

    An error is never kept: the file may come.
    """
    hashed = re.search(_HASHED, name) is not None
    return IMMUTABLE if hashed and status < 400 else REVALIDATED


def content_type(suffix: str) -> str:
    """Return the ``Content-Type`` of a file by its ending, such as ``.js``."""
    kind = TYPES.get(suffix, UNKNOWN_TYPE)
    return f"{kind}; charset=utf-8" if kind in TEXT_TYPES else kind


def nginx_settings() -> str:
    """Return the same rules as directives of nginx's ``http`` block.

    ``$wsd_is_file`` is 1 for addresses that may be a file of a bundle. The headers are those of the
    module headers-more: nginx's own ``add_header`` sends each twice where a range fits no file.
    """
    name = NAME_PATTERN.strip("^$")
    twins = "|".join(ending.strip(".") for ending in TWINS)
    return "\n".join(
        [
            'map "$status $uri" $wsd_cache_control {',
            # Asked again when a range fits no file: the status has changed.
            "  volatile;",
            f'  default "{REVALIDATED}";',
            f'  "~^[23]..\\ .*{_HASHED}" "{IMMUTABLE}";',
            "}",
            "map $uri $wsd_is_file {",
            "  default 0;",
            f'  "~\\.({twins})$" 0;',
            f'  "~^/({name}/)*{name}$" 1;',
            f'  "/{SECURITY_TXT}" 1;',
            "}",
            "more_set_headers 'Cache-Control: $wsd_cache_control';",
            *(f'more_set_headers "{name}: {value}";' for name, value in HEADERS.items()),
            "types {",
            *(f"  {kind} {ending.strip('.')};" for ending, kind in TYPES.items()),
            "}",
            f"default_type {UNKNOWN_TYPE};",
            "charset utf-8;",
            # nginx has text/html in this list by itself.
            f"charset_types {' '.join(kind for kind in TEXT_TYPES if kind != 'text/html')};",
            "",
        ]
    )


if __name__ == "__main__":
    print(nginx_settings(), end="")
