"""Render a WGSL template of ``wsd/kernels/templates/`` with Jinja2.

A template is a whole shader that one can read: its header states the equation, the layout of
each operand, the tile, the preconditions and the roofline. Parameters are compile-time
constants; loops of a template (``{% for %}``) are unrolled in the shader.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("wsd.kernels", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - WGSL, not HTML
    )


def render(name: str, **parameters: Any) -> str:
    """Return the WGSL of a template.

    Args:
        name: file below ``templates/``, such as ``gemm/tiled.wgsl.j2``.
        parameters: everything that the template names.

    Raises:
        jinja2.UndefinedError: if the template names a parameter that is not given.
    """
    return _environment().get_template(name).render(parameters)
