"""Run programs; the only module of the package that starts one."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from wsd.errors import ToolError
from wsd.util.stops import defer_stops

_LOG = logging.getLogger(__name__)
_TAIL_LINES = 20
# Seconds in which a program that is asked to end may remove its temporary files.
_GRACE_SECONDS = 2.0


def find_program(name: str, hint: str) -> str:
    """Return the full path of a program on ``PATH``.

    Raises:
        ToolError: if it is not installed; ``hint`` says how to get it.
    """
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"program {name!r} not found on PATH", hint)
    return path


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    hint: str = "see its output above",
    check: bool = True,
    timeout: float | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    If an exception ends the wait, as that of a signal does, the program and those that it started
    are ended too.

    Args:
        command: program and arguments; no shell is involved.
        cwd: folder to run in.
        env: variables set on top of this process's environment.
        hint: what to do when the program fails.
        check: whether a non-zero exit is a failure; some programs say with it what they found.
        timeout: seconds that it may take.

    Raises:
        ToolError: on a non-zero exit, with the end of the program's output; if it cannot be
            started, or takes too long.
    """
    words = [str(word) for word in command]
    _LOG.debug("running %s", shlex.join(words))
    started = time.perf_counter()
    try:
        done = _run(words, cwd, {**os.environ, **(env or {})}, timeout)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{words[0]} took more than {timeout} s", hint) from error
    except OSError as error:
        raise ToolError(f"could not start {words[0]}: {error}", hint) from error
    seconds = time.perf_counter() - started
    _LOG.info("ran %s: exit code %d, %.1f s", Path(words[0]).name, done.returncode, seconds)
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_TAIL_LINES:]
        raise ToolError(
            f"{Path(words[0]).name} exited with code {done.returncode}\n" + "\n".join(said), hint
        )
    return done.stdout


def _run(
    words: list[str], cwd: Path | None, env: Mapping[str, str], timeout: float | None
) -> subprocess.CompletedProcess[str]:
    """Run a program as ``subprocess.run`` does, in a process group of its own."""
    process: subprocess.Popen[str] | None = None
    try:
        with defer_stops():
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=env,
                text=True,
                encoding="utf-8",
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
            )
        output, said = process.communicate(timeout=timeout)
    except BaseException:
        with defer_stops():
            if process is not None:
                _end_group(process)
        raise
    return subprocess.CompletedProcess(words, process.returncode, output, said)


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a program and the programs that it started: emcc starts clang, npm starts node."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
