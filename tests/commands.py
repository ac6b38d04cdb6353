"""Commands in this process, with the models of tests among WSD's own."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace

import pytest
from speck import SPECK

from wsd.cli import main
from wsd.zoo import FAMILIES

TWIN = replace(SPECK, name="twin", title="Another model for tests")


def wsd(*words: object) -> tuple[int, list[str]]:
    """Run a command; return its exit code and the lines that it prints."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        for family in (SPECK, TWIN):
            patch.setitem(FAMILIES, family.name, family)
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, printed.getvalue().splitlines()
