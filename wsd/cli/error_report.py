"""How a command ends: its exit code, and its error as ``error:`` and ``hint:`` lines.

Everything that a person can act on ends here: WSD's own errors, click's, those of the file system,
and what stops a program. Any other exception is a fault of WSD, and its traceback is shown.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from typing import TextIO

import click

from wsd.errors import ToolError, WsdError
from wsd.util.file_errors import explain, find_os_error
from wsd.util.foreign_messages import show_foreign_messages
from wsd.util.scratch import keep_temporary_files
from wsd.util.stops import Stopped, raise_for_stops
from wsd.util.terminal import say

# Exit code of shells for programs that a signal ended.
_READER_GONE = 128 + 13  # SIGPIPE, which Windows does not have
# TVM is no dependency of WSD, because bundles of compiled libraries are built without it.
_TVM = ("tvm", "tvm_ffi")
TVM_HINT = (
    "install TVM (pip install apache-tvm==0.27.0.post1), or build with --library and a folder that "
    "wsd compile wrote elsewhere"
)
_STOPPED_HINT = "what was half written is removed; run the same command again"


def run_command(command: click.Command, name: str, arguments: list[str] | None = None) -> int:
    """Run a command so that its errors come with a hint; returns the exit code.

    The exit code is 2 for an error, and that of a shell for a signal: 130 for an interruption, 143
    for SIGTERM, 141 if the reader of standard output has gone.

    Raises:
        SystemExit: with the code that a command ends with by itself.
        Exception: for a fault of WSD; and for every error, if ``WSD_DEBUG`` is set.
    """
    # WSD has its own progress bars, and reads no image with transformers.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with show_foreign_messages():
        return _run_explained(command, name, arguments)


def _run_explained(command: click.Command, name: str, arguments: list[str] | None) -> int:
    try:
        with raise_for_stops(_report_stop), keep_temporary_files():
            code = _invoke(command, name, arguments)
            if sys.stdout is not None:
                # Otherwise Python would write the rest at its end, and nobody could report a
                # failure.
                sys.stdout.flush()
            return code
    except WsdError as error:
        if os.environ.get("WSD_DEBUG"):
            raise
        _complain(error.message, error.hint)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), error=True)
    except click.ClickException as error:
        place = getattr(error, "ctx", None)
        _complain(
            error.format_message().rstrip("."),
            f"see: {place.command_path if place else name} --help",
        )
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _report_stop(signal.SIGINT)
    except Stopped as stop:
        return _report_stop(stop.number)
    except BrokenPipeError:
        if not _has_reader_gone():
            raise
        _drop_unwritten(sys.stdout)
        return _READER_GONE
    except Exception as error:
        explained = _explain(error)
        if explained is None or os.environ.get("WSD_DEBUG"):
            raise
        _drop_unwritten(sys.stdout)
        _complain(explained.message, explained.hint)
    return 2


def _report_stop(number: int) -> int:
    """Say that a signal ended the command; returns the exit code of shells for it."""
    name = signal.Signals(number).name
    _complain("interrupted" if number == signal.SIGINT else f"stopped by {name}", _STOPPED_HINT)
    return 128 + number


def _invoke(command: click.Command, name: str, arguments: list[str] | None) -> int:
    """Run a command as click's ``main`` does, which hides errors of pipes."""
    if f"_{name.upper()}_COMPLETE" in os.environ:
        # A shell asks for completions.
        command.main(arguments, prog_name=name)
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with command.make_context(name, given) as context:
            return int(command.invoke(context) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code


def _explain(error: Exception) -> WsdError | None:
    """Return what a person can act on of an error that is not WSD's own, if there is anything."""
    if isinstance(error, ModuleNotFoundError) and error.name in _TVM:
        return ToolError("TVM is not installed", TVM_HINT)
    found = find_os_error(error)
    return None if found is None else explain(found)


def _complain(message: str, hint: str) -> None:
    # There is nobody to tell if standard error is closed or full.
    with suppress(OSError):
        say(f"error: {_indent(message)}", error=True)
        say(f"hint: {_indent(hint)}", error=True)
    _drop_unwritten(sys.stderr)


def _indent(text: str) -> str:
    """Return a text of which only the first line begins at the margin.

    A name with a line feed in it could otherwise pass for a hint of WSD.
    """
    return "\n  ".join(text.splitlines())


def _has_reader_gone() -> bool:
    """Tell whether standard output is a pipe that nobody reads any more."""
    if sys.stdout is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    try:
        poll.register(sys.stdout, select.POLLOUT)
    except (OSError, ValueError):
        return False  # standard output is not a file of the operating system
    return any(event & select.POLLERR for _file, event in poll.poll(0))


def _drop_unwritten(stream: TextIO | None) -> None:
    """Discard what a stream could not write; Python would try again, and exit with 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
