"""-v: what WSD's loggers say, on standard error."""

import logging
import sys

import pytest

from wsd.cli.main import main
from wsd.cli.verbosity import set_verbosity
from wsd.errors import ToolError
from wsd.util.process import run


@pytest.fixture(autouse=True)
def logger():
    """Leave WSD's loggers as they were."""
    logger = logging.getLogger("wsd")
    level, handlers = logger.level, list(logger.handlers)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.mark.parametrize(
    ("verbose", "said"),
    [(0, ["warning"]), (1, ["info", "warning"]), (2, ["debug", "info", "warning"])],
)
def test_each_v_shows_more(capsys, verbose, said):
    set_verbosity(verbose)
    other = logging.getLogger("wsd.compiler.pipeline")
    other.debug("a debug line")
    other.info("an info line")
    other.warning("a warning line")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split()[-2] for line in captured.err.splitlines()] == said
    assert captured.err.splitlines()[-1] == "note: a warning line"


def test_it_is_set_once(capsys, logger):
    set_verbosity(1)
    set_verbosity(1)
    logger.info("once")
    assert capsys.readouterr().err == "INFO wsd: once\n"


@pytest.mark.slow
def test_a_program_that_was_run(caplog):
    caplog.set_level(logging.DEBUG, "wsd")
    run([sys.executable, "-c", "pass"])
    started, ended = caplog.messages
    assert started == f"running {sys.executable} -c pass"
    assert "exit code 0" in ended
    with pytest.raises(ToolError):
        run([sys.executable, "-c", "exit(3)"])
    assert "exit code 3" in caplog.messages[-1]


def test_results_stay_on_standard_output(capsys):
    assert main(["-vv", "models"]) == 0
    assert "tiny-sd15" in capsys.readouterr().out


def test_a_library_that_is_given_is_not_dumped(capsys, tmp_path):
    given = ["build", "--model", "tiny-sd15", "--library", tmp_path, "--dump-ir", tmp_path / "ir"]
    assert main([*map(str, given), "--out", str(tmp_path / "out")]) == 2
    assert "--dump-ir too" in capsys.readouterr().err
