"""What tests ask of times: little enough that a busy machine fails none, and that a fault does.

A test that asks for a time is marked `timed`. If the time is what fails (:class:`TooSlowError`),
the test is run again, twice at most; whatever else fails is reported at once. A fault is as slow
each time.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

RERUNS = 2
# Rounds in which growth is measured; the first one that is linear ends them.
_ROUNDS = 3


class TooSlowError(AssertionError):
    """Something took longer than it may, which a busy machine may have done too."""


def run_late_ones_again(items: Iterable[pytest.Item]) -> None:
    """Let tests that are marked `timed` run again after a :class:`TooSlowError`, and no other."""
    for item in items:
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=RERUNS, only_rerun=[TooSlowError]))


def check_seconds(taken: float, most: float, what: str = "it") -> None:
    """Refuse a measured time that is above the most that is allowed; both in seconds."""
    if taken > most:
        raise TooSlowError(f"{what} took {taken:.3g} s, expected at most {most:.3g} s")


@contextmanager
def at_most(seconds: float, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Refuse a block that takes longer; what the block raises itself is not changed.

    Args:
        seconds: the most that it may take.
        clock: the processor's time in this process, which other programs change little. What
            waits for others is measured by `time.monotonic`.
    """
    began = clock()
    yield
    check_seconds(clock() - began, seconds)


def check_growth(work: Callable[[int], object], count: int, times: int = 50) -> None:
    """Refuse work whose time grows faster than its amount; only a much faster growth is certain.

    The bound is the geometric middle between linear and quadratic growth: 354 times as long for 50
    times as much. So either may be measured wrongly by a factor of seven. Of the smaller
    amount, the fastest of five repetitions counts. Times are the processor's, without garbage
    collection (`timeit`), which otherwise visits all objects of this process in the midst of the
    longer work.

    Args:
        work: gets an amount.
        count: the smaller amount, enough for a tenth of a millisecond.
        times: how many times as much the larger amount is.
    """

    def fewest(amount: int, repeat: int) -> float:
        timer = timeit.Timer(lambda: work(amount), timer=time.process_time)
        return min(timer.repeat(repeat, number=1))

    bound = float(times) ** 1.5
    ratio = bound
    for _ in range(_ROUNDS):
        short = fewest(count, 5)
        ratio = fewest(times * count, 1) / short
        if ratio < bound:
            return
    raise TooSlowError(
        f"{times} times as much took {ratio:.0f} times as long, expected less than {bound:.0f}"
    )
