"""Marks that share the cases of a table out among the usual, the full and the exhaustive tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def some_of(cases: Iterable[Any], every: int) -> list[Any]:
    """Return cases for pytest, of which each run of the tests has a part.

    Of every few cases the first is for each run, the second for the full tests, and the others are
    for the exhaustive ones.

    Args:
        cases: the rows of a table; a tuple has the values of several parameters.
        every: of how many cases each run has one.
    """
    marks = ((), pytest.mark.full, *[pytest.mark.exhaustive] * (every - 2))
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks[number % every])
        for number, case in enumerate(cases)
    ]


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
