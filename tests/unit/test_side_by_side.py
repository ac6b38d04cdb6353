"""Commands that run side by side: their reports, their failures, their order."""

import os
import sys

import pytest

from tools.side_by_side import Command, run_side_by_side


def python(name, code, **options):
    return Command(name, [sys.executable, "-c", code], **options)


def run(*commands, workers=2):
    lines = []
    return run_side_by_side(commands, dict(os.environ), workers, lines.append), lines


@pytest.mark.slow
def test_what_fails_is_named_and_stops_nothing(capfd):
    failed, lines = run(
        python("good", "print('quiet')"),
        python("bad", "import sys; print('why'); sys.exit(3)"),
        Command("absent", ["no-such-program"]),
        python("last", ""),
    )
    assert sorted(failed) == ["absent", "bad"]
    assert {line.partition(":")[0] for line in lines} == {
        "ok good", "FAILED bad", "FAILED absent", "ok last",
    }  # fmt: skip
    printed = capfd.readouterr().out
    assert "why" in printed
    assert "no-such-program" in printed
    assert "quiet" not in printed


@pytest.mark.slow
def test_two_at_a_time(tmp_path):
    """Each waits for a file of the other: one after the other, neither would end well."""
    code = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
end = time.monotonic() + 30
while not other.exists():
    assert time.monotonic() < end
    time.sleep(0.01)
"""
    one, two = tmp_path / "one", tmp_path / "two"
    commands = [
        Command(name, [sys.executable, "-c", code, *pair])
        for name, pair in (("a", (one, two)), ("b", (two, one)))
    ]
    assert run(*commands)[0] == []


def test_folder_and_variables(tmp_path):
    code = "import os, pathlib; pathlib.Path('here').write_text(os.environ['SAID'])"
    assert run(python("it", code, folder=tmp_path, variables={"SAID": "yes"}))[0] == []
    assert (tmp_path / "here").read_text() == "yes"


PYTEST = """
print("collected 3 items")
print("SKIPPED [1] test_gpu.py:3: not run: no GPU")
print("package-lock.json: not audited: no advisory source")
print("======= 2 passed, 1 skipped in 0.03s =======")
"""


@pytest.mark.slow
def test_what_passes_says_how_many_tests_and_what_was_not_run():
    failed, lines = run(python("tests", PYTEST), workers=1)
    assert failed == []
    assert lines[0].startswith("ok tests: ")
    assert lines[1:] == [
        "tests: SKIPPED [1] test_gpu.py:3: not run: no GPU",
        "tests: package-lock.json: not audited: no advisory source",
        "tests: 2 passed, 1 skipped in 0.03s",
    ]


@pytest.mark.slow
def test_what_fails_is_printed_once(capfd):
    failed, lines = run(python("tests", PYTEST + "raise SystemExit(1)"), workers=1)
    assert failed == ["tests"]
    (line,) = lines
    assert line.startswith("FAILED tests: ")
    assert capfd.readouterr().out == PYTEST.replace('print("', "").replace('")', "").lstrip()
