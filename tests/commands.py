"""Commands in this process, with the models of tests among WSD's own."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from speck import SPECK, TWIN
from wsd.cli.main import main
from wsd.models.registry import FAMILIES


def exit_code(*words: object) -> int:
    """Run a command; return its exit code."""
    try:
        return main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)


def wsd(*words: object) -> tuple[int, list[str]]:
    """Run a command; return its exit code and the lines that it prints."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        for family in (SPECK, TWIN):
            patch.setitem(FAMILIES, family.name, family)
        code = exit_code(*words)
    return code, printed.getvalue().splitlines()
