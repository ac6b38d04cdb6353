"""Marks that share the cases of a table out among the usual, the full and the exhaustive tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def twelfths(names: Iterable[str], usual: Collection[str] = ()) -> list[Any]:
    """Return names of cases for pytest: a twelfth for the full tests, the rest for the exhaustive.

    Args:
        names: of all cases, in their order.
        usual: those of them that every run of the tests has.
    """
    marks = (*[pytest.mark.exhaustive] * 11, pytest.mark.full)
    return [
        pytest.param(name, marks=() if name in usual else marks[number % 12])
        for number, name in enumerate(names)
    ]
