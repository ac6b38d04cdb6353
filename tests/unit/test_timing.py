"""Tests that ask for a time: what is slow each time fails, what was slow once runs again."""

import os
import subprocess
import sys
import time

import pytest

from timing import TooSlowError, at_most, check_growth
from wsd.util.files import REPOSITORY

CONFTEST = """
from timing import run_late_ones_again

def pytest_collection_modifyitems(items):
    run_late_ones_again(items)
"""
TESTS = """
import time
import pytest
from timing import at_most

runs = []

@pytest.mark.timed
def test_late_once():
    runs.append("once")
    with at_most(0.05, time.monotonic):
        time.sleep(0.1 if runs.count("once") == 1 else 0)

@pytest.mark.timed
def test_late_always():
    runs.append("always")
    with at_most(0.05, time.monotonic):
        time.sleep(0.1)

@pytest.mark.timed
def test_wrong():
    runs.append("wrong")
    with at_most(60):
        assert runs.count("wrong") > 1

def test_late_without_the_mark():
    runs.append("unmarked")
    with at_most(0, time.monotonic):
        assert runs.count("unmarked") == 1
        time.sleep(0.01)

def test_how_often_each_ran():
    assert [runs.count(name) for name in ("once", "always", "wrong", "unmarked")] == [2, 3, 1, 1]
"""


def linear(count):
    sum(range(10 * count))


def quadratic(count):
    for _ in range(count):
        sum(range(count))


@pytest.mark.slow
@pytest.mark.timed
def test_linear_growth_is_taken():
    check_growth(linear, 1_000)


@pytest.mark.slow
def test_quadratic_growth_is_refused():
    with pytest.raises(TooSlowError, match=r"50 times as much took \d{3,} times as long"):
        check_growth(quadratic, 30)


def test_what_is_late_is_refused_and_other_errors_are_passed_on():
    with pytest.raises(TooSlowError, match=r"took .* s, expected at most 0 s"), at_most(0):
        sum(range(1_000))
    with pytest.raises(KeyError), at_most(0, time.monotonic):
        raise KeyError


@pytest.mark.slow
def test_only_what_was_late_and_is_marked_runs_again(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = timed\n")
    path = [str(REPOSITORY / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip
    assert "3 failed, 2 passed, 3 rerun" in done.stdout, done.stdout + done.stderr
