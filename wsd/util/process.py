"""Run programs, and functions in processes of their own."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

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


def call_apart(function: Callable[[], bytes], seconds: float) -> bytes:
    """Call a function in a forked process, so that it can neither hang nor crash this one.

    It is for native code, which no thread can end. Only on Linux is it safe to fork a process that
    runs libraries: elsewhere the function is called here, without a limit.

    Args:
        function: is called once; what it changes is lost.
        seconds: that it may take.

    Returns:
        what the function returns.

    Raises:
        TimeoutError: if it takes longer.
        ChildProcessError: if the process crashes.
        AssertionError: if the function raises; the message is the traceback.
    """
    if sys.platform != "linux":
        return function()
    reader, writer = os.pipe()
    child = 0
    try:
        with defer_stops(), warnings.catch_warnings():
            # Python warns of threads, whose locks the new process might wait for. It has a limit.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
            if not child:
                _answer(function, writer, seconds)
        os.close(writer)
        with open(reader, "rb") as pipe:  # noqa: PTH123 - it is a number
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
    except BaseException:
        if child:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        raise TimeoutError(f"it took more than {seconds:g} s")
    if code or not answer:
        raise ChildProcessError(f"its process ended with code {code}")
    if answer[0]:
        raise AssertionError(answer[1:].decode())
    return answer[1:]


def _answer(function: Callable[[], bytes], writer: int, seconds: float) -> NoReturn:
    """Call a function and write what it returns, or the traceback of its error, to a pipe."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        # The operating system ends the process then, whatever it does and whoever waits for it.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            answer = b"\0" + function()
        except Exception:
            answer = b"\1" + traceback.format_exc().encode(errors="replace")
        with open(writer, "wb") as pipe:
            pipe.write(answer)
        code = 0
    finally:
        os._exit(code)
