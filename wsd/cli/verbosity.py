"""What ``-v`` and ``-vv`` show: messages of the loggers ``wsd.*``, on standard error."""

from __future__ import annotations

import logging

from wsd.util.terminal import say

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _NoteFormatter(logging.Formatter):
    """Warnings are notes for the person at the keyboard; the rest says where it comes from."""

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno == logging.WARNING:
            return f"note: {record.getMessage()}"
        return super().format(record)


class _ErrorStream(logging.Handler):
    """Writes to what ``sys.stderr`` is at that moment: a moving progress bar replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), error=True)


def set_verbosity(verbose: int) -> None:
    """Show messages of WSD's loggers.

    Args:
        verbose: 0 for warnings, 1 for what is looked up, run and timed as well, 2 or more for
            every detail.
    """
    logger = logging.getLogger("wsd")
    logger.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])
    # Messages go to the root's handlers too, if a program that imports WSD has set some.
    if not any(isinstance(handler, _ErrorStream) for handler in logger.handlers):
        handler = _ErrorStream()
        handler.setFormatter(_NoteFormatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
