"""What Python and libraries print by themselves: tracebacks, warnings and log messages.

They repeat names and texts of checkpoints and bundles, so that they must not reach a terminal as
they are (:mod:`wsd.util.terminal`).
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TextIO

from wsd.util.terminal import printable, say


@contextmanager
def show_foreign_messages() -> Iterator[None]:
    """Let what Python and libraries print pass through :func:`say` in a block.

    An error that leaves the block ends the program; the traceback that Python shows then passes
    through it too.
    """
    show, make = warnings.showwarning, logging.getLogRecordFactory()
    ended = threading.excepthook
    warnings.showwarning = _show_warning
    threading.excepthook = _show_end_of_thread
    logging.setLogRecordFactory(_PrintableRecord)
    try:
        yield
    except Exception:
        sys.excepthook = _show_traceback
        raise
    finally:
        warnings.showwarning, threading.excepthook = show, ended
        logging.setLogRecordFactory(make)


class _PrintableRecord(logging.LogRecord):
    """A message of any logger, without what a terminal obeys, and so is its traceback."""

    def getMessage(self) -> str:  # noqa: N802
        """Return the message; handlers of every library call this."""
        if self.exc_info and not self.exc_text:
            self.exc_text = printable("".join(traceback.format_exception(*self.exc_info)).rstrip())
        return printable(super().getMessage())


def _show_traceback(
    kind: type[BaseException], error: BaseException, place: TracebackType | None
) -> None:
    # There is nobody to tell if standard error is closed or full.
    with suppress(OSError):
        say("".join(traceback.format_exception(kind, error, place)).rstrip(), error=True)


def show_lost_error(lost: sys.UnraisableHookArgs) -> None:
    """Show an error that Python can raise nowhere, such as one of ``__del__``."""
    if lost.exc_value is not None:
        _show_traceback(lost.exc_type, lost.exc_value, lost.exc_traceback)


def _show_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        _show_traceback(ended.exc_type, ended.exc_value, ended.exc_traceback)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line).rstrip()
    if file is not None and file is not sys.stderr:
        file.write(f"{printable(text)}\n")
        return
    with suppress(OSError):
        say(text, error=True)
