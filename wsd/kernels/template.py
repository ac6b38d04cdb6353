"""Render a WGSL template of ``wsd/kernels/templates/`` with Jinja2.

A template is a whole shader that one can read: its header states the equation, the layout of
each operand, the tile, the preconditions and the roofline. Parameters are compile-time
constants; loops of a template (``{% for %}``) are unrolled in the shader. Headers are comments
of the template (``{# #}``): they cost no bytes in a bundle, and a change of them changes no
shader. What several templates need is a macro in a file that they import.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import jinja2

from wsd.kernels.variant import VECTOR
from wsd.spec.parameter import GROUP

# The line of a template that divides the head of a launch from its body.
BODY_MARK = "// body"

_OPENING, _CLOSING = "([{", ")]}"
# How a line ends after which a statement goes on in the next line.
_GOES_ON = re.compile(r"[^;{}()\[\],]$")


def make_environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Return what renders templates of WGSL, from wherever a loader finds them."""
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 # nosec B701 - WGSL, not HTML
    )
    environment.globals["VECTOR"] = VECTOR
    environment.globals["GROUP"] = GROUP
    return environment


@cache
def _environment() -> jinja2.Environment:
    return make_environment(jinja2.PackageLoader("wsd.kernels", "templates"))


def render(name: str, **parameters: Any) -> str:
    """Return the WGSL of a template, indented by its brackets.

    Args:
        name: file below ``templates/``, such as ``gemm/tiled.wgsl.j2``.
        parameters: everything that the template names.

    Raises:
        jinja2.UndefinedError: if the template names a parameter that is not given.
    """
    return indent_wgsl(_environment().get_template(name).render(parameters))


def render_head_and_body(name: str, **parameters: Any) -> tuple[str, str]:
    """Return the head and the body of a template that has a line ``// body``.

    The head has what differs between kernels of one tile: constants, bindings, the epilogue.
    The body must name nothing else than the tile, because kernels share it in a bundle.

    Raises:
        jinja2.UndefinedError: if the template names a parameter that is not given.
        ValueError: if the template does not have that line exactly once.
    """
    text = _environment().get_template(name).render(parameters)
    head, body = text.split(f"\n{BODY_MARK}\n")
    return indent_wgsl(head), _indent_body(body)


@lru_cache(maxsize=256)
def _indent_body(text: str) -> str:
    """Indent a body, once for all kernels that share it: it takes as long as the rendering."""
    return indent_wgsl(text)


def indent_wgsl(text: str) -> str:
    """Return WGSL with two spaces of indentation a bracket, without empty lines."""
    lines, depth, goes_on = [], 0, False
    for line in map(str.strip, text.splitlines()):
        if not line:
            continue
        code = line.partition("//")[0].rstrip()
        closing = len(code) - len(code.lstrip(_CLOSING))
        lines.append("  " * (max(depth - closing, 0) + goes_on) + line)
        depth += sum(map(code.count, _OPENING)) - sum(map(code.count, _CLOSING))
        goes_on = bool(_GOES_ON.search(code)) and depth > 0
    return "\n".join(lines) + "\n"
