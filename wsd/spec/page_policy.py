"""Content-Security-Policy of the page, for its answers and for its own element."""

from __future__ import annotations

from typing import Final

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types wsd"
)


def page_policy() -> str:
    """Return the policy of the page's element; browsers take no ``frame-ancestors`` from one."""
    directives = CONTENT_SECURITY_POLICY.split("; ")
    return "; ".join(each for each in directives if not each.startswith("frame-ancestors"))
