"""Signals that ask the program to end: each raises an exception, so that it cleans up.

By default SIGTERM and SIGHUP end a program at once, and what is half written stays. Here each of
them, and SIGINT, raises an exception wherever the program is. A block that must not be cut in two,
such as making a temporary folder and noting that it must be removed, lets the exception wait.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from wsd.util.foreign_messages import show_lost_error

# Signals that ask a program to end, and what they do to one that has not asked for them.
_DEFAULTS = {
    getattr(signal, name): default
    for name, default in (
        ("SIGINT", signal.default_int_handler),
        ("SIGTERM", signal.SIG_DFL),
        ("SIGHUP", signal.SIG_DFL),
    )
    if hasattr(signal, name)
}


# Seconds after which a signal is sent again: by then the call that lost its exception has returned.
_SOON = 0.01


class Stopped(SystemExit):
    """A signal asked this program to end; the code is that of shells, 128 + the signal's number.

    Attributes:
        name: the signal's, such as ``SIGTERM``.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@dataclass
class _State:
    """What the main thread, which alone gets signals, knows of them.

    Attributes:
        deferring: how many blocks of :func:`defer_stops` it is in.
        waiting: the signal that came meanwhile.
        asked: the last signal that came.
    """

    deferring: int = 0
    waiting: int | None = None
    asked: int | None = None


_state = _State()


@contextmanager
def raise_for_stops() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise an exception in a block of the main thread.

    SIGINT raises ``KeyboardInterrupt``, as it does in every Python program; the others raise
    :class:`Stopped`. A signal that is ignored stays so: nohup(1) does it.

    A library may turn the exception into one of its own, as TVM does where C++ calls Python. So any
    error that leaves the block after a signal becomes the signal's exception again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [number for number, is_now in _DEFAULTS.items() if signal.getsignal(number) is is_now]
    _state.waiting = _state.asked = None
    for number in wanted:
        signal.signal(number, _handle)
    report, sys.unraisablehook = sys.unraisablehook, _send_again
    try:
        yield
    except Exception:
        if _state.asked is not None:
            _raise(_state.asked)
        raise
    finally:
        sys.unraisablehook = report
        for number in wanted:
            signal.signal(number, _DEFAULTS[number])


@contextmanager
def defer_stops() -> Iterator[None]:
    """Let a signal that comes in a block raise its exception at the block's end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.deferring += 1
    try:
        yield
    finally:
        _state.deferring -= 1
        if not _state.deferring and _state.waiting is not None:
            number, _state.waiting = _state.waiting, None
            _raise(number)


def _handle(number: int, _frame: FrameType | None) -> None:
    _state.asked = number
    if _state.deferring:
        _state.waiting = number
    else:
        _raise(number)


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again if its exception was lost, as it is where Python calls ``__del__``."""
    if _state.asked is not None and isinstance(lost.exc_value, KeyboardInterrupt | Stopped):
        threading.Timer(_SOON, os.kill, (os.getpid(), _state.asked)).start()
    else:
        show_lost_error(lost)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Stopped(number)
