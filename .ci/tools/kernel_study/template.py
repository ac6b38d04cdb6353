"""Render a WGSL template of the study, which may import those of ``wsd/kernels/templates/``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from wsd.kernels.template import BODY_MARK, indent_wgsl, make_environment


@cache
def _environment() -> jinja2.Environment:
    own = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    product = jinja2.PackageLoader("wsd.kernels", "templates")
    return make_environment(jinja2.ChoiceLoader([own, product]))


def render(name: str, **parameters: Any) -> str:
    """Return a whole shader.

    Args:
        name: file in ``templates/`` of the study or of :mod:`wsd.kernels`.
        parameters: everything that the template names.

    Raises:
        jinja2.UndefinedError: if the template names a parameter that is not given.
    """
    text = _environment().get_template(name).render(parameters)
    return indent_wgsl(text.replace(f"\n{BODY_MARK}\n", "\n"))
